from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, DatasetError
from dualsys.messages import LatentSubgoal
from dualsys.planner.scripted import ReplayPlanner
from dualsys.telemetry import RunLog
from dualsys.testing import fake_embodiment

SPEC = SubgoalSpec(num_tokens=2, dim=3)
SEEN = fake_embodiment().fake_observation(np.random.default_rng(0), stamp_s=4.0)


def test_a_run_log_is_replayed_to_the_bit_and_then_stays_at_its_last(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    recorded = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(2)]
    with RunLog(tmp_path / "run.jsonl") as log:
        log.event("episode", number=0)
        for tokens in recorded:
            log.subgoal(LatentSubgoal(tokens=tokens, observation_stamp_s=0.0))
    planner = ReplayPlanner.from_log(SPEC, tmp_path / "run.jsonl")
    first, second, third = (planner.plan(replace(SEEN, stamp_s=stamp_s)) for stamp_s in (4.0, 5.0, 6.0))
    assert np.array_equal(first.tokens, recorded[0])
    assert np.array_equal(second.tokens, recorded[1])
    assert np.array_equal(third.tokens, recorded[1])
    assert (first.observation_stamp_s, third.observation_stamp_s) == (4.0, 6.0)
    planner.reset()
    assert np.array_equal(planner.plan(SEEN).tokens, recorded[0])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [('{"kind": "end"}\n', ConfigError, "no subgoal"), ("{\n", DatasetError, ":1 is no line")],
)
def test_what_holds_no_subgoals_is_refused(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    (tmp_path / "run.jsonl").write_text(text)
    with pytest.raises(error, match=said):
        ReplayPlanner.from_log(SPEC, tmp_path / "run.jsonl")
