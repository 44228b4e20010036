"""The same two episodes as each project stores them, written with h5py, zarr and pyarrow from the projects' layouts."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from numpy.typing import NDArray
from PIL import Image

FPS = 20
SIZE = 32
LENGTHS = (30, 24)
INSTRUCTION = "put the block in the bowl"
NU = 3


def states(index: int) -> NDArray[np.float32]:
    """`(n, 3)`: one row behind the actions."""
    later = actions(index)
    return np.concatenate([later[:1], later[:-1]])


def actions(index: int) -> NDArray[np.float32]:
    t = np.arange(LENGTHS[index])[:, None] / FPS
    return np.asarray(np.sin(t * (1 + np.arange(NU)) + index), np.float32)


def pictures(index: int) -> NDArray[np.uint8]:
    """`(n, 32, 32, 3)`: no mirror image of itself, red and blue differ, each picture is shown for two rows."""
    count = LENGTHS[index]
    film = np.full((count, SIZE, SIZE, 3), 100, np.uint8)
    for row in range(count):
        left = (row // 2) % 16
        film[row, 2:14, left : left + 14] = (220, 60, 20)
        film[row, 16:28, 2:6] = (20, 60, 220)
    return film


def write_act(root: Path, *, jpeg: bool = False) -> Path:
    root.mkdir()
    for index in range(2):
        with h5py.File(root / f"episode_{index}.hdf5", "w") as file:
            file.attrs["sim"] = True
            observations = file.create_group("observations")
            film = pictures(index)
            if jpeg:
                file.attrs["compress"] = True
                blobs = [_jpeg(picture) for picture in film]
                film = np.zeros((len(blobs), max(map(len, blobs))), np.uint8)
                for row, blob in enumerate(blobs):
                    film[row, : len(blob)] = np.frombuffer(blob, np.uint8)
            observations.create_group("images").create_dataset("top", data=film)
            observations.create_dataset("qpos", data=states(index).astype(np.float64))
            observations.create_dataset("qvel", data=np.gradient(states(index), axis=0))
            file.create_dataset("action", data=actions(index).astype(np.float64))
    return root


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    """As OpenCV writes an RGB array that it takes for BGR: red and blue change places in the file."""
    buffer = io.BytesIO()
    Image.fromarray(picture[..., ::-1].copy()).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def write_robomimic(path: Path) -> Path:
    arguments = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": FPS}}
    arguments["env_kwargs"] |= {"controller_configs": {"type": "OSC_POSE"}}  # type: ignore[operator]
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(arguments)
        for index in range(2):
            demo = data.create_group(f"demo_{index}")
            observations = demo.create_group("obs")
            observations.create_dataset("robot0_eef_pos", data=states(index)[:, :2].astype(np.float64))
            observations.create_dataset("robot0_eef_quat", data=states(index)[:, 2:])
            observations.create_dataset("robot0_gripper_qpos", data=np.zeros((LENGTHS[index], 0)))
            observations.create_dataset("agentview_image", data=pictures(index))
            demo.create_dataset("actions", data=actions(index))
            demo.create_dataset("rewards", data=np.eye(1, LENGTHS[index], LENGTHS[index] - 1 - index)[0] * (1 - index))
            demo.attrs["num_samples"] = LENGTHS[index]
    return path


def write_libero(root: Path, *, named: bool = True) -> Path:
    """A task a file, pictures with the first row at the bottom, the words in an attribute or in the file's name."""
    root.mkdir()
    for index in range(2):
        place = "bowl" if index == 0 else "drawer"
        with h5py.File(root / f"KITCHEN_SCENE3_put_the_block_in_the_{place}_demo.hdf5", "w") as file:
            data = file.create_group("data")
            data.attrs["bddl_file_name"] = "libero/bddl_files/x.bddl"
            data.attrs["macros_image_convention"] = "opengl"
            data.attrs["env_args"] = json.dumps({"env_name": "Libero_Kitchen", "env_kwargs": {"control_freq": FPS}})
            if named:
                told = {"language_instruction": f"put the block in the {place}"}
                data.attrs["problem_info"] = json.dumps(told)
            demo = data.create_group("demo_0")
            observations = demo.create_group("obs")
            observations.create_dataset("joint_states", data=states(index)[:, :2])
            observations.create_dataset("gripper_states", data=states(index)[:, 2:])
            observations.create_dataset("agentview_rgb", data=pictures(index)[:, ::-1])
            demo.create_dataset("actions", data=actions(index))
    return root


def write_zarr(path: Path, zarr_format: int = 2, *, floats: bool = True) -> Path:
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else path
    root = zarr.open_group(store, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    film = np.concatenate([pictures(0), pictures(1)])
    columns = {
        "meta/episode_ends": np.cumsum(LENGTHS),
        "data/state": np.concatenate([states(0), states(1)]),
        "data/action": np.concatenate([actions(0), actions(1)]),
        "data/img": film.astype(np.float32) if floats else film,
        "data/keypoint": np.zeros((sum(LENGTHS), 9, 2), np.float32),
    }
    for name, values in columns.items():
        root.create_array(name, data=values, chunks=(10, *values.shape[1:]))
    if path.suffix == ".zip":
        store.close()  # type: ignore[union-attr]
    return path


def write_lerobot_v21(root: Path) -> Path:
    """With pictures inside the rows; the fixture that LeRobot itself wrote has videos."""
    (root / "meta").mkdir(parents=True)
    names = ["shoulder", "elbow", "wrist"]
    features = {
        "observation.state": {"dtype": "float32", "shape": [NU], "names": {"motors": names}},
        "action": {"dtype": "float32", "shape": [NU], "names": {"motors": names}},
        "observation.images.top": {"dtype": "image", "shape": [3, SIZE, SIZE], "names": None},
    }
    info = {"codebase_version": "v2.1", "robot_type": "arm", "total_episodes": 2, "fps": FPS, "features": features}
    info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    (root / "meta/info.json").write_text(json.dumps(info))
    lines = [{"episode_index": i, "tasks": [INSTRUCTION], "length": LENGTHS[i]} for i in range(2)]
    (root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "data/chunk-000").mkdir(parents=True)
    for index in range(2):
        table = pa.table(
            {
                "observation.state": pa.array(list(states(index)), pa.list_(pa.float32())),
                "action": pa.array(list(actions(index)), pa.list_(pa.float32())),
                "observation.images.top": [{"bytes": _png(p), "path": "x.png"} for p in pictures(index)],
            }
        )
        pq.write_table(table, root / f"data/chunk-000/episode_{index:06d}.parquet")
    return root


def _png(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Path], Path]] = {
    "act-hdf5": lambda folder: write_act(folder / "act"),
    "robomimic-hdf5": lambda folder: write_robomimic(folder / "lift.hdf5"),
    "libero-hdf5": lambda folder: write_libero(folder / "libero"),
    "diffusion-policy-zarr": lambda folder: write_zarr(folder / "pusht.zarr"),
    "lerobot-v2.1": lambda folder: write_lerobot_v21(folder / "v21"),
}
