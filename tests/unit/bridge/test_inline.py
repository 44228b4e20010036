"""The virtual-clock driver against closed forms."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import Naive, SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, InvalidObservation, SpecMismatch
from dualsys.messages import Command, ImageArray, Observation
from dualsys.protocols import Actor, ChunkPolicy, Planner
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.telemetry import RunLog, read_log
from dualsys.testing import FaultyActor, FaultyPlanner, KnownPlanner, PoseActor, ReachEnvironment, fake_embodiment

ARM = fake_embodiment(2, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=3)
DT_S = 0.02
POSE = np.array([0.4, -0.4])


def _actor(**settings: Any) -> PoseActor:
    return PoseActor(ARM, SPEC, POSE, **settings)


def _driver(
    planner: Planner | None = None,
    actor: Actor | None = None,
    *,
    policy: ChunkPolicy | None = None,
    core: CoreConfig | None = None,
    log: RunLog | None = None,
    **timing: float,
) -> InlineDriver:
    values = TimingConfig(**timing)  # type: ignore[arg-type]
    config = core or CoreConfig(first_subgoal_wait_s=0.0)
    return InlineDriver(
        planner,
        actor or _actor(),
        DecisionCore(ARM, config, policy or SkipByDelay()),
        SafetyGate(ARM, DT_S, SafetyConfig()),
        values,
        log,
    )


def _observation(stamp_s: float, images: Mapping[str, ImageArray] | None = None) -> Observation:
    black = {"head": np.zeros((4, 6, 3), dtype=np.uint8)}
    return Observation(stamp_s=stamp_s, state=np.zeros(2), images=black if images is None else images)


def _steps(driver: InlineDriver, count: int) -> list[Command]:
    driver.reset(_observation(0.0), seed=0)
    return [driver.step(_observation(index * DT_S)) for index in range(count)]


def _first_rows(commands: list[Command]) -> dict[int, float]:
    """Row at which each chunk starts, by its sequence."""
    rows: dict[int, float] = {}
    for command in commands:
        if command.chunk_sequence >= 0:
            rows.setdefault(command.chunk_sequence, command.row)
    return rows


@pytest.mark.parametrize("delay_ticks", [0, 1, 2, 4])
def test_skip_by_delay_starts_at_latency_over_dt(delay_ticks: int) -> None:
    commands = _steps(_driver(actor_latency_s=delay_ticks * DT_S), 60)
    rows = _first_rows(commands)
    # Before the first chunk nothing was consumed; from the second on the delay is what was consumed meanwhile.
    assert rows.pop(0) == 0.0
    assert len(rows) >= 10
    assert list(rows.values()) == pytest.approx([delay_ticks] * len(rows))


def test_naive_starts_at_row_zero_whatever_the_latency() -> None:
    rows = _first_rows(_steps(_driver(policy=Naive(), actor_latency_s=0.06), 60))
    assert set(rows.values()) == {0.0}


@pytest.mark.parametrize("begins", [False, True])
def test_a_stop_can_be_reset_before_the_next_step_even_where_an_episode_begins_between(begins: bool) -> None:
    driver = _driver()
    _steps(driver, 10)
    driver.stop("somebody walked in")
    if begins:
        driver.reset(Observation(stamp_s=1.0, state=np.array([0.3, 0.2])), seed=1)
    driver.reset_stop()
    command = driver.step(_observation(1.0))
    assert command.source != "stop"
    assert driver.core.status().counts["stop_resets"] == 1
    if begins:
        np.testing.assert_allclose(command.target, [0.3, 0.2], atol=0.02)


def test_without_latency_a_chunk_moves_the_command_of_its_own_observation() -> None:
    commands = _steps(_driver(), 10)
    assert (commands[0].source, commands[0].row, commands[0].chunk_age_s) == ("actor", 0.0, 0.0)
    assert commands[5].chunk_sequence == 1


def test_a_latency_between_ticks_is_met_at_the_next_tick() -> None:
    commands = _steps(_driver(actor_latency_s=0.03), 10)
    assert [c.source for c in commands[:3]] == ["start", "start", "actor"]


def test_the_planner_keeps_its_grid_and_its_result_comes_late() -> None:
    planner, actor = KnownPlanner(SPEC), _actor()
    _steps(_driver(planner, actor, planner_hz=5.0, planner_latency_s=0.12), 51)
    assert planner.stamps_s == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    # The actor starts every 0.1 s with the newest subgoal that was ready by then.
    for stamp_s, subgoal in actor.calls:
        ready = [s for s in planner.stamps_s if s + 0.12 <= stamp_s + 1e-9]
        assert (subgoal is None) == (not ready)
        if subgoal is not None:
            assert subgoal.observation_stamp_s == ready[-1]
            assert subgoal.emitted_stamp_s == pytest.approx(ready[-1] + 0.12)
            assert subgoal.tokens[0, 0] == len(ready), "the tokens of that very start"


def test_a_planner_slower_than_its_period_skips_starts_and_counts_them() -> None:
    planner = KnownPlanner(SPEC)
    driver = _driver(planner, planner_hz=5.0, planner_latency_s=0.5)
    _steps(driver, 91)
    # Busy until 0.5, so 0.2 and 0.4 are skipped; started at 0.6, busy until 1.1; and so on.
    assert planner.stamps_s == pytest.approx([0.0, 0.6, 1.2, 1.8])
    assert (driver.counts["planner_starts"], driver.counts["planner_starts_skipped"]) == (4, 6)


def test_a_subgoal_ready_at_this_instant_is_used_by_the_actor_that_starts_now() -> None:
    actor = _actor()
    _steps(_driver(KnownPlanner(SPEC), actor, planner_latency_s=0.1), 6)
    (first_s, first), (second_s, second) = actor.calls
    assert (first_s, first) == (0.0, None)
    assert second_s == pytest.approx(0.1)
    assert second is not None
    assert second.sequence == 0


@pytest.mark.parametrize(
    ("planner_s", "actor_s", "order"),
    [(0.035, 0.03, ["chunk", "subgoal"]), (0.03, 0.035, ["subgoal", "chunk"]), (0.04, 0.04, ["subgoal", "chunk"])],
)
def test_results_are_delivered_as_they_became_ready(
    planner_s: float, actor_s: float, order: list[str], tmp_path: Path
) -> None:
    with RunLog(tmp_path / "log") as log:
        _steps(_driver(KnownPlanner(SPEC), log=log, planner_latency_s=planner_s, actor_latency_s=actor_s), 3)
    assert [line["kind"] for line in read_log(tmp_path / "log") if line["kind"] != "command"] == order


def test_an_expired_subgoal_is_not_shown_to_the_actor() -> None:
    actor = _actor()
    short = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.25, on_expired="null")
    core = CoreConfig(first_subgoal_wait_s=0.0, subgoal=short)
    _steps(_driver(KnownPlanner(SPEC), actor, core=core, planner_hz=2.0), 51)
    assert [subgoal is not None for _, subgoal in actor.calls] == [True] * 3 + [False] * 2 + [True] * 3 + [
        False
    ] * 2 + [True]


def test_commands_name_the_subgoal_they_come_from() -> None:
    commands = _steps(_driver(KnownPlanner(SPEC), planner_latency_s=0.1, actor_latency_s=0.04), 40)
    for command in commands:
        if command.subgoal_sequence >= 0:
            observed_s = command.subgoal_sequence * 0.2
            assert command.subgoal_age_s == pytest.approx(command.stamp_s - observed_s)
    assert commands[-1].subgoal_sequence == 3


def test_no_planner_means_the_null_subgoal() -> None:
    actor = _actor()
    driver = _driver(None, actor)
    commands = _steps(driver, 20)
    assert {subgoal for _, subgoal in actor.calls} == {None}
    assert commands[-1].subgoal_sequence == -1
    assert driver.core.status().counts["requests_null"] == len(actor.calls)


class _Images(Mapping[str, ImageArray]):
    """Notes when it is looked into."""

    def __init__(self) -> None:
        self.looks = 0

    def __getitem__(self, name: str) -> ImageArray:
        self.looks += 1
        return np.zeros((4, 6, 3), dtype=np.uint8)

    def __iter__(self) -> Any:
        return iter(("head",))

    def __len__(self) -> int:
        return 1


class _LookingPlanner(KnownPlanner):
    def plan(self, observation: Observation) -> Any:
        assert observation.images["head"].shape == (4, 6, 3)
        return super().plan(observation)


def test_images_are_looked_at_only_when_the_planner_starts() -> None:
    driver = _driver(_LookingPlanner(SPEC), planner_hz=5.0)
    driver.reset(_observation(0.0), seed=0)
    looked = []
    for index in range(21):
        images = _Images()
        driver.step(_observation(index * DT_S, images))
        looked.append(images.looks)
    assert [index for index, looks in enumerate(looked) if looks] == [0, 10, 20]


def test_a_reset_forgets_what_was_on_its_way() -> None:
    planner, actor = KnownPlanner(SPEC), _actor()
    driver = _driver(planner, actor, planner_latency_s=0.1, actor_latency_s=0.06)
    _steps(driver, 3)
    again = _steps(driver, 3)
    assert [c.source for c in again] == ["start"] * 3
    assert planner.stamps_s == [0.0]
    assert driver.core.status().counts["chunks_refused_request"] == 0


def test_the_arm_gets_to_the_pose() -> None:
    environment = ReachEnvironment(fake_embodiment(2), POSE)
    actor = PoseActor(environment.embodiment, SPEC, POSE)
    core = DecisionCore(environment.embodiment, CoreConfig(), SkipByDelay())
    gate = SafetyGate(environment.embodiment, DT_S, SafetyConfig())
    timing = TimingConfig(planner_latency_s=0.12, actor_latency_s=0.04)
    driver = InlineDriver(KnownPlanner(SPEC), actor, core, gate, timing)
    environment.reset(seed=1)
    driver.reset(environment.observe(), seed=1)
    for _ in range(150):
        environment.step(driver.step(environment.observe()).target)
    assert environment.success


@pytest.mark.parametrize(
    ("failure", "counter"),
    [
        ("nan", "chunks_refused_finite"),
        ("infinite", "chunks_refused_finite"),
        ("shape", "chunks_refused_shape"),
        ("stamp", "chunks_refused_timing"),
        ("nothing", "faults"),
    ],
)
def test_one_bad_chunk_is_refused_and_the_motion_goes_on(failure: Any, counter: str) -> None:
    actor = FaultyActor(_actor(), ["none", failure, "none"])
    driver = _driver(None, actor)
    commands = _steps(driver, 16)
    assert driver.core.status().counts[counter] == 1
    assert [c.chunk_sequence for c in commands] == [0] * 10 + [2] * 5 + [3]


@pytest.mark.parametrize("failure", ["nan", "infinite", "shape", "nothing"])
def test_a_bad_subgoal_never_reaches_the_actor(failure: Any) -> None:
    actor = _actor()
    driver = _driver(FaultyPlanner(KnownPlanner(SPEC), ["none", failure, "none"]), actor)
    _steps(driver, 31)
    assert driver.core.status().counts["faults"] == 1
    used = [subgoal.tokens[0, 0] for _, subgoal in actor.calls if subgoal is not None]
    assert used == [1, 1, 1, 1, 3, 3, 4] if failure != "nothing" else used[:4] == [1, 1, 1, 1]


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecMismatch, match="the planner"):
        _driver(KnownPlanner(SubgoalSpec(num_tokens=9, dim=3)))
    other = PoseActor(fake_embodiment(3), SPEC, np.zeros(3))
    with pytest.raises(SpecMismatch, match="the actor"):
        _driver(None, other)


def test_a_timing_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="request_timeout_s"):
        _driver(actor_latency_s=1.0)
    with pytest.raises(ConfigError, match="control_hz"):
        _driver(control_hz=100.0)


def test_an_episode_starts_with_a_reset_at_a_pose_that_fits() -> None:
    driver = _driver()
    with pytest.raises(ConfigError, match="reset"):
        driver.step(_observation(0.0))
    with pytest.raises(InvalidObservation, match="not finite"):
        driver.reset(Observation(stamp_s=0.0, state=np.array([0.0, np.nan])))


def test_the_log_holds_model_outputs_and_names_who_moved_each_command(tmp_path: Path) -> None:
    with RunLog(tmp_path / "run.jsonl") as log:
        _steps(_driver(KnownPlanner(SPEC), log=log, planner_latency_s=0.1, actor_latency_s=0.04), 30)
    lines = read_log(tmp_path / "run.jsonl")
    chunks = {line["sequence"]: line for line in lines if line["kind"] == "chunk"}
    subgoals = {line["sequence"]: line for line in lines if line["kind"] == "subgoal"}
    commands = [line for line in lines if line["kind"] == "command"]
    assert len(commands) == 30
    assert subgoals[1]["tokens"] == [[2.0] * 3] * 2
    for command in commands:
        if command["chunk_sequence"] >= 0:
            chunk = chunks[command["chunk_sequence"]]
            assert command["subgoal_sequence"] == chunk["subgoal_sequence"]
            rows = np.array(chunk["rows"])
            expected = [np.interp(command["row"], np.arange(len(rows)), column) for column in rows.T]
            assert command["limited"] or command["target"] == pytest.approx(expected)


_RUN = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_inline import KnownPlanner, PoseActor, RunLog, SPEC, ARM, POSE, _driver, _steps
with RunLog(Path(sys.argv[2])) as log:
    _steps(_driver(KnownPlanner(SPEC), PoseActor(ARM, SPEC, POSE / 3), log=log, planner_latency_s=0.13,
                   actor_latency_s=0.031), 200)
"""


@pytest.mark.slow
def test_two_processes_write_the_same_log_to_the_byte(tmp_path: Path) -> None:
    logs = []
    for hash_seed in ("1", "2"):
        path = tmp_path / f"{hash_seed}.jsonl"
        command = [sys.executable, "-c", _RUN, str(Path(__file__).parent), str(path)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed}, timeout=120)
        logs.append(path.read_bytes())
    assert logs[0] == logs[1]
    assert len([line for line in logs[0].splitlines() if json.loads(line)["kind"] == "command"]) == 200
