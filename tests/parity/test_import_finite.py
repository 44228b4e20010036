"""Weights that are not finite are never copied, in any dtype; the tensor is named."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dualsys.app.cli import main
from dualsys.app.importing.rules import Piece, Recipes
from dualsys.app.importing.streamed import write_streamed
from dualsys.app.importing.tensor_files import BLOCK_BYTES, TensorFiles
from dualsys.errors import CheckpointError
from tests.parity.published_folders import lerobot_folder, tokenizer_folder

EXPERT = "model.paligemma_with_expert.gemma_expert.model.norm.weight"
WIDTHS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def copied(values: torch.Tensor, folder: Path) -> bool:
    """Whether a file of these values is copied; if not, whether the refusal names the tensor."""
    save_file({"fine": torch.ones(3), "layer.weight": values}, folder / "a.safetensors")
    source = TensorFiles.open(folder / "a.safetensors")
    recipes: Recipes = {name: (Piece(name, None),) for name in source.tensors}
    try:
        write_streamed(folder / "b.safetensors", recipes, source)
    except CheckpointError:
        with pytest.raises(CheckpointError, match=r"a.safetensors: layer.weight .* not finite"):
            write_streamed(folder / "b.safetensors", recipes, source)
        return False
    assert torch.equal(load_file(folder / "b.safetensors")["layer.weight"], values)
    return True


@pytest.mark.parametrize("dtype", WIDTHS)
def test_a_value_is_refused_where_torch_calls_it_not_finite(dtype: torch.dtype, tmp_path: Path) -> None:
    """Of bits drawn by chance, and of each kind of number there is, in the last place of a file of several blocks."""
    limits = torch.finfo(dtype)
    kinds = (float("nan"), float("inf"), -float("inf"), limits.max, limits.min, limits.smallest_normal / 2, -0.0)
    bits = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 12)).view(WIDTHS[dtype])[:12]
    finite = [bool(torch.tensor(kind, dtype=dtype).isfinite()) for kind in kinds]
    assert finite == [False] * 3 + [True] * 4
    drawn = [*(torch.tensor(kind, dtype=dtype) for kind in kinds), *bits.view(dtype)]
    for last in drawn:
        values = torch.zeros(BLOCK_BYTES // dtype.itemsize + 5, dtype=dtype)
        values[-1] = last
        assert copied(values, tmp_path) == bool(last.isfinite())


def test_an_import_of_weights_that_are_not_finite_names_the_tensor_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = lerobot_folder(tmp_path / "published", "lerobot_pi0"), tmp_path / "ours"
    words = tokenizer_folder(tmp_path / "words")
    weights = load_file(folder / "model.safetensors")
    weights[EXPERT][7] = float("nan")
    save_file(weights, folder / "model.safetensors")
    assert main(["import", str(folder), "--out", str(out), "--tokenizer", str(words)]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"model.safetensors: {EXPERT} has numbers that are not finite" in told
    assert not out.exists()
