"""`Controller`: both systems of one robot behind one call, for embedding.

    with dualsys.Controller.from_checkpoint("humanoid-table") as controller:
        while running:
            robot.command(controller.step(robot.observe()))

Time is the observations' stamps. Both models run inside `step`, when they are due: right for simulation, notebooks and
tests. Where a late model must not delay a command, use `dualsys run --mode processes` or `dualsys.bridge`.
"""

from pathlib import Path
from types import TracebackType
from typing import Self, final

from dualsys.app.frozen_world import frozen_world
from dualsys.bridge.inline import InlineDriver
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.bridge.process_life import use_one_torch_thread
from dualsys.checkpoint import Checkpoint
from dualsys.chunk_policies import build_policy
from dualsys.clearance import Clearance
from dualsys.closing import Closing
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError
from dualsys.events import SourceName
from dualsys.messages import Command, FloatArray, Observation
from dualsys.protocols import Actor, Planner
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.sim_envs.images import LazyImages
from dualsys.tape import Tape
from dualsys.telemetry import RunLog


@final
class Controller:
    """A planner and an actor for one robot, the safety gate on. Use as a context manager, or `close` it.

    Args:
        planner: System 2, or None: no subgoal ever comes.
        actor: System 1; its embodiment is the controller's.
        timing: Rates of the planner and of `step`; latencies to be simulated.
        core: How often chunks are asked for, how they are played, and what is done about old inputs.
        safety: The gate's share of the embodiment's limits.
        log: File for the run log; None: none is written.
        tape: Gets everything that a replay needs (`dualsys.tape`).
        clearance: Tells the gate how near things are; needs `safety.clearance_m`.
        image: What the actor does with images this much older than the state: `keep`, or `hold`: it makes no chunk, and
            the motion comes to rest. None: `dualsys.settings.image_staleness()`. Counted in `driver.images`.

    Raises:
        SpecMismatch: planner and actor are not made for each other.
        ConfigError: a rate or latency means nothing, or the gate is asked to keep clear and nothing tells it of what.
    """

    def __init__(  # noqa: PLR0913  # both systems, and each configuration of what stands between them and the robot
        self,
        planner: Planner | None,
        actor: Actor,
        *,
        timing: TimingConfig | None = None,
        core: CoreConfig | None = None,
        safety: SafetyConfig | None = None,
        log: Path | None = None,
        tape: Tape | None = None,
        clearance: Clearance | None = None,
        image: StalenessConfig | None = None,
    ) -> None:
        timing = timing or TimingConfig()
        core, safety = core or CoreConfig(), safety or SafetyConfig()
        if (safety.clearance_m is None) != (clearance is None):
            raise ConfigError(
                "the gate keeps clear of things with both: safety.clearance_m, how far, and clearance, which tells how "
                f"near they are; got {safety.clearance_m} and {clearance}"
            )
        if timing.world == "frozen":
            timing, core = frozen_world(timing, core, actor)
        self.embodiment: EmbodimentSpec = actor.embodiment
        self._actor = actor
        self.log = RunLog(log) if log is not None else None
        """The run log, for further lines; None where there is none."""
        self.driver = InlineDriver(
            planner,
            actor,
            DecisionCore(self.embodiment, core, build_policy(core.chunk_policy), tape),
            SafetyGate(self.embodiment, 1.0 / timing.control_hz, safety, clearance, tape),
            timing,
            self.log,
            tape,
            image,
        )
        self._next_seed: int | None = 0

    @classmethod
    def from_checkpoint(  # noqa: PLR0913  # the constructor's, and where the parts come from
        cls,
        name_or_folder: str | Path,
        *,
        embodiment: EmbodimentSpec | None = None,
        planner: str | PartConfig = "",
        actor: str | PartConfig = "",
        timing: TimingConfig | None = None,
        core: CoreConfig | None = None,
        safety: SafetyConfig | None = None,
        log: Path | None = None,
        tape: Tape | None = None,
        clearance: Clearance | None = None,
        image: StalenessConfig | None = None,
    ) -> Self:
        """From a shipped checkpoint by name, or any by folder.

        Torch is set to one thread for this process, unless OMP_NUM_THREADS says otherwise: models this small are
        slower on more, and many times slower where cores are contended.

        Args:
            name_or_folder: `humanoid-table`, or a folder that `dualsys train` wrote.
            embodiment: Your robot; refused where the checkpoint is for another.
            planner: Registered name or `package.module:attribute` to use instead of the checkpoint's planner, or a
                `dualsys.bridge.parts.PartConfig`, which can name a precision, too.
            actor: The same for the actor; a `PartConfig` can name a backend, too.
            timing: As in the constructor, and so are `core`, `safety`, `log`, `tape`, `clearance` and `image`.
            core: See there.
            safety: See there.
            log: See there.
            tape: See there.
            clearance: See there.
            image: See there.

        Raises:
            CheckpointError: the checkpoint doesn't exist, is incomplete, or is for another robot.
            SpecMismatch: planner and actor are not made for each other.
            ConfigError: a part has no such backend or precision, or the actor's backend gives other rows than eager.
        """
        manifest = Checkpoint.open(name_or_folder, embodiment=embodiment).manifest
        system_1 = build_actor(_part(actor, name_or_folder), manifest.embodiment, manifest.subgoal)
        system_2 = build_planner(_part(planner, name_or_folder), system_1.subgoal_spec)
        use_one_torch_thread()
        return cls(
            system_2,
            system_1,
            timing=timing,
            core=core,
            safety=safety,
            log=log,
            tape=tape,
            clearance=clearance,
            image=image,
        )

    def reset(self, *, seed: int = 0) -> None:
        """Begin a new episode with the next `step`: pose, models and noise start anew."""
        self._next_seed = seed

    def step(self, observation: Observation) -> Command:
        """Command for the moment of an observation.

        Raises:
            InvalidObservation: it doesn't fit the embodiment: a camera is missing or of another shape, the state has
                another length or is not finite. No command comes of it: the robot holds the one before.
            Exception: whatever the planner or the actor raises.
        """
        # Our simulations' images, right by construction, are left unread until a model wants them.
        self.embodiment.check_observation(observation, cameras=not isinstance(observation.images, LazyImages))
        if self._next_seed is not None:
            self.driver.reset(observation, seed=self._next_seed)
            self._next_seed = None
        return self.driver.step(observation)

    def offer(self, target: FloatArray, source: SourceName = "teleoperation") -> None:
        """Command the robot instead of the policy, from the next `step` on: a person, a pose, another controller.

        Call it again for every new target, at any rate: one older than `CoreConfig.source` allows is held. The motion
        goes over smoothly from what was last sent (`SafetyConfig.handover_s`), and every limit is kept. Of several
        sources the first of `teleoperation`, `pose`, `controller` has the say. What can't be used is refused and
        counted (`offers_refused`).

        Args:
            target: Where the commanded joints are to be `(nu,)`.
            source: Who says so.
        """
        self.driver.offer(target, source)

    def release(self, source: SourceName = "teleoperation") -> None:
        """Give the say back: the policy, or the next source that claims it, goes on from what was last sent."""
        self.driver.release(source)

    def stop(self, reason: str = "") -> None:
        """Emergency stop: from the next `step` on the motion comes to rest within the limits, and stays there.

        It is latched: new chunks, subgoals and episodes change nothing until `reset_stop`. No substitute for a switch
        that cuts power.
        """
        self.driver.stop(reason)

    def reset_stop(self) -> None:
        """End an emergency stop, when somebody has looked: the motion begins anew, from rest where the robot is.

        Without a stop it does nothing. Raises `ConfigError` before the first `step`.
        """
        self.driver.reset_stop()

    def close(self) -> None:
        """Write what is left of the log, and hang up where the actor is elsewhere (`Closing`). Idempotent."""
        if isinstance(self._actor, Closing):
            self._actor.close()
        if self.log is not None:
            self.log.close()
            self.log = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _part(asked: str | PartConfig, checkpoint: str | Path) -> PartConfig:
    """With this checkpoint, where it names none of its own."""
    if not isinstance(asked, str | PartConfig):
        raise ConfigError(
            f"{type(asked).__name__} is no name of a part: give a registered name, `package.module:attribute` or a "
            "PartConfig; an object of your own goes to Controller(planner, actor, ...)"
        )
    part = PartConfig(name=asked) if isinstance(asked, str) else asked
    return part if part.checkpoint is not None else part.model_copy(update={"checkpoint": checkpoint})
