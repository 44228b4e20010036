"""Subgoals of a planner that stays as it is, for an actor's training: kept on disk where they fit, else made each time.

A subgoal of GR00T is some 2 MB, of SmolVLA 10 MB, of pi0 30 MB: a few thousand views of the one fit, and a hundred or
two of the other. Kept ones lie beside the training, with a key that names the weights and the views they are of.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from dualsys.actor.subgoal_arrays import SubgoalArrays
from dualsys.app.training.frozen_planner import FrozenPlanner
from dualsys.app.training.planner_views import PlannerViews
from dualsys.files import replacing, write_json

KEPT_BYTES = 8 * 2**30
"""Subgoals of a dataset that take no more, nor half of the disk's room, are computed once and kept."""
VIEWS_AT_ONCE = 8
_TELL_EVERY_VIEWS = 100 * VIEWS_AT_ONCE


class FrozenSubgoals:
    """Arrays of subgoals by row of a dataset."""

    def __init__(self, planner: FrozenPlanner, views: PlannerViews) -> None:
        self._planner = planner
        self._views = views
        self._arrays = SubgoalArrays(planner.subgoal_spec)
        self._row_of_view, self._view_of_row = views.distinct()
        self._kept: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    @property
    def nbytes(self) -> int:
        """Of all views'."""
        return len(self._row_of_view) * int(np.prod(self._arrays.shape)) * 4

    def at(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Subgoals `(n, ...)` of some rows, as `SubgoalArrays` has them, and the masks `(n, K)`."""
        if self._kept is not None:
            number = self._view_of_row[rows]
            return self._kept[0][number], self._kept[1][number]
        parts = list(self._planned(rows))
        tokens, masks = (np.concatenate(side) for side in zip(*parts, strict=True))
        return tokens, masks

    def keep_where_they_fit(self, folder: Path, say: Callable[[str], None], most_bytes: int = KEPT_BYTES) -> None:
        """Compute all of them into `folder`, unless they are there, or too many; `say` is told. See `take_kept`.

        Raises:
            CannotWrite: the folder is read-only, or the disk has become full.
        """
        if self._is_kept(folder):
            return
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        most_bytes = min(most_bytes, shutil.disk_usage(place).free // 2)
        size = f"subgoals of {len(self._row_of_view)} views take {self.nbytes / 1e9:.3g} GB"
        if self.nbytes > most_bytes:
            say(f"{size}, more than {most_bytes / 1e9:.3g}: the planner makes those of each step anew")
            return
        say(f"{size}: computed once and kept")
        tokens, masks, key = _files(folder)
        key.unlink(missing_ok=True)
        with replacing(tokens) as partial:
            made = self._write(partial, say)
        with replacing(masks) as partial, partial.open("wb") as file:
            np.save(file, made)
        write_json(key, self._key())

    def take_kept(self, folder: Path) -> None:
        """From now on read what `keep_where_they_fit` left in `folder`, where it is of these weights and views."""
        if self._is_kept(folder):
            tokens, masks, _ = _files(folder)
            self._kept = (np.load(tokens, mmap_mode="r"), np.load(masks))

    def _is_kept(self, folder: Path) -> bool:
        files = _files(folder)
        return all(file.is_file() for file in files) and json.loads(files[-1].read_text()) == self._key()

    def _key(self) -> dict[str, str]:
        return {"planner": self._planner.digest(), "views": self._views.digest()}

    def _write(self, path: Path, say: Callable[[str], None]) -> NDArray[np.bool_]:
        """Tokens, a few views at once: all of them need not fit into memory, and a full disk is an error."""
        count = len(self._row_of_view)
        masks: list[NDArray[np.bool_]] = []
        write_header: Any = write_array_header_1_0
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, *self._arrays.shape)}
            write_header(file, header)
            done = 0
            for tokens, mask in self._planned(self._row_of_view):
                file.write(np.ascontiguousarray(tokens, dtype="<f4").data)
                masks.append(mask)
                done += len(mask)
                if done % _TELL_EVERY_VIEWS == 0:
                    say(f"subgoals of {done} of {count} views")
        return np.concatenate(masks)

    def _planned(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        for start in range(0, len(rows), VIEWS_AT_ONCE):
            subgoals = self._planner.plan_batch(self._views.at(rows[start : start + VIEWS_AT_ONCE]))
            read = [self._arrays.read(subgoal) for subgoal in subgoals]
            yield np.stack([tokens for tokens, _ in read]), np.stack([mask for _, mask in read])


def _files(folder: Path) -> tuple[Path, Path, Path]:
    """Tokens, masks, and what they are of."""
    return folder / "subgoals.npy", folder / "subgoals-mask.npy", folder / "subgoals.json"
