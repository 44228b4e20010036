import mujoco
import numpy as np
from PIL import Image

from tests.golden.make_humanoid_frame import PATH, draw


def test_the_head_camera_sees_what_it_saw_when_the_reference_was_made() -> None:
    with Image.open(PATH) as picture:
        reference = np.array(picture, dtype=float)
    difference = float(np.abs(draw().astype(float) - reference).mean())
    assert difference < 2.0, (
        f"pictures differ by {difference:.2f} of 255 on average with MuJoCo {mujoco.__version__}: policies trained "
        "on pictures from elsewhere will not transfer. After a change on purpose run tests.golden.make_humanoid_frame"
    )


def test_the_reference_is_not_blank_and_a_mirrored_picture_would_fail() -> None:
    with Image.open(PATH) as picture:
        reference = np.array(picture, dtype=float)
    assert reference.shape == (96, 96, 3)
    assert np.abs(reference[:, ::-1] - reference).mean() > 4.0
