"""What one check of `dualsys doctor` found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    status: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""
    """What to do about it, as a command where there is one."""
