"""The colours blocks come in: far apart in hue, so that a 96-pixel picture tells them apart in any light we draw."""

import re

from dualsys.errors import ConfigError

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.88, 0.07, 0.07),
    "green": (0.08, 0.62, 0.13),
    "blue": (0.08, 0.17, 0.88),
    "yellow": (0.96, 0.84, 0.06),
    "purple": (0.55, 0.10, 0.70),
    "cyan": (0.08, 0.80, 0.86),
}
"""Name to linear RGB in [0, 1]."""


def colour_in(text: str) -> str:
    """The one colour a sentence names. Raises `ConfigError` where it names none or several."""
    words = re.findall(r"[a-z]+", text.lower())
    found = [colour for colour in COLOURS if colour in words]
    if len(found) != 1:
        said = "names no known colour" if not found else f"names several colours ({', '.join(found)})"
        raise ConfigError(f"the instruction {text!r} {said}; name one of: {', '.join(COLOURS)}")
    return found[0]
