"""A training's own files: the curve, the starts, and the state to resume from.

In `OUT/training`:

    log.jsonl      the curve: a line every 25 steps and at every validation
    starts.jsonl   a line for every start: step, workers, device, precision
    state.pt       what a resumed training goes on from
    unsaved        there until the first state is: the checkpoint beside it is of a training that begins again
    curves.png     the curve, drawn
    report.html    all of it as a page (report.py)
    tensorboard/   the curve for TensorBoard (tensorboard.py)
"""

import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualsys.checkpoint import MANIFEST
from dualsys.data.begun import differing_settings
from dualsys.errors import CheckpointError, ConfigError
from dualsys.files import replacing, written_or_said

if TYPE_CHECKING:
    import torch

    from dualsys.app.training.any_learner import AnyLearner
    from dualsys.app.training.averaging import WeightAverage


class TrainingFolder:
    """`OUT/training/`, beside the checkpoint that `OUT` itself is."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / "training"
        self.state_file = self.folder / "state.pt"
        self.log_file = self.folder / "log.jsonl"
        self.starts_file = self.folder / "starts.jsonl"
        self.unsaved_file = self.folder / "unsaved"

    def require_startable(self, *, resume: bool) -> None:
        """Refuse to go on from nothing, and to train over what there is.

        A checkpoint is written before the state of the same step. Where a full disk or a kill came between the first
        two, the checkpoint is there and nothing to go on from: the training begins again, over what it left.

        Raises:
            ConfigError: a new training would overwrite a state or a checkpoint, or lie among other things.
            CheckpointError: there is no state to go on from.
        """
        if resume:
            if not self.state_file.exists():
                raise CheckpointError(f"nothing to resume: {self.state_file} does not exist; start without --resume")
            return
        if self.state_file.exists():
            raise ConfigError(f"{self.state_file} exists: give --resume to go on, or another --out")
        if (self.out / MANIFEST).exists() and not self.unsaved_file.exists():
            raise ConfigError(f"{self.out} holds a checkpoint that a new training would overwrite; give another --out")
        is_ours = (self.out / MANIFEST).exists() or self.folder.is_dir()
        if not is_ours and self.out.is_dir() and any(self.out.iterdir()):
            raise ConfigError(f"{self.out} holds other things than a training; give another --out")

    def clear(self) -> None:
        """Before a new training: lines that are there are of one that died before its first save."""
        for file in (self.log_file, self.starts_file):
            file.unlink(missing_ok=True)

    @property
    def how_to_go_on(self) -> str:
        """After an end before the last step."""
        return "Go on afterwards with --resume" if self.state_file.exists() else "Start again afterwards"

    def begin(self, start: dict[str, Any]) -> None:
        """Note a start, from `start["step"]` steps on: those after it are lost, and will be written again."""
        if not self.state_file.exists():
            with replacing(self.unsaved_file) as partial:
                partial.write_text("No state is saved yet: the training begins again, over what it left.\n")
        self._cut_log(start["step"])
        self._append(self.starts_file, start)

    def save(
        self,
        step: int,
        learner: "AnyLearner",
        average: "WeightAverage",
        optimizer: "torch.optim.Optimizer",
        identity: dict[str, Any],
    ) -> None:
        """Everything a resumed run needs, replaced in one go so that a kill leaves the old or the new one.

        `identity`: what a training must share with this one to go on from here, as JSON holds it.
        """
        import torch  # here: a report needs none of it

        state = {
            "identity": json.dumps(identity),
            "step": step,
            "learner": learner.state_dict(),
            "average": average.shadow,
            "optimizer": optimizer.state_dict(),
        }
        with replacing(self.state_file) as partial, partial.open("wb") as file:
            torch.save(state, file)
        self.unsaved_file.unlink(missing_ok=True)

    def resume(
        self,
        learner: "AnyLearner",
        average: "WeightAverage",
        optimizer: "torch.optim.Optimizer",
        identity: dict[str, Any],
    ) -> int:
        """Load the state; returns the number of steps done. Raises `CheckpointError` where there is none that fits."""
        state = self._read_state(learner.device)
        if differing := differing_settings(json.loads(state["identity"]), identity):
            raise CheckpointError(
                f"{self.state_file} was trained with {differing}; resume with the same, or give another --out"
            )
        try:
            learner.load_state_dict(state["learner"])
            optimizer.load_state_dict(state["optimizer"])
            average.shadow = {name: state["average"][name] for name in average.shadow}
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self.state_file} is of another configuration: {error}") from error
        return int(state["step"])

    def _read_state(self, device: "torch.device") -> dict[str, Any]:
        if not self.state_file.is_file():
            raise CheckpointError(f"nothing to resume: {self.state_file} does not exist; start without --resume")
        import torch

        try:
            state: dict[str, Any] = torch.load(self.state_file, weights_only=True, map_location=device)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).split("\n", 1)[0]
            raise CheckpointError(
                f"{self.state_file} ({self.state_file.stat().st_size} bytes) is damaged or was cut short: {reason} "
                "Put a copy of it back, or start again with another --out; the checkpoint beside it is not touched"
            ) from error
        if "identity" not in state:
            raise CheckpointError(f"{self.state_file} is of an earlier version; start again with another --out")
        return state

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to the curve."""
        self._append(self.log_file, record)

    def records(self) -> list[dict[str, Any]]:
        """The curve so far."""
        return _read_lines(self.log_file)

    def starts(self) -> list[dict[str, Any]]:
        """Every start so far: the first, those after a death, and those by hand."""
        return _read_lines(self.starts_file)

    def _append(self, file: Path, record: dict[str, Any]) -> None:
        with written_or_said(file), file.open("a") as lines:
            lines.write(json.dumps(record) + "\n")

    def _cut_log(self, steps_done: int) -> None:
        kept = [record for record in self.records() if record["step"] <= steps_done]
        with replacing(self.log_file) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in kept))

    def plot(self) -> None:
        """Draw the curve."""
        from dualsys.app.training.curves import draw_curves

        with replacing(self.folder / "curves.png") as partial:
            draw_curves(self.records()).savefig(partial, dpi=110)


def _read_lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    # What stands after the last line's end is a line that a kill or a full disk cut off.
    *lines, _ = file.read_text().split("\n")
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise CheckpointError(f"{file} is damaged: {error}; remove the line that is no JSON") from error
