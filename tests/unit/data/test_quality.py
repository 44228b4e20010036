"""Each defect is found by the check that is for it, and by no other; a sound dataset has none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualsys.app.cli import main
from dualsys.app.data_check import check_folder
from dualsys.data.folder import FolderData, FolderTrack, read_folder
from dualsys.data.quality import CHECKS, Finding, check_data
from dualsys.data.quality.alignment import measure_alignment
from dualsys.data.quality.finding import places_of, runs
from dualsys.embodiment import EmbodimentSpec
from tests.unit.data.motions import FPS, LAG_ROWS, SPEC, write_motions

ROWS = 160
"""Of each episode."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quality") / "motions"
    write_motions(root)
    return root


@pytest.fixture(scope="module")
def sound(folder: Path) -> FolderData:
    return read_folder(folder, None)


def test_a_sound_dataset_passes_every_check(sound: FolderData) -> None:
    found = check_data(sound)
    assert [finding.verdict for finding in found] == ["pass"] * len(CHECKS)
    assert not any(finding.where or finding.mend for finding in found)


# Each takes a sound dataset and gives one with a single defect in episode 1.
Defect = Callable[[FolderData], FolderData]


def _jittered(data: FolderData) -> FolderData:
    stamps = data.timestamps_s.copy()
    stamps[ROWS + 40 : ROWS + 50] += 0.004
    return replace(data, timestamps_s=stamps)


def _backwards(data: FolderData) -> FolderData:
    stamps = data.timestamps_s.copy()
    stamps[ROWS + 41] = stamps[ROWS + 39]
    return replace(data, timestamps_s=stamps)


def _from_the_future(data: FolderData) -> FolderData:
    track = data.cameras["head"]
    stamps = track.stamp_of_row_s.copy()
    stamps[ROWS : 2 * ROWS] += 0.2
    return replace(data, cameras={"head": replace(track, stamp_of_row_s=stamps)})


def _not_a_number(data: FolderData) -> FolderData:
    states = data.states.copy()
    states[ROWS + 7, 1] = np.nan
    return replace(data, states=states)


def _shifted(rows: int) -> Defect:
    """Actions `rows` later than they were sent: states lead them."""

    def shift(data: FolderData) -> FolderData:
        actions = np.concatenate([np.roll(part, rows, axis=0) for part in np.split(data.actions, 4)])
        return replace(data, actions=actions)

    return shift


def _other_order(data: FolderData) -> FolderData:
    return replace(data, actions=data.actions[:, [2, 0, 1]])


def _degrees(data: FolderData) -> FolderData:
    wide = tuple(joint.model_copy(update={"lower": -180.0, "upper": 180.0}) for joint in SPEC.joints)
    return replace(data, actions=np.rad2deg(data.actions), embodiment=SPEC.model_copy(update={"joints": wide}))


def _frozen(seconds: float) -> Defect:
    def freeze(data: FolderData) -> FolderData:
        track = data.cameras["head"]
        frames = np.array(track.frames)
        first = track.frame_of_row[ROWS + 10]
        last = track.frame_of_row[ROWS + 10 + round(seconds * FPS)]
        frames[first:last] = frames[first]
        return replace(data, cameras={"head": replace(track, frames=frames)})

    return freeze


def _no_new_frames(data: FolderData) -> FolderData:
    """The driver hands out the last frame again and again, with its stamp."""
    track = data.cameras["head"]
    shown, stamps = track.frame_of_row.copy(), track.stamp_of_row_s.copy()
    stuck = slice(ROWS + 10, 2 * ROWS)
    shown[stuck], stamps[stuck] = shown[ROWS + 10], stamps[ROWS + 10]
    held = FolderTrack(frames=track.frames, frame_of_row=shown, stamp_of_row_s=stamps)
    return replace(data, cameras={"head": held})


def _at_a_stop(data: FolderData) -> FolderData:
    """The elbow cannot go as far as the others' data would let it."""
    states = data.states.copy()
    top = 0.4 * states[:, 1].max()
    states[:, 1] = np.minimum(states[:, 1], top)
    actions = data.actions.copy()
    actions[:, 1] = np.minimum(actions[:, 1], top)
    return replace(data, states=states, actions=actions)


def _asked_too_far(data: FolderData) -> FolderData:
    """Limits narrower than what the actions ask for, which the states show, too."""
    limits = tuple(joint.model_copy(update={"upper": 0.5}) for joint in SPEC.joints)
    return replace(data, embodiment=SPEC.model_copy(update={"joints": limits}))


def _fragment(data: FolderData) -> FolderData:
    """The last episode was stopped at once."""
    keep = len(data.states) - ROWS + 6
    track = data.cameras["head"]
    return replace(
        data,
        states=data.states[:keep],
        actions=data.actions[:keep],
        timestamps_s=data.timestamps_s[:keep],
        episode_lengths=np.array([ROWS, ROWS, ROWS, 6]),
        cameras={
            "head": replace(track, frame_of_row=track.frame_of_row[:keep], stamp_of_row_s=track.stamp_of_row_s[:keep])
        },
    )


def _wordless(data: FolderData) -> FolderData:
    return replace(data, instructions=(data.instructions[0], "  ", *data.instructions[2:]))


def _repeated(data: FolderData) -> FolderData:
    states, actions = data.states.copy(), data.actions.copy()
    states[ROWS : 2 * ROWS], actions[ROWS : 2 * ROWS] = states[:ROWS], actions[:ROWS]
    return replace(data, states=states, actions=actions)


def _unknown_origin(data: FolderData) -> FolderData:
    return replace(data, provenance=None)


def _same_seed(data: FolderData) -> FolderData:
    return replace(data, seeds=np.array([0, 0, 2, 3]))


@pytest.mark.parametrize(
    ("defect", "check", "verdict", "says"),
    [
        (_jittered, "stamps", "fail", "10 rows off the grid of 50 Hz, at worst by 0.0040 s"),
        (_backwards, "stamps", "fail", "1 rows off the grid"),
        (_from_the_future, "stamps", "fail", "1 stretches of images out of time"),
        (_not_a_number, "values", "fail", "1 states or actions"),
        (_shifted(LAG_ROWS + 3), "alignment", "fail", "by -3 rows (-60 ms)"),
        (_shifted(LAG_ROWS), "alignment", "warn", "by 0 rows (0 ms)"),
        (_shifted(-23), "alignment", "fail", "states are late"),
        (_shifted(-40), "alignment", "warn", "hardly follow"),
        (_other_order, "alignment", "warn", "hardly follow"),
        (_degrees, "alignment", "warn", "hardly follow"),
        (_frozen(1.3), "cameras", "warn", "1 stretches"),
        (_frozen(2.5), "cameras", "fail", "1 stretches"),
        (_no_new_frames, "cameras", "fail", "the longest 3."),
        (_at_a_stop, "saturation", "fail", "at a stop"),
        (_asked_too_far, "saturation", "fail", "beyond"),
        (_fragment, "lengths", "fail", "1 fragments"),
        (_wordless, "instructions", "fail", "1 of 4 episodes"),
        (_repeated, "duplicates", "fail", "1 episodes repeat another"),
        (_unknown_origin, "provenance", "warn", "does not say"),
        (_same_seed, "provenance", "warn", "1 seeds are there twice"),
    ],
)
def test_a_defect_is_found_by_its_check_alone(
    sound: FolderData, defect: Defect, check: str, verdict: str, says: str
) -> None:
    found = {finding.check: finding for finding in check_data(defect(sound))}
    named = found.pop(check)
    assert named.verdict == verdict
    assert says in named.summary
    assert named.mend
    assert {finding.verdict for finding in found.values()} == {"pass"}, found


@pytest.mark.parametrize(
    ("defect", "check", "first", "last"),
    [(_jittered, 0, 40, 49), (_not_a_number, 1, 7, 7), (_frozen(2.5), 3, 0, 134), (_repeated, 7, 0, 159)],
)
def test_places_name_the_episode_and_its_rows(
    sound: FolderData, defect: Defect, check: int, first: int, last: int
) -> None:
    (place,) = CHECKS[check](defect(sound)).where
    assert place.episode == 1
    assert abs(place.first_row - first) <= 5
    assert abs(place.last_row - last) <= 5


@pytest.mark.parametrize("lag", [-7, -1, 0, 1, 4, 9])
def test_the_lag_is_measured_to_the_row_under_noise(sound: FolderData, lag: int) -> None:
    rng = np.random.default_rng(lag + 100)
    moved = _shifted(LAG_ROWS - lag)(sound)
    noisy = replace(moved, states=moved.states + rng.normal(0, 0.003, moved.states.shape).astype(np.float32))
    found = measure_alignment(noisy, [(0, 0), (1, 1), (2, 2)])
    assert found is not None
    assert found.lag_rows == lag


def test_fingers_that_close_on_an_object_say_nothing_about_the_servo(sound: FolderData) -> None:
    """One of three joints is held back for half of each episode, while its target goes on."""
    states = sound.states.copy()
    for start in sound.episode_starts:
        states[start + 60 : start + ROWS, 2] = states[start + 60, 2]
    found = measure_alignment(replace(sound, states=states), [(0, 0), (1, 1), (2, 2)])
    assert found is not None
    assert found.lag_rows == LAG_ROWS


def test_a_gripper_that_opens_and_closes_is_not_saturated(sound: FolderData) -> None:
    states, actions = sound.states.copy(), sound.actions.copy()
    states[:, 2] = np.where(np.arange(len(states)) // 70 % 2, 1.0, 0.0)
    actions[:, 2] = states[:, 2]
    findings = {finding.check: finding for finding in check_data(replace(sound, states=states, actions=actions))}
    assert findings["saturation"].verdict == "pass"


def test_a_camera_may_rest_while_the_robot_does(sound: FolderData) -> None:
    still = np.repeat(sound.states[:1], len(sound.states), axis=0)
    findings = {finding.check: finding for finding in check_data(replace(_frozen(2.5)(sound), states=still))}
    assert findings["cameras"].verdict == "pass"
    assert findings["alignment"].verdict == "skip"


def test_without_named_targets_or_cameras_checks_are_skipped(sound: FolderData) -> None:
    delta: EmbodimentSpec = SPEC.model_copy(update={"action_representation": "delta"})
    findings = {f.check: f for f in check_data(replace(sound, embodiment=delta, cameras={}))}
    assert (findings["alignment"].verdict, findings["cameras"].verdict) == ("skip", "skip")


def test_runs_do_not_cross_episodes() -> None:
    mask = np.array([0, 1, 1, 1, 0, 1], bool)
    assert runs(mask) == [(1, 4), (5, 6)]
    places = places_of(mask, np.array([3, 3]), "x")
    assert [(p.episode, p.first_row, p.last_row) for p in places] == [(0, 1, 2), (1, 0, 0), (1, 2, 2)]


def _patched(root: Path, column: str, value: object) -> None:
    """The 50th row of a column of the rows on disk."""
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[50] = value
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path)


def _cut(root: Path, name: str) -> None:
    path = root / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda root: None, None),
        (lambda root: _cut(root, "data/chunk-000/file-000.parquet"), "files"),
        (lambda root: _cut(root, "videos/observation.images.head/chunk-000/file-000.mp4"), "files"),
        (lambda root: _patched(root, "action", [0.0, float("nan"), 0.0]), "values"),
        (lambda root: _patched(root, "timestamp", 3.0), "stamps"),
        (lambda root: (root / "meta/tasks.parquet").unlink(), "files"),
        (lambda root: (root / "meta/stats.json").unlink(), "files"),
        (lambda root: (root / "meta/stats.json").write_text('{"action": {}}'), "files"),
        (lambda root: _cut(root, "meta/stats.json"), "files"),
    ],
)
def test_the_command_says_it_with_its_status_and_in_json(
    tmp_path: Path, spoil: Callable[[Path], None], check: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_motions(tmp_path / "data", 2)
    spoil(tmp_path / "data")
    status = main(["data", "check", str(tmp_path / "data"), "--json", str(tmp_path / "out.json")])
    (report,) = json.loads((tmp_path / "out.json").read_text())
    failed = [finding["check"] for finding in report["findings"] if finding["verdict"] == "fail"]
    assert failed == ([] if check is None else [check])
    assert (status, report["verdict"]) == ((0, "pass") if check is None else (1, "fail"))
    printed = capsys.readouterr().out
    assert all(finding["check"] in printed for finding in report["findings"])
    if check != "files":
        assert report["provenance"]["task"] == "tests/motions"
        assert (report["provenance"]["seeds"], report["provenance"]["successes"]) == ([0, 1], 2)


def test_statistics_that_are_missing_are_named_and_the_rest_is_checked(tmp_path: Path) -> None:
    write_motions(tmp_path, 2)
    (tmp_path / "meta/stats.json").write_text('{"action": {}}')
    files, *others = check_folder(tmp_path).findings
    assert "stats.json has nothing of episode_index, frame_index" in files.summary
    assert [finding.verdict for finding in others] == ["pass"] * len(CHECKS)


def test_what_is_no_dataset_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "is no dataset" in capsys.readouterr().err


def test_findings_are_plain_for_json() -> None:
    plain = Finding(check="stamps", verdict="pass", summary="fine").plain()
    assert json.loads(json.dumps(plain)) == plain
