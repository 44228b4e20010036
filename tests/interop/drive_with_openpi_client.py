"""A harness with openpi's stock client: its environment, its chunk broker, our served controller. See README.md.

    dualsys policy serve --port 8000
    python tests/interop/drive_with_openpi_client.py --address ws://127.0.0.1:8000 --episodes 10

Nothing of dualsys is used but the simulated task: observations are put together and rows played as openpi's own
examples do it (`examples/libero/main.py`), `replan` rows of each chunk, without our gate.
"""

import argparse
import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np


def drive(address: str, task: str, episodes: int, seed: int, replan: int) -> dict[str, Any]:
    """Episodes one after the other; how each went."""
    from openpi_client.action_chunk_broker import ActionChunkBroker
    from openpi_client.websocket_client_policy import WebsocketClientPolicy

    from dualsys import sim_envs

    client = WebsocketClientPolicy(host=address)
    policy = ActionChunkBroker(client, action_horizon=replan)
    about = client.get_server_metadata()["dualsys"]
    size = about["embodiment"]["cameras"][0]["height"]
    environment: Any = sim_envs.make(task, images="on-demand", image_size=size)
    successes = []
    for number in range(episodes):
        environment.reset(seed=seed + number)
        policy.reset()
        over = False
        while not over:
            action = policy.infer(element(environment.observe()))["actions"]
            _, _, terminated, truncated, _ = environment.step(np.asarray(action, np.float64))
            over = terminated or truncated
        successes.append(bool(environment.success))
    environment.close()
    return {
        "openpi-client": version("openpi-client"),
        "task": task,
        "checkpoint": about["checkpoint"],
        "weights": about["weights"],
        "seeds": [seed, seed + episodes - 1],
        "replan": replan,
        "successes": sum(successes),
        "episodes": episodes,
    }


def element(observation: Any) -> dict[str, Any]:
    """An observation under the names that `dualsys policy serve` has for its parts."""
    return {
        "state": observation.state,
        "images": dict(observation.images),
        "prompt": observation.instruction,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="ws://127.0.0.1:8000")
    parser.add_argument("--task", default="humanoid/touch")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=8000)
    parser.add_argument("--replan", type=int, default=5, help="rows played of each chunk")
    given = parser.parse_args()
    json.dump(drive(given.address, given.task, given.episodes, given.seed, given.replan), sys.stdout, indent=2)
    sys.stdout.write("\n")
