"""A folder as files that are small enough to be carried, with checksums, and back. Standard library only."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_PART_BYTES = 15 * 2**20
"""Of each file that is carried back."""
_LIST = "parts.json"
_FOR_RESUMING = ("training/state.pt", "training/subgoals.npy", "training/subgoals.json")
"""Files of a training that are of use to its `--resume` alone."""


class Refusal(Exception):
    """Said in one line."""


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its name from there, in order. Raises `Refusal` where there is no folder."""
    if not folder.is_dir():
        raise Refusal(f"{folder} is no folder")
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(folder)), file


def split(out: Path, parts: Path, *, with_state: bool) -> None:
    """Write a folder as `parts/part-000 ...` of at most `MAX_PART_BYTES`, and `parts.json` with their checksums.

    Without state, what a training is only resumed from is left out.
    """
    parts.mkdir(parents=True, exist_ok=True)
    for old in parts.iterdir():
        old.unlink()
    whole = parts / "whole.tar.gz"
    with tarfile.open(whole, "w:gz", compresslevel=6) as archive:
        for name, file in files_in(out) if out.is_dir() else ():
            if with_state or name not in _FOR_RESUMING:
                archive.add(file, name)
    listed: list[dict[str, Any]] = []
    with whole.open("rb") as stream:
        while piece := stream.read(MAX_PART_BYTES):
            name = f"part-{len(listed):03d}"
            (parts / name).write_bytes(piece)
            listed.append({"name": name, "size_bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()})
    whole.unlink()
    (parts / _LIST).write_text(json.dumps(listed, indent=2))
    print(f"{parts}: {len(listed)} parts, {sum(each['size_bytes'] for each in listed) / 2**20:.1f} MiB")


def join(source: Path, out: Path) -> None:
    """Check the parts and unpack what they were made from. Nothing is written unless all are as they were."""
    if out.exists() and any(out.iterdir()):
        raise Refusal(f"{out} is not empty; give another folder")
    if not (source / _LIST).is_file():
        raise Refusal(f"{source} has no {_LIST}; bring it back with the parts")
    whole = bytearray()
    for part in json.loads((source / _LIST).read_text()):
        file = source / Path(part["name"]).name
        piece = file.read_bytes() if file.is_file() else None
        if piece is None or hashlib.sha256(piece).hexdigest() != part["sha256"]:
            found = "is missing" if piece is None else f"has {len(piece)} bytes and is not what was written"
            raise Refusal(f"{file} {found} ({part['size_bytes']} bytes); bring it back again")
        whole += piece
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(out, filter="data")
    print(f"{out}: {sum(1 for _ in files_in(out))} files")
