"""From a published checkpoint to a controller's folder: planned on the meta device, then written in one pass."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from dualsys.actor.experts import build_expert
from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.family import Family, Modules, Published
from dualsys.app.importing.layout_names import Layout
from dualsys.app.importing.layouts.pi import installed_names
from dualsys.app.importing.normalization import PublishedStatistics, convert, positions_of
from dualsys.app.importing.published_statistics import read_statistics
from dualsys.app.importing.recognition import family_of
from dualsys.app.importing.refusal import understood
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, find_robot
from dualsys.app.importing.rules import Halves, make_all, require_fit
from dualsys.app.importing.sizes import require_sizes
from dualsys.app.importing.streamed import write_streamed
from dualsys.checkpoint import (
    FORMAT,
    MANIFEST,
    STATISTICS,
    TOKENIZER,
    Manifest,
    ModuleEntry,
    installed_versions,
    write_manifest,
)
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError
from dualsys.files import written_or_said
from dualsys.planner.feature_backbones import build_backbone
from dualsys.planner.feature_config import FeaturePlannerConfig
from dualsys.planner.prefix_config import PrefixPlannerConfig
from dualsys.planner.prefix_network import PrefixNetwork

PLANNER_WEIGHTS, ACTOR_WEIGHTS = "planner.safetensors", "actor.safetensors"
_WORDS = "embed_tokens.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user says beside the checkpoint."""

    checkpoint: Path
    layout: Layout = "auto"
    embodiment: str = ""
    cameras: tuple[str, ...] = ()
    statistics: Path | None = None
    statistics_prefix: str = ""
    tag: str = ""
    rate_hz: float | None = None
    padded_state: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that an import will write, checked: every tensor has its place and its shape."""

    published: Published
    family: Family
    robot: Robot
    told_statistics: PublishedStatistics
    statistics: ControllerStatistics
    modules: Modules
    halves: Halves
    subgoal: SubgoalSpec
    words: int
    """How many the planner's embedding has rows for."""
    rate_hz: float
    rate_is_told: bool

    @property
    def unread(self) -> tuple[str, ...]:
        """Tensors of the peer's that nothing is made of, tied ones aside."""
        return tuple(sorted(self.published.weights.tensors.keys() - self.halves.read - set(self.modules.tied)))


def plan_import(wish: Wish) -> Plan:
    """Everything but the writing.

    Raises:
        CheckpointError: whatever doesn't fit: layout, tensors, statistics, robot.
        ConfigError: options that mean nothing.
    """
    with understood(wish.checkpoint):
        return _planned(Published.open(wish.checkpoint), wish)


def _planned(published: Published, wish: Wish) -> Plan:
    require_sizes(published)
    family = family_of(published, wish.layout, wish.tag, padded_state=wish.padded_state)
    if wish.statistics is not None:
        told = read_statistics(wish.statistics, wish.statistics_prefix)
    else:
        told = family.statistics(wish.statistics_prefix)
    relative = family.relative()
    if relative is not None and wish.statistics is not None:
        raise ConfigError(
            f"--statistics {wish.statistics}: actions are relative to the state ({relative.told}), and nobody says "
            "whether a file's are; leave it out"
        )
    robot = find_robot(
        family.widths(told),
        wish.embodiment,
        wish.cameras,
        positions_of(told, relative),
        rigid=family.rigid,
        relative=relative,
    )
    statistics = convert(told, family.normalization(), states=robot.states, actions=robot.actions, relative=relative)
    modules = family.modules(robot, statistics)
    statistics = _of_rows(statistics, modules.actor)
    rate_hz = wish.rate_hz or 1 / float(getattr(modules.actor, "dt_s"))  # noqa: B009  # both kinds have it
    actor = modules.actor.model_copy(update={"dt_s": 1 / rate_hz})
    halves, subgoal, words = _fitted(modules, published, robot)
    return Plan(
        published=published,
        family=family,
        robot=robot,
        told_statistics=told,
        statistics=statistics,
        modules=Modules(
            planner_name=modules.planner_name,
            planner=modules.planner,
            actor_name=modules.actor_name,
            actor=actor,
            halves=halves,
            tied=modules.tied,
            notes=(*modules.notes, *_notes(relative)),
        ),
        halves=halves,
        subgoal=subgoal,
        words=words,
        rate_hz=rate_hz,
        rate_is_told=wish.rate_hz is not None,
    )


def _notes(relative: RelativeActions | None) -> tuple[str, ...]:
    return () if relative is None else (f"actions relative to the state as a chunk begins: {relative.told}",)


def _of_rows(statistics: ControllerStatistics, actor: Any) -> ControllerStatistics:
    """Those of the rows that a chunk has. Raises `CheckpointError` where there are fewer."""
    rows, told = getattr(actor, "kept_rows", 0) or actor.horizon, len(statistics.action_rows)
    if 0 < told < rows:
        raise CheckpointError(f"statistics of relative actions are of {told} rows, a chunk has {rows}")
    return statistics.model_copy(update={"action_rows": statistics.action_rows[:rows]})


def write_import(
    plan: Plan, tokenizer: PreTrainedTokenizerBase, out: Path, progress: Callable[[int], Any] = lambda _: None
) -> None:
    """Write the controller's folder; the manifest comes last, so a folder with one is complete.

    Raises:
        ConfigError: something is there already.
        CannotWrite: it cannot be written.
    """
    require_new(out)
    with written_or_said(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            _write(plan, tokenizer, out, progress)
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise


def require_new(out: Path) -> None:
    """Raise `ConfigError` where there is something at the place that is to be written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} exists and isn't empty; name a new folder")


def _write(plan: Plan, tokenizer: PreTrainedTokenizerBase, out: Path, progress: Callable[[int], Any]) -> None:
    source = plan.published.weights
    write_streamed(out / PLANNER_WEIGHTS, plan.halves.planner, source, progress)
    write_streamed(out / ACTOR_WEIGHTS, plan.halves.actor, source, progress)
    (out / STATISTICS).write_text(plan.statistics.model_dump_json(indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(str(out / TOKENIZER))
    modules = plan.modules
    write_manifest(
        out,
        Manifest(
            format=FORMAT,
            name=out.name,
            embodiment=plan.robot.embodiment,
            subgoal=plan.subgoal,
            planner=ModuleEntry(
                name=modules.planner_name, config=modules.planner.model_dump(mode="json"), weights=PLANNER_WEIGHTS
            ),
            actor=ModuleEntry(
                name=modules.actor_name, config=modules.actor.model_dump(mode="json"), weights=ACTOR_WEIGHTS
            ),
            versions=installed_versions(),
            training={"imported": {"layout": plan.family.layout, "statistics": plan.told_statistics.where}},
        ),
    )
    assert (out / MANIFEST).is_file()


def _fitted(modules: Modules, published: Published, robot: Robot) -> tuple[Halves, SubgoalSpec, int]:
    """Recipes under the installed names, every one checked on the meta device; what crosses between the two; words."""
    meta = published.weights.meta()
    planner, subgoal = _planner_shapes(modules.planner)
    halves = Halves(installed_names(modules.halves.planner, planner), modules.halves.actor)
    require_fit(make_all(halves.planner, meta), planner, where="planner")
    with torch.device("meta"):
        expert = build_expert(modules.actor, embodiment=robot.embodiment, subgoal_spec=subgoal)  # type: ignore[arg-type]
    require_fit(make_all(halves.actor, meta), expert.state_dict(), where="actor")
    words = next(len(value) for name, value in planner.items() if name.endswith(_WORDS))
    if unknown := [token for token in _marks(modules.planner) if not 0 <= token < words]:
        raise CheckpointError(
            f"config.json: {', '.join(map(str, unknown))} should be tokens of a picture; the planner's are 0 to "
            f"{words - 1}"
        )
    return halves, subgoal, words


def _marks(config: Any) -> tuple[int, ...]:
    """Tokens by number that are looked up around a picture, or in its place."""
    if isinstance(config, PrefixPlannerConfig):
        return tuple(token for side in config.image_frame for token in side)
    kept: FeaturePlannerConfig = config
    return (kept.backbone.image_token_id,)


def _planner_shapes(config: Any) -> tuple[dict[str, torch.Tensor], SubgoalSpec]:
    with torch.device("meta"):
        if isinstance(config, PrefixPlannerConfig):
            try:
                return PrefixNetwork(config).state_dict(), config.subgoal_spec
            except ConfigError as error:
                raise CheckpointError(f"config.json: {error}") from error
        kept: FeaturePlannerConfig = config
        backbone = build_backbone(kept.backbone, kept.attention)
    spec = SubgoalSpec(
        num_tokens=kept.num_tokens, dim=kept.backbone.width, max_age_s=kept.max_age_s, schema_id=kept.schema_id
    )
    return backbone.state_dict(), spec
