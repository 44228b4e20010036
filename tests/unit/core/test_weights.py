"""`fill`: weights from a file, cast to the module's own types, or one line about what doesn't fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dualsys.errors import CheckpointError
from dualsys.weights import fill


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).bfloat16())


def stored(tmp_path: Path, **changes: torch.Tensor) -> Path:
    """Weights of another such module, with tensors changed, `gone` left out."""
    torch.manual_seed(0)
    weights = {**module().state_dict(), **{name.replace("_", "."): value for name, value in changes.items()}}
    save_file(
        {name: value.contiguous() for name, value in weights.items() if value.numel()}, tmp_path / "a.safetensors"
    )
    return tmp_path / "a.safetensors"


def test_tensors_are_the_file_s_in_the_module_s_types(tmp_path: Path) -> None:
    file = stored(tmp_path)
    made = module().double()
    fill(made, file, owner="actor")
    torch.manual_seed(0)
    for (name, ours), theirs in zip(made.state_dict().items(), module().state_dict().values(), strict=True):
        assert ours.dtype == torch.float64
        assert torch.equal(ours, theirs.double()), name


def test_what_is_tied_is_neither_asked_for_nor_touched(tmp_path: Path) -> None:
    file = stored(tmp_path, **{"0_bias": torch.empty(0)})
    made = module()
    before = made.state_dict()["0.bias"].clone()
    fill(made, file, owner="actor", tied=["0.bias"])
    assert torch.equal(made.state_dict()["0.bias"], before)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"0_bias": torch.empty(0)}, "missing: 0.bias"),
        ({"9_bias": torch.ones(1)}, "unexpected: 9.bias"),
        ({"0_bias": torch.ones(3)}, r"of another shape: 0.bias \(3,\) for \(2,\)"),
        ({f"{n}_b": torch.ones(1) for n in range(2, 8)}, "unexpected: 2.b, 3.b, 4.b and 3 more"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(
    tmp_path: Path, changes: dict[str, torch.Tensor], told: str
) -> None:
    made = module()
    before = {name: value.clone() for name, value in made.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"actor weights of '{tmp_path.name}' don't fit its config; {told}$"):
        fill(made, stored(tmp_path, **changes), owner="actor")
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_a_file_cut_short_is_one_line(tmp_path: Path) -> None:
    file = stored(tmp_path)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"can't be read \(a.safetensors\): "):
        fill(module(), file, owner="planner")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"can't be read \(a.safetensors\): "):
        fill(module(), file, owner="planner")
