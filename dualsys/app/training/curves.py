"""A training's curves, drawn."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

_LABELS = {"flow": "loss", "position_error_m": "position error (m)"}
"""What is drawn, and how it is called."""


def draw_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """Losses and errors against the step, in training and on what was kept for validation."""
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    for axis, (key, label) in zip(figure.subplots(1, len(_LABELS)), _LABELS.items(), strict=True):
        for prefix, style in (("", "-"), ("validation_", "o-")):
            points = [(r["step"], r[prefix + key]) for r in records if prefix + key in r]
            if points:
                axis.semilogy(*zip(*points, strict=True), style, label=prefix.rstrip("_") or "training", markersize=3)
        axis.set_xlabel("step")
        axis.set_title(label)
        if axis.lines:
            axis.legend()
        axis.grid(alpha=0.3)
    return figure
