"""LeRobot's own `lerobot-eval` with our plug-in: our controller as its policy, our task as its environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "lerobot_plugin"


@pytest.mark.slow
def test_lerobot_evaluates_a_controller_on_a_task(tmp_path: Path) -> None:
    pytest.importorskip("lerobot", reason="LeRobot wants other versions than dualsys: README.md")
    path = os.pathsep.join([str(ROOT), str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        *[sys.executable, "-m", "lerobot.scripts.lerobot_eval", f"--output_dir={tmp_path / 'out'}", "--seed=8000"],
        *["--policy.discover_packages_path=lerobot_policy_dualsys", "--policy.type=dualsys"],
        *["--env.type=dualsys", "--env.task=humanoid/touch", "--eval.n_episodes=2", "--eval.batch_size=2"],
    ]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads((tmp_path / "out" / "eval_info.json").read_text())
    assert said["overall"]["n_episodes"] == 2
    assert said["overall"]["pc_success"] == 100.0
