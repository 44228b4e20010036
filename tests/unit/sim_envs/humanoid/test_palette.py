import itertools

import numpy as np
import pytest

from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.palette import COLOURS, colour_in


def test_the_colour_is_found_in_free_text() -> None:
    assert colour_in("Would you kindly TOUCH the Red, ehm, thing?") == "red"
    assert colour_in("blue") == "blue"


@pytest.mark.parametrize("text", ["touch the block", "touch the mauve block", "", "reddish", "the red or the blue one"])
def test_none_or_several_colours_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(ConfigError, match="red, green, blue, yellow, purple, cyan"):
        colour_in(text)


def test_colours_are_far_apart() -> None:
    directions = {name: np.array(rgb) / np.linalg.norm(rgb) for name, rgb in COLOURS.items()}
    for one, other in itertools.combinations(directions, 2):
        assert directions[one] @ directions[other] < 0.9, f"{one} and {other} differ too little whatever the light"
