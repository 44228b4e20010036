"""What evaluations hang on, watched while they are played: an episode of something else must not be kept."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import final

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.identity import Identity
from dualsys.bridge.episode_delays import DELAYS
from dualsys.checkpoint import MANIFEST, Checkpoint
from dualsys.delays import trace_file
from dualsys.errors import CheckpointError, ConfigError

Stamp = tuple[int, int, int] | None
"""Of a file, told from one that took its place without being read; None: it isn't there."""


@final
class Watched:
    """Evaluations, and what each was of when it was begun.

    Args:
        configs: The evaluations.
        identities: Of each, from just before.
    """

    def __init__(self, configs: Sequence[EvalConfig], identities: Sequence[Identity]) -> None:
        self._configs, self._identities = configs, identities
        self._files = sorted({file for config in configs for file in _files_of(config)})
        self._seen = self._stamps()

    def require_unchanged(self, *, closely: bool = False) -> None:
        """Look whether all is as it was: quickly by the files' stamps, or at all that is in them and what servers say.

        Raises:
            CheckpointError: the weights are others.
            ConfigError: something else is, such as a trace.
        """
        stamps = self._stamps()
        if stamps == self._seen and not closely:
            return
        for config, was, now in zip(self._configs, self._identities, Identity.of_all(self._configs), strict=True):
            _require_same(config, was, now)
        self._seen = stamps

    def _stamps(self) -> list[Stamp]:
        return [_stamp(file) for file in self._files]


def _files_of(config: EvalConfig) -> Iterator[Path]:
    if config.used_checkpoint:
        checkpoint = Checkpoint.open(config.used_checkpoint)
        yield checkpoint.folder / MANIFEST
        yield from checkpoint.deciding_files()
    yield from (Path(name) for name in (config.protocol, config.policy_keys) if name.endswith(".toml"))
    for delay in attrgetter(*DELAYS)(config):
        if (trace := trace_file(delay)) is not None:
            yield trace


def _stamp(file: Path) -> Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _require_same(config: EvalConfig, was: Identity, now: Identity) -> None:
    who = config.policy or config.used_checkpoint
    if was.weights == now.weights and was.policy != now.policy:
        raise CheckpointError(
            f"{who} says other things of itself after the episodes than before them ({was.differing(now)}), so nobody "
            "knows which policy was evaluated: leave its server alone meanwhile"
        )
    if was.weights != now.weights:
        raise CheckpointError(
            f"{who} was {was.weights} before the episodes and is {now.weights} after them, so nobody knows which of "
            "the two was evaluated: a training writes there, or another policy is served. Evaluate a copy of the folder"
        )
    if differing := was.differing(now):
        raise ConfigError(
            f"{config.suite_or_task} was begun with {differing}: it was replaced while episodes were played. Put the "
            "former back and add --resume, or evaluate anew with another --json"
        )
