"""A published folder becomes a controller that gives the authors' actions, statistics included; all else is refused."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dualsys.actor.flow_actor import FlowActor
from dualsys.app.cli import main
from dualsys.app.controller import Controller
from dualsys.app.importing.conversion import Wish, plan_import
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError
from dualsys.messages import Observation
from dualsys.planner.feature_planner import FeaturePlanner
from dualsys.planner.prefix_planner import PrefixPlanner
from tests.parity import groot_fixtures, pi_fixtures
from tests.parity.published_folders import (
    WIDTH,
    WORDS,
    groot_folder,
    hollow_weights,
    lerobot_folder,
    lerobot_words,
    numbers,
    openpi_folder,
    tokenizer_folder,
)

Layout = Callable[[Path, str], Path]
PI: list[tuple[str, Layout, str]] = [
    ("lerobot-pi0", lerobot_folder, "lerobot_pi0"),
    ("openpi-pi05", openpi_folder, "lerobot_pi05"),
    ("lerobot-smolvla", lerobot_folder, "lerobot_smolvla_special"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokenizer_folder(tmp_path_factory.mktemp("words"))


def imported(folder: Path, tokenizer: Path, *options: str) -> Checkpoint:
    out = folder.with_name(f"{folder.name}-ours")
    assert main(["import", str(folder), "--out", str(out), "--tokenizer", str(tokenizer), *options]) == 0
    return Checkpoint.open(out)


def offset_and_scale(mode: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As publishers write the three down, not as our code does."""
    told = numbers(seed)
    if mode == "mean-std":
        return told["mean"], told["std"]
    low, high = (told["q01"], told["q99"]) if mode == "quantiles" else (told["min"], told["max"])
    return (low + high) / 2, (high - low) / 2


def physical(normalized: torch.Tensor, mode: str, seed: int) -> np.ndarray:
    offset, scale = offset_and_scale(mode, seed)
    rows: np.ndarray = normalized.double().numpy() * scale + offset
    return rows


@pytest.mark.parametrize(("layout", "build", "name"), PI, ids=[case[0] for case in PI])
def test_a_folder_of_the_pi_family_gives_its_authors_actions(
    layout: str, build: Layout, name: str, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cameras = ("--cameras", "base_0_rgb", "left_wrist_0_rgb") if layout.startswith("openpi") else ()
    checkpoint = imported(build(tmp_path / "published", name), tokenizer, *cameras)
    fixture = pi_fixtures.load(name)
    planner, actor = PrefixPlanner.from_checkpoint(checkpoint), FlowActor.from_checkpoint(checkpoint)
    with torch.inference_mode():
        prefix = pi_fixtures.prefix_of(fixture, planner.network)
    torch.testing.assert_close(torch.stack(prefix.keys_LBNSH), fixture.out["kv_keys"], rtol=1e-5, atol=1e-4)
    mode = "quantiles" if "pi05" in layout else "mean-std"
    memory = pi_fixtures.stacked(prefix)[0].numpy(), prefix.mask_BS[0].numpy()
    monkeypatch.setattr(actor, "_arrays", type("Told", (), {"read": lambda *_: memory})())
    monkeypatch.setattr(actor, "_draw_noise", fixture.given["noise"][0].numpy)
    state = physical(fixture.given["state"][0], mode, seed=1)
    chunk = actor.act(Observation(stamp_s=1.0, state=state), None)
    np.testing.assert_allclose(chunk.rows, physical(fixture.out["actions"][0], mode, seed=2), atol=1e-4)


@pytest.mark.parametrize("version", groot_fixtures.VERSIONS)
def test_a_folder_of_groot_gives_its_authors_actions(version: Any, tokenizer: Path, tmp_path: Path) -> None:
    folder = groot_folder(tmp_path / "published", f"lerobot_groot_{version}")
    checkpoint = imported(folder, tokenizer)
    fixture = groot_fixtures.load(version)
    planner, actor = FeaturePlanner.from_checkpoint(checkpoint), FlowActor.from_checkpoint(checkpoint)
    given = groot_fixtures.backbone_inputs(fixture)
    with torch.inference_mode():
        features = planner.backbone(**given)
    torch.testing.assert_close(features, fixture.out["backbone_features"], rtol=1e-5, atol=1e-4)
    config = json.loads((checkpoint.folder / "config.json").read_text())["actor"]["config"]
    assert config["robot"] == 1
    for name, value in actor.expert.state_dict().items():
        assert torch.equal(value, fixture.actor_weights[name]), name
    offset, scale = offset_and_scale("quantiles" if version == "n1_7" else "min-max", 2)
    np.testing.assert_allclose(actor.statistics.action.mean, offset)
    np.testing.assert_allclose(actor.statistics.action.std, scale)


def test_what_was_imported_is_driven(tokenizer: Path, tmp_path: Path) -> None:
    checkpoint = imported(lerobot_folder(tmp_path / "published", "lerobot_pi0"), tokenizer, "--rate-hz", "20")
    with Controller.from_checkpoint(checkpoint.folder) as controller:
        spec = controller.embodiment
        assert (spec.num_states, spec.num_actions, [camera.name for camera in spec.cameras]) == (
            WIDTH,
            WIDTH,
            ["top", "wrist"],
        )
        command = controller.step(spec.fake_observation(np.random.default_rng(0), instruction=WORDS[0]))
    assert np.isfinite(command.target).all()
    assert checkpoint.manifest.actor.config["dt_s"] == 0.05


def test_a_dry_run_reports_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_smolvla_special")
    monkeypatch.setattr("dualsys.app.importing.tensor_files.TensorFiles.blocks", None)  # no weight is read
    assert main(["import", str(folder), "--dry-run", "--json", str(tmp_path / "report.json")]) == 0
    printed = capsys.readouterr().out
    assert "lerobot-smolvla" in printed
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["tensors"]["tied"] == ["model.vlm_with_expert.vlm.lm_head.weight"]
    assert told["tensors"]["read"] + 1 == told["tensors"]["in the files"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["published", "report.json"]


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["import", str(folder), "--dry-run", *options]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


EXPERT = "model.paligemma_with_expert.gemma_expert.model.norm.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda w: w.pop(EXPERT), "1 missing: norm_out.weight"),
        (
            lambda w: w.update({"model.critic.weight": torch.zeros(1)}),
            "1 tensors that this layout doesn't have: critic",
        ),
        (lambda w: w.update({EXPERT: torch.zeros(3)}), r"of another shape: norm_out.weight \(3,\) for \(32,\)"),
        (lambda w: w.update({EXPERT: w[EXPERT].to(torch.int8)}), "stored as I8"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    spoil: Callable[[dict[str, torch.Tensor]], Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    change_weights(folder, spoil)
    assert re.search(message, refused(folder, capsys))


def test_statistics_under_another_name_are_an_error_until_it_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_smolvla_special", key="so100.buffer.")
    assert "--statistics-prefix so100.buffer." in refused(folder, capsys)
    assert main(["import", str(folder), "--dry-run", "--statistics-prefix", "so100.buffer."]) == 0


def test_missing_statistics_are_an_error_until_others_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    for path in folder.glob("policy_*"):
        path.unlink()
    assert "no statistics state.mean" in refused(folder, capsys)
    stats = {key: {k: v.tolist() for k, v in numbers(1).items()} for key in ("observation.state", "action")}
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    assert main(["import", str(folder), "--dry-run", "--statistics", str(tmp_path / "stats.json")]) == 0
    stats["action"]["mean"][0] = float("inf")
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    assert "not finite" in refused(folder, capsys, "--statistics", str(tmp_path / "stats.json"))


def test_statistics_inside_the_weights_are_found(tmp_path: Path) -> None:
    """LeRobot kept them there before it had processors."""
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    for path in folder.glob("policy_*"):
        path.unlink()
    inside = {
        f"{where}.{kind}": torch.from_numpy(numbers(seed)[kind])
        for where, seed in (
            ("normalize_inputs.buffer_observation_state", 1),
            ("normalize_targets.buffer_action", 2),
            ("unnormalize_outputs.buffer_action", 2),
        )
        for kind in ("mean", "std")
    }
    change_weights(folder, lambda weights: weights.update(inside))
    plan = plan_import(Wish(checkpoint=folder))
    np.testing.assert_allclose(plan.statistics.action.mean, numbers(2)["mean"])


def test_what_is_no_published_checkpoint_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "doesn't exist" in refused(tmp_path / "nowhere", capsys)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "may be a pickle" in refused(tmp_path, capsys)
    save_file({"layer.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert "is of no layout that can be imported" in refused(tmp_path, capsys)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors at all")
    assert "no safetensors file or is cut short" in refused(tmp_path, capsys)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
    assert "outside of its folder" in refused(tmp_path, capsys)


def test_config_and_tensors_that_contradict_are_refused(tmp_path: Path) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "type": "pi05"}))
    with pytest.raises(CheckpointError, match=r"says 'pi05', its tensors are those of lerobot-pi0.*--layout"):
        plan_import(Wish(checkpoint=folder))
    (folder / "config.json").write_text(json.dumps({**config, "use_relative_actions": True}))
    with pytest.raises(CheckpointError, match="use_relative_actions"):
        plan_import(Wish(checkpoint=folder))


GEMMAS = {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}
FULL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lerobot-pi0": ("lerobot_pi0", "model.", lerobot_words("pi0", **GEMMAS)),
    "lerobot-pi05": ("lerobot_pi05", "model.", lerobot_words("pi05", **GEMMAS)),
    "openpi-pi0": ("openpi_pi0", "", {"action_dim": 32, "action_horizon": 50, "precision": "bfloat16", **GEMMAS}),
    "lerobot-smolvla": ("lerobot_smolvla", "model.", lerobot_words("smolvla", num_steps=10, num_vlm_layers=16)),
    "groot-n1.5": ("lerobot_groot_n1_5", "", {"action_head_cfg": groot_fixtures.FULL_HEADS["n1_5"]}),
    "groot-n1.7": ("lerobot_groot_n1_7", "", groot_fixtures.FULL_HEADS["n1_7"]),
}


@pytest.mark.parametrize("layout", FULL)
def test_a_folder_of_full_size_is_understood_from_its_headers(layout: str, tmp_path: Path) -> None:
    """As on the hub: sizes told by name, statistics of another file, every tensor's place and shape checked."""
    name, prefix, config = FULL[layout]
    folder = tmp_path / "published"
    folder.mkdir()
    hollow_weights(folder / "model.safetensors", pi_fixtures.published(name), prefix)
    (folder / "config.json").write_text(json.dumps(config))
    if layout == "groot-n1.7":
        (folder / "embodiment_id.json").write_text('{"new_embodiment": 10}')
    numbers = {kind: [float(at)] * 32 for at, kind in enumerate(("min", "q01", "mean", "std", "q99", "max"))}
    stats = {"observation.state": numbers, "action": numbers}
    (tmp_path / "stats.json").write_text(json.dumps(stats))
    plan = plan_import(Wish(checkpoint=folder, statistics=tmp_path / "stats.json"))
    assert plan.family.layout == layout
    unread = [name for name in plan.unread if not name.endswith("gemma_expert.lm_head.weight")]
    assert unread == []
    assert plan.published.files.nbytes > (0.8e9 if "smolvla" in layout else 4e9)


STREAM = """
import resource, sys
from pathlib import Path
from dualsys.app.importing.rules import Piece
from dualsys.app.importing.streamed import write_streamed
from dualsys.app.importing.tensor_files import TensorFiles
source = TensorFiles.open(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_streamed(Path(sys.argv[2]), {n.upper(): (Piece(n, None),) for n in source.tensors}, source)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_a_large_file_is_never_held(tmp_path: Path) -> None:
    size = 40_000_000
    save_file({name: torch.full((size // 4,), float(i)) for i, name in enumerate("abcd")}, tmp_path / "a.safetensors")
    arguments = [sys.executable, "-c", STREAM, str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.25 * 4 * size
    with safe_open(tmp_path / "b.safetensors", framework="pt") as written:
        assert written.get_tensor("D").eq(3.0).all()
