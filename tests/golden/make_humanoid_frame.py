"""Makes `humanoid_touch_head.png`: the head camera's first picture of an episode.

    python -m tests.golden.make_humanoid_frame

Run it again only when the scene was changed on purpose. It tells when another MuJoCo, driver or mesh draws differently.
"""

from pathlib import Path

from PIL import Image

from dualsys import sim_envs
from dualsys.messages import ImageArray

PATH = Path(__file__).with_name("humanoid_touch_head.png")
SEED = 8004


def draw() -> ImageArray:
    """The picture as it is drawn here and now, `(96, 96, 3)`."""
    environment = sim_envs.make("humanoid/touch", images="on-demand", image_size=96)
    environment.reset(seed=SEED)
    image = environment.observe().images["head"]
    environment.close()
    return image


if __name__ == "__main__":
    Image.fromarray(draw()).save(PATH)
