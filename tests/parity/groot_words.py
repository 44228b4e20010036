"""A GR00T folder with other words in its processor's file, and the plan of importing it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualsys.app.importing.conversion import Plan, Wish, plan_import
from tests.parity.published_folders import groot_processor_words

Change = Callable[[dict[str, Any]], Any]


def told(folder: Path, change: Change = lambda _: None) -> Path:
    """The same folder, with other words in its processor's file."""
    kwargs = groot_processor_words()
    change(kwargs)
    words = {"processor_class": "Gr00tN1d7Processor", "processor_kwargs": kwargs}
    (folder / "processor_config.json").write_text(json.dumps(words))
    return folder


def planned(folder: Path, change: Change = lambda _: None) -> Plan:
    return plan_import(Wish(checkpoint=told(folder, change)))


def action_of(words: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = words["modality_configs"]["gr1"]["action"]
    return found


def state_of(words: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = words["modality_configs"]["gr1"]["state"]
    return found
