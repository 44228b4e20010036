"""The planner's tokenizer, which published checkpoints seldom hold: its name, whether it is here, where to get it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from dualsys.app.importing.conversion import Plan
from dualsys.errors import CheckpointError, ConfigError
from dualsys.planner.tokenization import FILES, load_tokenizer

_OF_A_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")
"""`OWNER/MODEL`: the only names that a hub is asked for."""


def require_place(asked: str) -> None:
    """Raise `ConfigError` for what can be neither a folder that is there nor a name of a hub's."""
    if not asked or Path(asked).is_dir():
        return
    # A folder whose last part alone is wrong is mistyped; a hub's owner is seldom a folder beside.
    mistyped = "/" in asked and Path(asked).parent.is_dir()
    if mistyped or not _OF_A_HUB.fullmatch(asked):
        raise ConfigError(
            f"--tokenizer {asked!r}: there is no such folder; give one with {' or '.join(FILES)}, or OWNER/MODEL of a "
            "hub"
        )


def tokenizer_name(plan: Plan, asked: str) -> str:
    """What is asked for, else the checkpoint's own, else the one that its publisher names."""
    own = any((plan.published.folder / name).is_file() for name in FILES)
    return asked or (str(plan.published.folder) if own else plan.family.tokenizer())


def find_tokenizer(plan: Plan, asked: str, say: Callable[[str], Any] = lambda _: None) -> PreTrainedTokenizerBase:
    """The planner's: of files that are here, else of the hub.

    Args:
        plan: What is imported.
        asked: A folder, or a name of the hub; empty: as `tokenizer_name` has it.
        say: Told in a line before the hub is asked, which may take a minute where it can't be reached.

    Raises:
        ConfigError: there is none, or it has more words than the model.
        CheckpointError: a folder's makes no sense.
    """
    name = tokenizer_name(plan, asked)
    tokenizer = _here(name)
    if tokenizer is None and _OF_A_HUB.fullmatch(name):
        say(f"tokenizer {name!r} isn't on this machine: asking the hub (up to a minute where it can't be reached)")
        tokenizer = _of_the_hub(name)
    if tokenizer is None:
        raise _missing(name)
    _require_fit(tokenizer, name, plan)
    return tokenizer


def describe_tokenizer(plan: Plan, asked: str) -> str:
    """Which, whether it is here, and what to give if not; no hub is asked.

    Raises:
        ConfigError, CheckpointError: as `find_tokenizer`, of one that is here.
    """
    name = tokenizer_name(plan, asked)
    tokenizer = _here(name)
    if tokenizer is None:
        return f"{name}: not on this machine; give its folder with --tokenizer FOLDER, else the hub is asked for it"
    _require_fit(tokenizer, name, plan)
    return f"{name}: here, {len(tokenizer)} words of the model's {plan.words}"


def _here(name: str) -> PreTrainedTokenizerBase | None:
    """Of a folder, or of what was fetched from a hub before; None where there is neither."""
    if Path(name).is_dir():
        return load_tokenizer(name)
    try:
        return load_tokenizer(name, only_here=True)
    except CheckpointError:
        return None


def _of_the_hub(name: str) -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(name)
    except CheckpointError as error:
        raise _missing(name) from error


def _missing(name: str) -> ConfigError:
    return ConfigError(
        f"the planner's tokenizer, {name!r}, can't be loaded here (published checkpoints don't hold it): get its "
        "folder and give it with --tokenizer FOLDER"
    )


def _require_fit(tokenizer: PreTrainedTokenizerBase, name: str, plan: Plan) -> None:
    if len(tokenizer) > plan.words:
        raise ConfigError(
            f"tokenizer {name!r} has {len(tokenizer)} words, the model {plan.words}: it is another model's"
        )
    if getattr(plan.modules.planner, "begin", False) and tokenizer.bos_token_id is None:
        raise ConfigError(f"tokenizer {name!r} has no token for a prompt's beginning (bos), which the model needs")
