"""Subgoals of every frame of a dataset, computed once: what an actor is trained on while its planner stays as it is.

They are kept on disk beside the training, with a key that names the weights and the frames they are of.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dualsys.app.training.sampler import TrainingData
from dualsys.files import replacing, write_json
from dualsys.planner.preprocessing import images_to_pixels
from dualsys.planner.vlm_planner import VLMPlanner

FRAMES_AT_ONCE = 64
_FRAMES_IN_KEY = 256
_TELL_EVERY_FRAMES = 100 * FRAMES_AT_ONCE


def subgoals_of_frames(
    planner: VLMPlanner, data: TrainingData, folder: Path, say: Callable[[str], None]
) -> NDArray[np.float32]:
    """`(F, K, C)`: the planner's subgoal for each frame and its episode's instruction, mapped from disk.

    Args:
        planner: As it will run.
        data: Frames and instructions.
        folder: Where the result is kept, and found again.
        say: Told now and then how far it is.
    """
    path, key_path = folder / "subgoals.npy", folder / "subgoals.json"
    key = {"weights": _digest(planner), "frames": _frames_digest(data), "words": _words_digest(data)}
    if not (path.is_file() and key_path.is_file() and json.loads(key_path.read_text()) == key):
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, _computed(planner, data, say))
        write_json(key_path, key)
    tokens: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return tokens


@torch.inference_mode()
def _computed(planner: VLMPlanner, data: TrainingData, say: Callable[[str], None]) -> NDArray[np.float32]:
    spec, network = planner.subgoal_spec, planner.network.eval()
    episodes = data.episode_of_frame()
    tokens = np.empty((len(data.frames), spec.num_tokens, spec.dim), np.float32)
    for start in range(0, len(tokens), FRAMES_AT_ONCE):
        part = slice(start, min(start + FRAMES_AT_ONCE, len(tokens)))
        pixels = images_to_pixels(data.frames[part], network.backbone.image_size, network.backbone.device)
        prompt = planner.prompt([data.instructions[episode] for episode in episodes[part]])
        if planner.config.goal_image:
            last = data.episode_starts[episodes[part]] + data.episode_lengths[episodes[part]] - 1
            goals = data.frames[data.frame_of_row[last]]
            pixels = torch.stack(
                [pixels, images_to_pixels(goals, network.backbone.image_size, network.backbone.device)], dim=1
            )
        tokens[part] = network(pixels, prompt).float().cpu().numpy()
        if part.stop % _TELL_EVERY_FRAMES == 0 or part.stop == len(tokens):
            say(f"subgoals of {part.stop} of {len(tokens)} frames")
    return tokens


def _digest(planner: VLMPlanner) -> str:
    digest = hashlib.sha256()
    for name, value in planner.network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _frames_digest(data: TrainingData) -> str:
    """Of frames all through the dataset, and which episode each is from: another recording differs in these."""
    digest = hashlib.sha256(data.episode_of_frame().tobytes())
    some = np.unique(np.linspace(0, len(data.frames) - 1, _FRAMES_IN_KEY).astype(np.int64))
    digest.update(np.ascontiguousarray(data.frames[some]).tobytes())
    return digest.hexdigest()


def _words_digest(data: TrainingData) -> str:
    return hashlib.sha256(json.dumps(data.instructions).encode()).hexdigest()
