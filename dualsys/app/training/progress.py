"""A training's own files: the curve (`log.jsonl`, `curves.png`) and the state to resume from (`state.pt`)."""

import json
from pathlib import Path
from typing import Any

import torch

from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.learner import Learner
from dualsys.errors import CheckpointError


class TrainingFolder:
    """`OUT/training/`, beside the checkpoint that `OUT` itself is."""

    def __init__(self, out: Path) -> None:
        self.folder = out / "training"
        self.state_file = self.folder / "state.pt"
        self.log_file = self.folder / "log.jsonl"

    def save(
        self,
        step: int,
        learner: Learner,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        decisive: dict[str, Any],
    ) -> None:
        """Everything a resumed run needs, replaced in one go so that a kill leaves the old or the new one."""
        state = {
            "decisive": json.dumps(decisive),
            "step": step,
            "learner": learner.state_dict(),
            "average": average.shadow,
            "optimizer": optimizer.state_dict(),
        }
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        partial.rename(self.state_file)

    def resume(
        self,
        learner: Learner,
        average: WeightAverage,
        optimizer: torch.optim.Optimizer,
        decisive: dict[str, Any],
    ) -> int:
        """Load the state; returns the number of steps done. Raises `CheckpointError` where there is none that fits."""
        if not self.state_file.is_file():
            raise CheckpointError(f"nothing to resume: {self.state_file} does not exist; start without --resume")
        state: dict[str, Any] = torch.load(self.state_file, weights_only=True)
        asked, saved = json.loads(json.dumps(decisive)), json.loads(state.get("decisive", "{}"))
        differing = sorted(key for key in asked.keys() | saved.keys() if asked.get(key) != saved.get(key))
        if differing:
            was = ", ".join(f"{key} {saved.get(key)!r} (now {asked.get(key)!r})" for key in differing)
            raise CheckpointError(
                f"{self.state_file} was trained with {was}; resume with the same, or give another --out"
            )
        try:
            learner.load_state_dict(state["learner"])
            optimizer.load_state_dict(state["optimizer"])
            average.shadow = {name: state["average"][name] for name in average.shadow}
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self.state_file} is of another configuration: {error}") from error
        self._cut_log(int(state["step"]))
        return int(state["step"])

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to the curve."""
        with self.log_file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The curve so far."""
        if not self.log_file.is_file():
            return []
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def plot(self) -> None:
        """Draw the curve."""
        from matplotlib.figure import Figure

        records = self.records()
        figure = Figure(figsize=(10, 3.5), layout="constrained")
        for axis, key, label in zip(
            figure.subplots(1, 2), ("flow", "position_error_m"), ("flow loss", "position error (m)"), strict=True
        ):
            for prefix, style in (("", "-"), ("validation_", "o-")):
                points = [(r["step"], r[prefix + key]) for r in records if prefix + key in r]
                if points:
                    axis.semilogy(
                        *zip(*points, strict=True), style, label=prefix.rstrip("_") or "training", markersize=3
                    )
            axis.set_xlabel("step")
            axis.set_title(label)
            axis.legend()
            axis.grid(alpha=0.3)
        figure.savefig(self.folder / "curves.png", dpi=110)

    def _cut_log(self, steps_done: int) -> None:
        """Drop lines of steps that the kill lost: they will be written again."""
        kept = [record for record in self.records() if record["step"] <= steps_done]
        self.log_file.write_text("".join(json.dumps(record) + "\n" for record in kept))
