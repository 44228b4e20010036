"""Whether every file is there that the format has: reading rows and frames alone would not miss the statistics."""

from dualsys.data import layout
from dualsys.data.folder import FolderData
from dualsys.data.info import DatasetInfo
from dualsys.data.quality.finding import Finding
from dualsys.errors import DatasetError
from dualsys.files import read_json


def check_files(data: FolderData) -> Finding:
    """Of a folder whose rows and frames were read: its statistics, of every feature."""
    path = data.root / layout.STATS_PATH
    if not path.is_file():
        return _failed(f"{path} is missing")
    try:
        found = read_json(path)
    except DatasetError as error:
        return _failed(str(error))
    known = found if isinstance(found, dict) else {}
    if lacking := sorted(set(DatasetInfo.read(data.root).features) - set(known)):
        return _failed(f"{path} has nothing of {', '.join(lacking)}")
    return Finding(check="files", verdict="pass", summary="every file is whole and fits meta/info.json")


def _failed(summary: str) -> Finding:
    return Finding(
        check="files",
        verdict="fail",
        summary=summary,
        mend="LeRobot normalises by it: copy it from where the dataset is from, or record or import the dataset again",
    )
