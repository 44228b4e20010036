"""`docs/train.md` is done as it says: every command of it, in its order, in one folder, at a reduced size."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dualsys.app import cli
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/train.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
TOOL = "tools/train_elsewhere.py"
INSTALL_HERE = "--quiet --no-deps --no-build-isolation --target packages"

STEPS = {"--steps": "4", "--batch-size": "4", "--validate-every": "2"}
INSTALL = "pip install ./examples/own_task"
REDUCED: dict[str, dict[str, str]] = {
    INSTALL: {},
    "pytest examples/own_task": {},
    "demos": {"--episodes": "3", "--workers": "1"},
    "data check": {},
    # Two workers are Ray Train's, which `tests/training/test_train_workers.py` is about.
    "train": STEPS | {"--workers": "1"},
    "finetune": STEPS,
    "eval": {"--episodes": "1", "--workers": "1", "--videos": "1"},
    # The suite and the expert are a third party's: workers must find them, too.
    "correct": {"--episodes": "2", "--workers": "2", "--moments": "1"},
    "run": {"--seconds": "1"},
    "report": {},
    f"python {TOOL} pack": {
        "--demos": "humanoid/touch --episodes 3",
        "--train": " ".join(f"{name} {value}" for name, value in STEPS.items()),
        "--eval": "humanoid/touch --episodes 1",
    },
    f"tar xzf job.tar.gz && python job/repository/{TOOL} work": {},
    f"python {TOOL} join": {},
}
"""Options that a command is run with, in place of the document's or beside them; the rest is as it stands there."""


def name_of(command: str) -> str:
    """Key of the reductions. Raises where there is none: a command that was added to the document needs one."""
    plain = command.removeprefix("dualsys ")
    found = [name for name in REDUCED if plain == name or plain.startswith(f"{name} ")]
    assert found, f"docs/train.md has a command without a reduction: {command}"
    return max(found, key=len)


def reduced(command: str) -> str:
    """The command with its options replaced."""
    words = shlex.split(command.replace("&&", "'&&'"))
    for option, value in REDUCED[name_of(command)].items():
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    return shlex.join(words).replace("'&&'", "&&")


def run(command: str, folder: Path) -> None:
    """As a user would: our own in this process, which has everything imported; what needs a shell in one."""
    if command.startswith("dualsys ") and "--workers 2" not in command:
        assert cli.main(shlex.split(command)[1:]) == 0, command
        return
    command = (
        command.replace("dualsys ", f"{sys.executable} -m dualsys ", 1) if command.startswith("dualsys ") else command
    )
    command = command.replace("python job/", f"{sys.executable} job/")
    command = command.replace(f"python {TOOL}", f"{sys.executable} {ROOT / TOOL}")
    # Installed beside the guide's data, for these processes alone: the environment of the tests stays as it was.
    command = command.replace("pip install", f"{sys.executable} -m pip install {INSTALL_HERE}")
    command = command.replace("pytest ", f"{sys.executable} -m pytest -p no:cacheprovider --rootdir . -c /dev/null ")
    environment = os.environ | {"PYTHONPATH": "" if "job/" in command else f"{ROOT}:{folder / 'packages'}"}
    done = subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_a_command_without_a_reduction_is_noticed() -> None:
    with pytest.raises(AssertionError, match="without a reduction: dualsys doctor"):
        name_of("dualsys doctor")
    assert reduced("dualsys demos a/b --episodes 1000 --out d") == "dualsys demos a/b --episodes 3 --out d --workers 1"


def test_the_guide_has_a_block_for_every_step() -> None:
    commands = {name_of(line) for block in BLOCKS for line in block.splitlines()}
    assert commands == set(REDUCED)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_block_of_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    shutil.copytree(
        ROOT / "examples/own_task", tmp_path / "examples/own_task", ignore=shutil.ignore_patterns("build", "*.egg-info")
    )
    for block in BLOCKS:
        for line in block.splitlines():
            run(reduced(line), tmp_path)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"reach", "reach-corrections", "touch", "point"}
    made = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert made == {"mine", "second", "better", "point", "shared", "elsewhere"}
    for name in made:
        assert Checkpoint.open(tmp_path / "checkpoints" / name).manifest.training["steps"] == 4
    corrections = DemonstrationDataset.open(tmp_path / "data/reach-corrections")
    assert corrections.success.all()
    assert set(corrections.seeds // 100) <= {2500, 2501}
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 1
    page = (tmp_path / "checkpoints/mine/training/report.html").read_text()
    assert page.count("<video") == 1
