"""LeRobot's side of `benchmarks.training_speed`: ACT through LeRobot's own dataset, loader, processor and policy.

Runs where LeRobot is installed and dualsys is not. Says on a line of JSON what it built, then for every line it reads
(`{"data": "loader" | "memory", "steps": N}`) takes so many steps and answers with the time they took. A step is that of
`lerobot.scripts.lerobot_train`: the loader's next batch, the processor (normalisation), forward, backward, clipping,
AdamW. With `memory` the batches were loaded before. The loader has no processes of its own: they would go on loading
while the other side measures.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

DEFAULT_RATIO = 3200 / 512
"""Width of ACT's feed-forward layers over that of its tokens, as LeRobot ships it."""
KEPT_BATCHES = 4
GRADIENT_NORM = 10.0
LEVELS = 255.0


def num_parameters(policy: Any) -> int:
    """Of all that is trained."""
    return sum(value.numel() for value in policy.parameters() if value.requires_grad)


def build(config: Any, width: int, feed_forward: int) -> Any:
    """ACT at these widths, weights fresh."""
    from lerobot.policies.act.modeling_act import ACTPolicy

    config.dim_model, config.dim_feedforward = width, feed_forward
    return ACTPolicy(config)


def build_with(config: Any, parameters: int) -> Any:
    """ACT with so many parameters: the width at which its feed-forward layers come nearest to their usual ratio."""
    best: tuple[float, int, int] | None = None
    for width in range(32, 801, 32):
        small, larger = (num_parameters(build(config, width, size)) for size in (8, 16))
        feed_forward = 8 + round((parameters - small) / ((larger - small) / 8))
        if feed_forward < 8:
            break
        distance = abs(feed_forward / width / DEFAULT_RATIO - 1)
        if best is None or distance < best[0]:
            best = distance, width, feed_forward
    if best is None:
        raise SystemExit(f"ACT cannot be as small as {parameters} parameters: its ResNet18 alone has 11.2 million")
    return build(config, *best[1:])


def batches_of(loader: Any) -> Iterator[dict[str, Any]]:
    """Epoch after epoch."""
    while True:
        yield from loader


class Training:
    """Dataset, loader, policy and optimizer as LeRobot's training script makes them."""

    def __init__(self, options: argparse.Namespace) -> None:
        from lerobot.configs.types import FeatureType
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
        from lerobot.policies.act.configuration_act import ACTConfig
        from lerobot.policies.act.processor_act import make_act_pre_post_processors
        from lerobot.utils.constants import IMAGENET_STATS
        from lerobot.utils.feature_utils import dataset_to_policy_features

        name = f"local/{options.folder.name}"
        meta = LeRobotDataset(name, root=options.folder, video_backend=options.video_backend).meta
        features = dataset_to_policy_features(meta.features)
        config = ACTConfig(
            input_features={key: each for key, each in features.items() if key.startswith("observation.")},
            output_features={key: each for key, each in features.items() if each.type is FeatureType.ACTION},
            chunk_size=options.horizon,
            n_action_steps=options.horizon,
            pretrained_backbone_weights=None,
            device="cpu",
        )
        self.dataset: Any = LeRobotDataset(
            name,
            root=options.folder,
            delta_timestamps={"action": [index / meta.fps for index in config.action_delta_indices]},
            video_backend=options.video_backend,
            return_uint8=True,
        )
        statistics = self.dataset.meta.stats
        for key in self.dataset.meta.camera_keys:
            for kind, values in IMAGENET_STATS.items():
                statistics[key][kind] = torch.tensor(values, dtype=torch.float32)
        torch.manual_seed(0)
        self.policy = build_with(config, options.parameters)
        self.config = config
        self.prepare, _ = make_act_pre_post_processors(config, statistics)
        self.optimizer = config.get_optimizer_preset().build(self.policy.get_optim_params())
        self.loader = torch.utils.data.DataLoader(
            self.dataset,
            batch_size=options.batch_size,
            shuffle=True,
            drop_last=True,
        )
        self.loaded = batches_of(self.loader)
        self._kept: Iterator[dict[str, Any]] | None = None

    def describe(self) -> dict[str, Any]:
        """What was built, on what."""
        first = self.dataset[0]
        return {
            "policy": "ACT",
            "parameters": num_parameters(self.policy),
            "dim_model": self.config.dim_model,
            "dim_feedforward": self.config.dim_feedforward,
            "vision_backbone": self.config.vision_backbone,
            "image": list(first[next(iter(self.dataset.meta.camera_keys))].shape),
            "chunk": list(first["action"].shape),
            "rows": len(self.dataset),
            "versions": {name: version(name) for name in ("lerobot", "torch", "torchvision", "av")},
            "python": sys.version.split()[0],
        }

    def kept(self) -> Iterator[dict[str, Any]]:
        """A few batches that lie in memory, again and again."""
        if self._kept is None:
            self._kept = cycle([next(self.loaded) for _ in range(KEPT_BATCHES)])
        return self._kept

    def step(self, batches: Iterator[dict[str, Any]]) -> float:
        """One optimizer step; returns the loss."""
        batch = dict(next(batches))
        for key in self.dataset.meta.camera_keys:
            batch[key] = batch[key].to(dtype=torch.float32) / LEVELS
        batch = self.prepare(batch)
        self.policy.train()
        loss, _ = self.policy.forward(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.item())

    def block(self, data: str, steps: int) -> dict[str, float]:
        """Time of so many steps."""
        batches = self.loaded if data == "loader" else self.kept()
        wall_s, cpu_s, loss = time.perf_counter(), time.process_time(), 0.0
        for _ in range(steps):
            loss = self.step(batches)
        return {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s, "loss": loss}


def main(options: argparse.Namespace) -> None:
    """Build, then do as told until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(options.threads)
    training = Training(options)
    print(json.dumps(training.describe()), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(training.block(request["data"], request["steps"])), file=answers, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="dataset in LeRobot's format v3")
    parser.add_argument("--parameters", type=int, required=True, help="size that ACT is to have")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=32, help="rows of a chunk")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--video-backend", default="pyav")
    main(parser.parse_args())
