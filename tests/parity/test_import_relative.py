"""Imported actions that are relative to the state: the authors' numbers there and back, or a refusal in a line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.actor.flow_actor import FlowActor
from dualsys.app.cli import main
from dualsys.app.importing.conversion import Plan, Wish, plan_import
from dualsys.app.importing.import_report import summary
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError, ConfigError
from dualsys.messages import FloatArray, Observation
from tests.parity.groot_words import Change, action_of, planned, state_of
from tests.parity.published_folders import WIDTH, groot_folder, lerobot_folder, numbers, tokenizer_folder

ARM = slice(0, 6)
HAND = slice(6, WIDTH)
RNG = np.random.default_rng(7)
STATE = RNG.normal(size=WIDTH)
Ends = tuple[FloatArray, FloatArray]


@pytest.fixture
def groot(tmp_path: Path) -> Path:
    return groot_folder(tmp_path / "published", "lerobot_groot_n1_7")


@pytest.fixture
def pi0(tmp_path: Path) -> Path:
    return lerobot_folder(tmp_path / "published", "lerobot_pi0")


def relative(**more: Any) -> Change:
    """The arm's actions."""

    def change(words: dict[str, Any]) -> None:
        action_of(words)["action_configs"][0].update({"rep": "RELATIVE", **more})

    return change


def rows_of(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["head"]["action_horizon"])


def moves(folder: Path, rows: int | None = None, width: int = 6) -> dict[str, FloatArray]:
    """Writes statistics of the arm's ways into the folder: of each of so many rows, or, with 0, of all together."""
    count = rows_of(folder) if rows is None else rows
    shape = (count, width) if count else (width,)
    low, std = RNG.uniform(-2, -1, shape), RNG.uniform(0.5, 2, shape)
    high = low + RNG.uniform(1, 3, shape)
    if count and width == 6:
        high[0, 2] = low[0, 2]  # never moved in its first row
    found = {"min": low, "max": high, "mean": low + 0.3, "std": std, "q01": low + 0.2, "q99": high - 0.2}
    path = folder / "statistics.json"
    stored = json.loads(path.read_text())
    stored["gr1"]["relative_action"] = {"arm": {kind: value.tolist() for kind, value in found.items()}}
    path.write_text(json.dumps(stored))
    return found


def unnormalized(rows: FloatArray, ends: Ends) -> FloatArray:
    """NVIDIA's `unnormalize_values_minmax`."""
    low, high = ends
    return (np.clip(rows, -1.0, 1.0) + 1.0) / 2.0 * (high - low) + low


def normalized(rows: FloatArray, ends: Ends) -> FloatArray:
    """NVIDIA's `normalize_values_minmax`, clipped as `clip_outliers` has it."""
    low, high = (np.broadcast_to(end, rows.shape) for end in ends)
    found, moved = np.zeros_like(rows), ~np.isclose(high, low)
    found[moved] = 2 * (rows[moved] - low[moved]) / (high[moved] - low[moved]) - 1
    return np.clip(found, -1.0, 1.0)


@pytest.mark.parametrize("by_row", [True, False], ids=["rows apart", "all rows"])
@pytest.mark.parametrize("percentiles", [True, False])
def test_groot_s_rows_are_nvidia_s(by_row: bool, percentiles: bool, groot: Path) -> None:
    """Of `StateActionProcessor`: the relative part by its smallest and largest even where others go by quantiles."""
    found = moves(groot, None if by_row else 0)

    def change(words: dict[str, Any]) -> None:
        relative()(words)
        words["use_percentiles"] = percentiles

    plan = planned(groot, change)
    arm: Ends = (found["min"], found["max"])
    names = ("q01", "q99") if percentiles else ("min", "max")
    hand: Ends = (numbers(2)[names[0]][HAND], numbers(2)[names[1]][HAND])
    made = RNG.uniform(-1.5, 1.5, (rows_of(groot), WIDTH))
    sent = plan.statistics.rows_denormalized(made, STATE)
    np.testing.assert_allclose(sent[:, ARM], unnormalized(made[:, ARM], arm) + STATE[ARM], atol=1e-7)
    np.testing.assert_allclose(sent[:, HAND], unnormalized(made[:, HAND], hand), atol=1e-7)
    shown = plan.statistics.rows_normalized(3 * made, STATE)
    still = np.broadcast_to(np.isclose(*arm), made[:, ARM].shape)  # comes back as NVIDIA's, goes in as what differs
    expected = normalized(3 * made[:, ARM] - STATE[ARM], arm)
    np.testing.assert_allclose(shown[:, ARM][~still], expected[~still], atol=1e-7)
    np.testing.assert_allclose(shown[:, HAND], normalized(3 * made[:, HAND], hand), atol=1e-7)
    assert len(plan.statistics.action_rows) == (rows_of(groot) if by_row else 0)
    report = summary(plan)
    assert report["statistics"]["action"] == f"arm min-max, hand {'quantiles' if percentiles else 'min-max'}"
    assert "actions relative to the state as a chunk begins: arm" in report["notes"]


def test_groot_s_state_is_the_part_that_is_named_wherever_it_stands(groot: Path) -> None:
    moves(groot)

    def change(words: dict[str, Any]) -> None:
        relative(state_key="elbow")(words)
        state_of(words)["modality_keys"] = ["hand", "elbow"]

    stored = json.loads((groot / "statistics.json").read_text())
    stored["gr1"]["state"]["elbow"] = stored["gr1"]["state"].pop("arm")
    (groot / "statistics.json").write_text(json.dumps(stored))
    plan = planned(groot, change)
    assert plan.statistics.relative_to == (2, 3, 4, 5, 6, 7, None, None)
    assert any("arm to elbow" in note for note in plan.modules.notes)


def test_groot_s_relative_parts_may_go_by_mean_and_deviation(groot: Path) -> None:
    found = moves(groot)

    def change(words: dict[str, Any]) -> None:
        relative()(words)
        action_of(words)["mean_std_embedding_keys"] = ["arm"]

    made = RNG.normal(size=(rows_of(groot), WIDTH))
    sent = planned(groot, change).statistics.rows_denormalized(made, STATE)[:, ARM]
    np.testing.assert_allclose(sent, made[:, ARM] * found["std"] + found["mean"] + STATE[ARM], atol=1e-7)


def test_groot_s_robot_may_go_where_positions_were(groot: Path) -> None:
    """Limits are of actions, not of ways; and what an action is relative to is called as it is."""
    moves(groot)
    spec = planned(groot, relative()).robot.embodiment
    assert all(spec.lower < numbers(2)["min"])
    assert all(spec.upper > numbers(2)["max"])
    np.testing.assert_array_equal(spec.position_in(STATE)[ARM], STATE[ARM])


def test_a_chunk_of_fewer_rows_takes_the_first_ones_statistics(groot: Path) -> None:
    found = moves(groot)

    def change(words: dict[str, Any]) -> None:
        relative()(words)
        action_of(words)["delta_indices"] = [0, 1]

    statistics = planned(groot, change).statistics
    assert len(statistics.action_rows) == 2
    np.testing.assert_allclose(
        statistics.rows_denormalized(-np.ones((2, WIDTH)), STATE)[:, ARM], found["min"][:2] + STATE[ARM], atol=1e-7
    )


@pytest.mark.parametrize(
    ("rows", "width", "more", "message"),
    [
        (None, 5, {}, "numbers; rows of 6 were expected"),
        (1, 6, {"state_key": "leg"}, "relative to a state: unknown state 'leg'"),
        (2, 6, {}, "statistics of relative actions are of 2 rows, a chunk has"),
        (None, 6, {"type": "EEF", "format": "XYZ_ROT6D"}, "poses of its end effector"),
    ],
)
def test_groot_s_that_cannot_be_turned_back_are_refused(
    rows: int | None, width: int, more: dict[str, Any], message: str, groot: Path
) -> None:
    moves(groot, rows, width)
    with pytest.raises(CheckpointError, match=message) as caught:
        planned(groot, relative(**more))
    assert "\n" not in str(caught.value)


def test_groot_s_without_statistics_of_ways_are_refused(groot: Path) -> None:
    with pytest.raises(CheckpointError, match=r"statistics\.json tells nothing of them under relative_action"):
        planned(groot, relative())


def steps(folder: Path, *, before: bool = True, behind: bool = True, name: str = "relative_actions_processor") -> Path:
    """LeRobot's two steps: actions whose names have `claw` in them stay positions."""
    names = [f"joint_{number}" for number in range(WIDTH - 1)] + ["Right_Claw.pos"]
    told = {"enabled": before, "exclude_joints": ["claw"], "action_names": names}
    for file, step, config in (
        ("preprocessor", name, told),
        ("postprocessor", "absolute_actions_processor", {"enabled": behind}),
    ):
        path = folder / f"policy_{file}.json"
        stored = json.loads(path.read_text())
        stored["steps"].append({"registry_name": step, "config": config})
        path.write_text(json.dumps(stored))
    return folder


def lerobot_plan(folder: Path, **wish: Any) -> Plan:
    return plan_import(Wish(checkpoint=folder, **wish))


@pytest.mark.parametrize("name", ["relative_actions_processor", "delta_actions_processor"])
def test_lerobot_s_step_is_followed(name: str, pi0: Path) -> None:
    """Of `AbsoluteActionsProcessorStep`: behind the normaliser, action by state of the same number."""
    plan = lerobot_plan(steps(pi0, name=name))
    made, moved = RNG.normal(size=(3, WIDTH)), np.arange(WIDTH) < WIDTH - 1
    expected = made * numbers(2)["std"] + numbers(2)["mean"] + moved * STATE
    np.testing.assert_allclose(plan.statistics.rows_denormalized(made, STATE), expected, atol=1e-5)
    spec = plan.robot.embodiment
    np.testing.assert_array_equal(spec.position_in(STATE)[:-1], STATE[:-1])
    farthest = numbers(2)["max"] + moved * numbers(1)["max"]
    assert all(spec.upper > farthest)
    assert all(spec.upper < farthest + 2)
    assert f"actions relative to the state as a chunk begins: {WIDTH - 1} of {WIDTH}" in summary(plan)["notes"]


def test_lerobot_s_step_that_is_off_changes_nothing(pi0: Path) -> None:
    plain = lerobot_plan(pi0)
    assert lerobot_plan(steps(pi0, before=False, behind=False)).statistics == plain.statistics
    assert not plain.statistics.is_relative


@pytest.mark.parametrize(("before", "behind"), [(True, False), (False, True)])
def test_lerobot_s_steps_that_contradict_each_other_are_refused(before: bool, behind: bool, pi0: Path) -> None:
    with pytest.raises(CheckpointError, match="whether actions are relative isn't clear"):
        lerobot_plan(steps(pi0, before=before, behind=behind))


def test_statistics_of_who_knows_what_are_refused(pi0: Path, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text(json.dumps({"action": {"mean": [0.0] * WIDTH, "std": [1.0] * WIDTH}}))
    with pytest.raises(ConfigError, match=r"stats.json: actions are relative to the state \(7 of 8\)"):
        lerobot_plan(steps(pi0), statistics=tmp_path / "stats.json")


def test_what_is_imported_acts_from_where_the_robot_is(
    pi0: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the policy makes, and on it the state, through the folder that is written."""
    out, words = tmp_path / "ours", tokenizer_folder(tmp_path / "words")
    assert main(["import", str(steps(pi0)), "--out", str(out), "--tokenizer", str(words)]) == 0
    actor = FlowActor.from_checkpoint(Checkpoint.open(out))
    assert actor.statistics.relative_to == (*range(WIDTH - 1), None)

    def rows() -> FloatArray:
        actor.reset(seed=1)
        return actor.act(Observation(stamp_s=1.0, state=STATE), None).rows

    found = rows()
    monkeypatch.setattr(actor, "statistics", actor.statistics.model_copy(update={"relative_to": ()}))
    np.testing.assert_allclose(found, rows() + (np.arange(WIDTH) < WIDTH - 1) * STATE, atol=1e-6)
