"""A training small enough for a test, as a command, and what it writes."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from dualsys import sim_envs
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.controller import Controller
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.checkpoint import Checkpoint
from dualsys.messages import ActionChunk, Command, Observation
from dualsys.planner.vlm_planner import VLMPlanner

OPTIONS = ["--steps", "4", "--validate-every", "2", "--batch-size", "4", "--subgoal-tokens", "2", "--subgoal-dim", "8"]


def record_touch(folder: Path) -> Path:
    """Four demonstrations of `humanoid/touch`."""
    shutil.copytree(_recorded_touch(), folder)
    return folder


@cache
def _recorded_touch() -> Path:
    """Once a process: they are the same wherever they are recorded."""
    root = Path(tempfile.mkdtemp(prefix="touch-"))
    atexit.register(shutil.rmtree, root)
    record_demonstrations(DemosConfig(task="humanoid/touch", episodes=4, out=root / "touch", tail_s=0.0))
    return root / "touch"


def command(dataset: Path, out: Path, *more: str) -> list[str]:
    """`dualsys train`, four steps long unless told otherwise."""
    return [sys.executable, "-m", "dualsys", "train", "--data", str(dataset), "--out", str(out), *OPTIONS, *more]


def curve(out: Path) -> list[dict[str, float]]:
    """What was logged, without what the clock said."""
    lines = [json.loads(line) for line in (out / "training/log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds_per_step"} for line in lines]


def last_command(checkpoint: Path, task: str) -> Command:
    """What a controller sends after fifteen steps of a task."""
    environment = sim_envs.make(task, seed=8000, images="on-demand")
    with Controller.from_checkpoint(checkpoint, embodiment=environment.embodiment) as controller:
        for _ in range(15):
            sent = controller.step(environment.observe())
            environment.step(sent.target)
    environment.close()
    return sent


def first_sight(task: str) -> Observation:
    """What is seen at the start of an episode."""
    environment = sim_envs.make(task, seed=8000, images="on-demand")
    seen = environment.observe()
    images = {name: np.array(picture) for name, picture in seen.images.items()}
    environment.close()
    return replace(seen, images=images)


def chunk_of(checkpoint: Path, seen: Observation) -> ActionChunk:
    """What a controller's two systems make of one sight."""
    opened = Checkpoint.open(checkpoint)
    planner, actor = VLMPlanner.from_checkpoint(opened), FlowActor.from_checkpoint(opened)
    return actor.act(seen, planner.plan(seen))


def killed_training(dataset: Path, out: Path) -> None:
    """Leave what a training leaves that is killed as soon as a state is saved, after two of its four steps."""
    with subprocess.Popen(command(dataset, out)) as process:
        deadline_s = time.monotonic() + 300
        while not (out / "training/state.pt").exists() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert len(curve(out)) == 1, "the kill came after the last step: nothing is left to resume"
