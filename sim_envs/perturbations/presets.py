"""Named perturbations at three levels, as they are asked for: `lighting:severe`.

The kinds follow LIBERO-plus (Fei et al. 2025, arXiv:2510.13626): camera viewpoints, light conditions, background
textures, sensor noise and language instructions are here; where things stand and how the robot starts is drawn by the
tasks themselves. Friction, mass, pushes, drop-outs and a change of mind are what a robot meets besides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.perturbations.camera_pose import CameraPose
from dualsys.sim_envs.perturbations.change_of_mind import ChangeOfMind
from dualsys.sim_envs.perturbations.drop_out import DropOut
from dualsys.sim_envs.perturbations.friction import Friction
from dualsys.sim_envs.perturbations.lighting import Lighting
from dualsys.sim_envs.perturbations.mass import Mass
from dualsys.sim_envs.perturbations.paraphrase import Paraphrase
from dualsys.sim_envs.perturbations.pushes import Pushes
from dualsys.sim_envs.perturbations.sensor_noise import SensorNoise
from dualsys.sim_envs.perturbations.texture import Texture

Perturbation = (
    Lighting | CameraPose | Texture | Friction | Mass | Pushes | SensorNoise | DropOut | Paraphrase | ChangeOfMind
)
Level = Literal["mild", "medium", "severe"]
LEVELS: tuple[Level, ...] = get_args(Level)
USUAL_LEVEL: Level = "medium"
"""Of a preset that is asked for by its name alone."""

_KINDS: dict[str, tuple[Perturbation, Perturbation, Perturbation]] = {
    "lighting": (
        Lighting(brightness=0.3, tint=0.1, turn_rad=0.3),
        Lighting(brightness=0.8, tint=0.25, turn_rad=0.6),
        Lighting(brightness=1.5, tint=0.5, turn_rad=1.0),
    ),
    "camera": (
        CameraPose(shift_m=0.01, turn_rad=0.02, zoom=0.02),
        CameraPose(shift_m=0.03, turn_rad=0.05, zoom=0.05),
        CameraPose(shift_m=0.06, turn_rad=0.1, zoom=0.1),
    ),
    "texture": (Texture(mix=0.2), Texture(mix=0.5), Texture(mix=0.9)),
    "friction": (Friction(change_by=0.25), Friction(change_by=1.0), Friction(change_by=3.0)),
    "mass": (Mass(change_by=0.25), Mass(change_by=0.5), Mass(change_by=1.0)),
    "sensor-noise": (
        SensorNoise(state_std=0.002, state_bias=0.002, image_std=4.0, exposure=0.05),
        SensorNoise(state_std=0.005, state_bias=0.005, image_std=10.0, image_blur_px=0.7, exposure=0.15),
        SensorNoise(state_std=0.01, state_bias=0.01, image_std=20.0, image_blur_px=1.2, exposure=0.3),
    ),
    "drop-out": (
        DropOut(cameras=0.05, states=0.01, lasts_s=0.3),
        DropOut(cameras=0.15, states=0.03, lasts_s=0.5),
        DropOut(cameras=0.3, states=0.1, lasts_s=1.0),
    ),
    "pushes": (Pushes(speed_m_s=0.2), Pushes(speed_m_s=0.5), Pushes(speed_m_s=1.0)),
    "paraphrase": (
        Paraphrase(share=1.0),
        Paraphrase(share=1.0, held_out=True),
        Paraphrase(share=1.0, held_out=True, distraction=True),
    ),
}
_NOT_OF_ALL: dict[str, tuple[Perturbation, Perturbation, Perturbation]] = {
    "change-of-mind": (
        ChangeOfMind(least_s=0.2, most_s=0.5),
        ChangeOfMind(least_s=0.4, most_s=0.8),
        ChangeOfMind(least_s=0.6, most_s=1.2),
    ),
}
"""Kinds that only some tasks can have."""
_NAMED = _KINDS | _NOT_OF_ALL

PRESETS: Mapping[str, Mapping[Level, tuple[Perturbation, ...]]] = {
    "none": {level: () for level in LEVELS},
    **{name: {level: (kind,) for level, kind in zip(LEVELS, kinds, strict=True)} for name, kinds in _NAMED.items()},
    "all": {level: tuple(kinds[index] for kinds in _KINDS.values()) for index, level in enumerate(LEVELS)},
}
"""By name and level."""


def perturbations_of(asked: Sequence[str]) -> tuple[Perturbation, ...]:
    """What names such as `lighting:severe` or `pushes` (medium) stand for, in their order.

    Raises `ConfigError` for an unknown name or level, or a kind that is asked for twice.
    """
    found: list[Perturbation] = []
    for each in asked:
        name, _, level = each.partition(":")
        if name not in PRESETS:
            raise ConfigError(unknown_name("perturbation", name, PRESETS))
        if level and level not in LEVELS:
            raise ConfigError(f"{each}: {unknown_name('level', level, LEVELS)}")
        found.extend(PRESETS[name][next((known for known in LEVELS if known == level), USUAL_LEVEL)])
    require_once(found)
    return tuple(found)


def require_once(perturbations: Sequence[Perturbation]) -> None:
    """Raise `ConfigError` where a kind is there twice: they would draw the same numbers."""
    kinds = [each.kind for each in perturbations]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise ConfigError(f"perturbations of the same kind twice: {', '.join(twice)}; leave one of each out")


def described(perturbations: Sequence[Perturbation]) -> list[dict[str, Any]]:
    """Kinds with their strengths, as results keep them: what a preset's name stands for may change."""
    return [{"kind": each.kind, **asdict(each)} for each in perturbations]
