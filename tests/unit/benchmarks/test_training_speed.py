"""What the training benchmark compares, and how it asks the other side."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training_speed import (
    LeRobotSide,
    TrainingSpeedConfig,
    alternate,
    num_parameters,
    ratio,
    summary,
    trainer_for,
    widened,
)
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.train import build_learner
from dualsys.data import DemonstrationDataset
from dualsys.planner.config import TINY_PALIGEMMA

OTHER_SIDE = """
import json, sys
print(json.dumps({"parameters": 7}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["steps"] > 9:
        break
    print(json.dumps({"wall_s": asked["steps"] * 1.0, "cpu_s": 0.5, "loss": 0.0, "data": asked["data"]}), flush=True)
"""


@pytest.mark.slow
def test_ours_is_what_is_shipped_and_takes_steps(tmp_path: Path) -> None:
    record_demonstrations(DemosConfig(task="humanoid/touch", episodes=2, out=tmp_path / "data", image_size=24))
    data = DemonstrationDataset.open(tmp_path / "data")
    config = TrainingSpeedConfig(batch_size=2, image_size=24, horizon=8)
    shipped, doubled = (trainer_for(config, data, width) for width in (1, 2))
    alone = build_learner(shipped.config, data, data.folder_of_episode * 0, lambda _: None)
    shapes = {name: tuple(value.shape) for name, value in alone.named_parameters()}
    words = [name for name in shapes if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    mine = {name: tuple(value.shape) for name, value in shipped.learner.named_parameters()}
    assert mine.keys() == shapes.keys()
    assert {name: shape for name, shape in mine.items() if name not in words} == {
        name: shape for name, shape in shapes.items() if name not in words
    }
    assert 3.5 < num_parameters(doubled.learner) / num_parameters(shipped.learner) < 4.1
    assert doubled.step(0)["flow"] > 0
    assert not (Path("unused")).exists()


def test_every_width_is_doubled_and_nothing_else() -> None:
    wide = widened(2, 48)
    assert (
        wide["vision_config"] | {"image_size": 96, "hidden_size": 128, "intermediate_size": 384}
        == (TINY_PALIGEMMA["vision_config"])
    )
    assert (wide["vision_config"]["hidden_size"], wide["vision_config"]["intermediate_size"]) == (256, 768)
    text = wide["text_config"]
    assert (text["hidden_size"], text["intermediate_size"], text["head_dim"]) == (256, 512, 64)
    assert text["num_attention_heads"] == TINY_PALIGEMMA["text_config"]["num_attention_heads"]
    assert TINY_PALIGEMMA["text_config"]["hidden_size"] == 128


def test_blocks_alternate_after_a_warm_up() -> None:
    asked: list[tuple[str, int]] = []

    def runner(name: str) -> Any:
        def run(count: int) -> dict[str, float]:
            asked.append((name, count))
            return {"wall_s": 1.0, "cpu_s": 1.0}

        return run

    config = TrainingSpeedConfig(blocks=2, steps=5, warmup=3)
    blocks = alternate({"a": runner("a"), "b": runner("b")}, config)
    assert asked == [("a", 3), ("b", 3), ("a", 5), ("b", 5), ("a", 5), ("b", 5)]
    assert {name: len(each) for name, each in blocks.items()} == {"a": 2, "b": 2}


def test_rates_and_ratios() -> None:
    config = TrainingSpeedConfig(steps=10, batch_size=4)
    ours = [{"wall_s": wall, "cpu_s": 1.0} for wall in (1.0, 2.0, 4.0)]
    row = summary(ours, config)
    assert (row["samples_per_s"], row["least"], row["most"]) == (20.0, 10.0, 40.0)
    assert row["cpu_ms_per_sample"] == 25.0
    theirs = [{"wall_s": wall, "cpu_s": 1.0} for wall in (3.0, 4.0, 4.0)]
    assert ratio(ours, theirs) == {"median": 2.0, "least": 1.0, "most": 3.0}


def test_the_other_side_is_asked_by_lines_and_missed_when_it_ends() -> None:
    command = [sys.executable, "-c", OTHER_SIDE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        side = LeRobotSide(process)
        assert side.built == {"parameters": 7}
        answer = side.runner("memory")(4)
        assert json.loads(json.dumps(answer)) == {"wall_s": 4.0, "cpu_s": 0.5, "loss": 0.0, "data": "memory"}
        with pytest.raises(SystemExit, match="without an answer"):
            side.runner("loader")(10)
