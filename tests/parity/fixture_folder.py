"""Where fixtures are: those kept here, or another folder of the same form that `DUALSYS_FIXTURES` names."""

import json
import os
from pathlib import Path

OWN = Path(__file__).parent / "fixtures"
FOLDER = Path(os.environ.get("DUALSYS_FIXTURES", OWN))


def names_of(*policies: str) -> tuple[str, ...]:
    """Fixtures of `FOLDER` by what their JSON says they are, whatever they are called."""
    found = (path for path in sorted(FOLDER.glob("*.json")) if (FOLDER / f"{path.stem}.io.safetensors").is_file())
    return tuple(path.stem for path in found if json.loads(path.read_text(encoding="utf-8")).get("policy") in policies)


def folder_of(name: str) -> Path:
    """Where a fixture of this name is: what isn't in `FOLDER` is one of our own, for tests that go by a name."""
    return FOLDER if (FOLDER / f"{name}.json").is_file() else OWN
