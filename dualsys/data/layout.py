"""Where everything lies in a LeRobot v3.0 dataset folder, and what its columns are called.

    meta/info.json                               what the dataset is: rate, features, path templates, our provenance
    meta/stats.json                              statistics of every feature
    meta/tasks.parquet                           instructions, by `task_index`
    meta/episodes/chunk-000/file-000.parquet     one row an episode: length, where its rows and frames are, statistics
    data/chunk-000/file-000.parquet              one row a control step, many episodes a file
    videos/<feature>/chunk-000/file-000.mp4      one frame a row, many episodes a file

Source: huggingface/lerobot, `src/lerobot/datasets/{utils,dataset_metadata,dataset_writer}.py`, format "v3.0".
"""

CODEBASE_VERSION = "v3.0"
CHUNKS_SIZE = 1000
"""Files in a `chunk-xxx` folder."""
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
VIDEO_FILE_SECONDS = 1000.0
"""LeRobot looks a frame up by a float32 time within 1e-4 s, which float32 can only tell apart below 1024 s."""

INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
STAGING_DIR = ".recording"
"""Episodes that are recorded but not yet part of the dataset; gone when it is complete."""
BEGUN_WITH = "settings.json"
"""In it: what the recording was begun with."""
IMPORTED_FROM = "imported_from"
"""A setting that imports alone have."""

STATE = "observation.state"
ACTION = "action"
IMAGE_STAMPS = "image_stamp_s"
"""Time the shown frame was taken, by camera. Not `observation.*`: LeRobot would feed it to a policy as state."""
PRIVILEGED = "privileged."
"""Prefix of columns that only a simulator knows: for auxiliary losses, never an input at run time."""

# LeRobot's own columns, in its order.
INDEX_FEATURES: dict[str, str] = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def image_key(camera: str) -> str:
    """Feature name of a camera's images."""
    return f"observation.images.{camera}"


def numbered_file(number: int, chunks_size: int = CHUNKS_SIZE) -> tuple[int, int]:
    """`(chunk_index, file_index)` of the n-th file."""
    return divmod(number, chunks_size)


def file_number(chunk_index: int, file_index: int, chunks_size: int = CHUNKS_SIZE) -> int:
    """Inverse of `numbered_file`."""
    return chunk_index * chunks_size + file_index
