"""Light, shades and cameras: as the first release drew them, and wider where that is asked for."""

import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.layout import draw_episode
from dualsys.sim_envs.options import Randomization

DRAWN_AT_FIRST = {
    0: """-0.385031 -0.089615 -0.918543  0.415388 0.217751 0.337682
          0.700322 0.652426 0.57641 0.395905  -1.431722 -0.110129 2.222125""",
    8000: """0.361615 -0.27012 -0.89234  0.353952 0.253273 0.358455
             0.707202 0.700792 0.675175 0.400812  0.065407 -0.137658 -2.211774""",
}
"""The lamp's direction, three brightnesses, the table's colour, the floor's shade, the camera's shift in mm."""


def drawn(seed: int, randomization: Randomization) -> FloatArray:
    light = draw_episode(seed, randomization=randomization).light
    brightness = (light.lamp_diffuse, light.head_diffuse, light.ambient)
    shades = (*light.table_rgb, light.floor_rgb[0])
    return np.array([*light.direction, *brightness, *shades, *(1000 * light.camera_shift_m)])


@pytest.mark.parametrize("seed", DRAWN_AT_FIRST)
def test_the_usual_light_stays_what_controllers_were_trained_in(seed: int) -> None:
    assert drawn(seed, "usual") == pytest.approx([float(number) for number in DRAWN_AT_FIRST[seed].split()], abs=1e-6)


def test_a_wide_light_strays_farther_in_everything() -> None:
    usual, wide = (np.array([drawn(seed, how) for seed in range(200)]) for how in ("usual", "wide"))
    farther = np.ptp(wide, axis=0) / np.ptp(usual, axis=0)
    assert farther.min() > 1.4, farther
    assert np.all(wide.min(axis=0) <= usual.min(axis=0) + 0.02)
    assert np.all(wide.max(axis=0) >= usual.max(axis=0) - 0.02)
    brightness_and_shades = wide[:, 3:10]
    assert brightness_and_shades.min() > 0.05, "no scene is black"
    assert brightness_and_shades.max() <= 1.0


def test_a_wide_light_falls_on_the_same_scene() -> None:
    for seed in range(20):
        usual, wide = draw_episode(seed), draw_episode(seed, randomization="wide")
        assert (usual.blocks, usual.goals, usual.instruction) == (wide.blocks, wide.goals, wide.instruction)
        assert np.array_equal(usual.posture, wide.posture)


def test_pictures_differ_more_in_a_wide_light() -> None:
    """Brightness of what the policy sees, over seeds."""
    spread = {}
    for how in ("usual", "wide"):
        environment = sim_envs.make("humanoid/touch", images="on-demand", image_size=24, randomization=how)
        means = []
        for seed in range(24):
            environment.reset(seed=seed)
            means.append(environment.observe().images["head"].mean())
        environment.close()
        spread[how] = np.std(means)
    assert spread["wide"] > 1.5 * spread["usual"]
