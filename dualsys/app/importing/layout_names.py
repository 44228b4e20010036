"""What published layouts are called, for options: nothing heavy is imported here."""

from typing import Literal, TypeAlias

Layout: TypeAlias = Literal[
    "auto",
    "openpi-pi0",
    "openpi-pi05",
    "lerobot-pi0",
    "lerobot-pi05",
    "lerobot-smolvla",
    "groot-n1.5",
    "groot-n1.6",
    "groot-n1.7",
]
