"""Which mailboxes a run has, and where they are: in this process or in a folder of shared memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, final

from dualsys.bridge.box_file import DEFAULT_SLOTS, BoxLayout, Pause
from dualsys.bridge.latest_value import Codec, Mailbox
from dualsys.bridge.offer_wire import OfferCodec
from dualsys.bridge.output_file import MOST_BYTES
from dualsys.bridge.reporter import Status
from dualsys.bridge.scene import CameraFrame, Episode, ScenePose
from dualsys.bridge.shared_memory import mebibytes, require_room
from dualsys.bridge.stop_wire import StopCodec, StopWord
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.wire import (
    CameraCodec,
    ChunkCodec,
    EpisodeCodec,
    ObservationCodec,
    PoseCodec,
    RequestCodec,
    StatusCodec,
    SubgoalCodec,
)
from dualsys.events import ChunkRequest, Offered, SourceName
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.sources import PRIORITY

T = TypeVar("T")

_TINY = 2**13
_SMALL = 2**17
_LARGE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSpec(Generic[T]):
    """One box: its name, what it holds and how large that may be."""

    name: str
    codec: Codec[T]
    capacity: int


EPISODE: BoxSpec[Episode] = BoxSpec(name="episode", codec=EpisodeCodec(), capacity=_SMALL)
STATE: BoxSpec[Observation] = BoxSpec(name="state", codec=ObservationCodec(), capacity=_SMALL)
POSE: BoxSpec[ScenePose] = BoxSpec(name="pose", codec=PoseCodec(), capacity=_SMALL)
REQUEST: BoxSpec[ChunkRequest] = BoxSpec(name="request", codec=RequestCodec(), capacity=_LARGE)
CHUNK: BoxSpec[ActionChunk] = BoxSpec(name="chunk", codec=ChunkCodec(), capacity=_LARGE)

OFFERS: dict[SourceName, BoxSpec[Offered]] = {
    name: BoxSpec(name=f"source.{name}", codec=OfferCodec(), capacity=_TINY) for name in PRIORITY
}
"""A box for each source of commands beside the policy."""

STOP: BoxSpec[StopWord] = BoxSpec(name="stop", codec=StopCodec(), capacity=_TINY)
"""How the emergency stop's switch stands."""

PROCESSES = ("tick", "actor", "camera", "planner", "launcher", "supervisor")
"""Who has a status box."""
_LOGS = len(PROCESSES) * MOST_BYTES
"""Room for what the processes of a run print into its folder, beside their boxes."""


def subgoal_box(config: SystemConfig) -> BoxSpec[LatentSubgoal]:
    """The planner's box, with room for what the spec says and a text."""
    capacity = max(config.subgoal_capacity, config.subgoal.nbytes + _SMALL)
    return BoxSpec(name="subgoal", codec=SubgoalCodec(), capacity=capacity)


def camera_boxes(config: SystemConfig) -> dict[str, BoxSpec[CameraFrame]]:
    """A box for each camera."""
    return {
        camera.name: BoxSpec(
            name=f"camera.{camera.name}", codec=CameraCodec(), capacity=3 * camera.height * camera.width + 256
        )
        for camera in config.embodiment.cameras
    }


def status_box(process: str) -> BoxSpec[Status]:
    """What a process tells about itself."""
    return BoxSpec(name=f"status.{process}", codec=StatusCodec(), capacity=_SMALL)


class Boxes(Protocol):
    """Where to get a mailbox, for its writer and for its readers."""

    def writer(self, spec: BoxSpec[T], *, wait: Pause | None = None) -> Mailbox[T]:
        """The writer's end; with an event to `wait` until, once the box is free."""
        ...

    def reader(self, spec: BoxSpec[T]) -> Mailbox[T]:
        """A reader's end."""
        ...


@final
class LocalBoxes:
    """Boxes within this process."""

    def __init__(self) -> None:
        self._boxes: dict[str, Mailbox[Any]] = {}

    def writer(self, spec: BoxSpec[T], *, wait: Pause | None = None) -> Mailbox[T]:
        """The box of that name."""
        del wait
        return self._boxes.setdefault(spec.name, Mailbox.local())

    def reader(self, spec: BoxSpec[T]) -> Mailbox[T]:
        """The box of that name."""
        return self.writer(spec)


@final
class SharedBoxes:
    """Boxes in a folder of shared memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, config: SystemConfig) -> None:
        """Lay out all boxes of a run, or none. Raises `BridgeError` where the memory can't be had."""
        specs: list[BoxSpec[Any]] = [EPISODE, STATE, POSE, REQUEST, CHUNK, subgoal_box(config)]
        specs += [STOP, *OFFERS.values(), *camera_boxes(config).values()]
        specs += [status_box(process) for process in PROCESSES]
        nbytes = sum(BoxLayout(slots=DEFAULT_SLOTS, capacity=spec.capacity).size for spec in specs)
        tape = f", its tape ({mebibytes(config.tape_bytes)})" if config.tape_bytes else ""
        what = f"the {len(specs)} mailboxes of this run{tape} and its logs"
        require_room(self._folder, nbytes + config.tape_bytes + _LOGS, what)
        for spec in specs:
            Mailbox.create(self._path(spec), spec.codec, capacity=spec.capacity)

    def writer(self, spec: BoxSpec[T], *, wait: Pause | None = None) -> Mailbox[T]:
        """Adopt the box of that name."""
        return Mailbox.writer(self._path(spec), spec.codec, wait=wait)

    def reader(self, spec: BoxSpec[T]) -> Mailbox[T]:
        """Open the box of that name."""
        return Mailbox.reader(self._path(spec), spec.codec)

    def _path(self, spec: BoxSpec[Any]) -> Path:
        return self._folder / f"{spec.name}.box"
