"""What several dataset folders share, so that they can be read as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualsys.data import layout
from dualsys.data.folder import FolderData
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Cameras and further columns of all folders, and why others were left out."""

    cameras: tuple[str, ...]
    """In the first folder's order."""
    columns: tuple[str, ...]
    cameras_left_out: Mapping[str, str]
    """By name, the reason."""
    columns_left_out: Mapping[str, str]

    def robot_of(self, folder: FolderData) -> EmbodimentSpec | None:
        """A folder's robot with the shared cameras; None where nobody told which it is."""
        return None if folder.embodiment is None else folder.embodiment.seen_through(self.cameras)


def shared_by(folders: Sequence[FolderData]) -> Shared:
    """What the folders, one or more, have in common.

    Raises:
        DatasetError: they are of different robots, rates or `privileged.*` columns, or share no camera.
    """
    cameras, cameras_left_out = _sort_out(folders, [_cameras(folder) for folder in folders])
    columns, columns_left_out = _sort_out(folders, [_columns(folder) for folder in folders])
    shared = Shared(
        cameras=_in_the_robot_s_order(folders[0], cameras),
        columns=columns,
        cameras_left_out=cameras_left_out,
        columns_left_out=columns_left_out,
    )
    for other in folders[1:]:
        _require_alike(folders[0], other, shared)
    if not shared.cameras and any(folder.cameras for folder in folders):
        raise DatasetError(f"no camera is in all of {'; '.join(map(_told, folders))}. Record them with one in common")
    return shared


def _sort_out(
    folders: Sequence[FolderData], found: Sequence[Mapping[str, str]]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names that all have with the same size, and of the others why not; `found`: sizes by name, by folder."""
    left_out = {}
    for name in dict.fromkeys(name for each in found for name in each):
        sizes = [each.get(name) for each in found]
        if None in sizes:
            left_out[name] = f"{folders[sizes.index(None)].root} has none of that name"
        elif len(set(sizes)) > 1:
            other = next(number for number, size in enumerate(sizes) if size != sizes[0])
            left_out[name] = f"{folders[0].root} has it with {sizes[0]}, {folders[other].root} with {sizes[other]}"
    return tuple(name for name in found[0] if name not in left_out), left_out


def _in_the_robot_s_order(first: FolderData, cameras: Sequence[str]) -> tuple[str, ...]:
    order = [] if first.embodiment is None else [camera.name for camera in first.embodiment.cameras]
    return tuple(sorted(cameras, key=lambda name: order.index(name) if name in order else len(order)))


def _require_alike(first: FolderData, other: FolderData, shared: Shared) -> None:
    differing = [
        name
        for name, ours, theirs in (
            ("rate", first.fps, other.fps),
            ("embodiment", shared.robot_of(first), shared.robot_of(other)),
            ("state and action size", _sizes(first), _sizes(other)),
            ("columns", _privileged(first), _privileged(other)),
        )
        if ours != theirs
    ]
    if differing:
        raise DatasetError(
            f"{first.root} and {other.root} cannot be read as one: they differ in {', '.join(differing)}. "
            f"Record them with the same command but for --seed, or read them apart"
        )


def _told(folder: FolderData) -> str:
    cameras = ", ".join(f"{name} {size}" for name, size in _cameras(folder).items())
    return f"{folder.root} ({cameras or 'none'})"


def _cameras(folder: FolderData) -> dict[str, str]:
    shapes = {name: track.frames.shape for name, track in folder.cameras.items()}
    return {name: f"{width}x{height}" for name, (_, height, width, _) in shapes.items()}


def _columns(folder: FolderData) -> dict[str, str]:
    return {name: f"rows of shape {column.shape[1:]}" for name, column in folder.extras.items()}


def _privileged(folder: FolderData) -> dict[str, str]:
    return {name: size for name, size in _columns(folder).items() if name.startswith(layout.PRIVILEGED)}


def _sizes(folder: FolderData) -> tuple[int, int]:
    return folder.states.shape[1], folder.actions.shape[1]
