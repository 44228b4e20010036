"""Whether a dataset is fit for training: one check a file, each a pure function of a folder's arrays.

from dualsys.data.quality import check_data
for finding in check_data(read_folder(root, None)): ...
"""

from collections.abc import Callable

from dualsys.data.folder import FolderData
from dualsys.data.quality.alignment import check_alignment
from dualsys.data.quality.cameras import check_cameras
from dualsys.data.quality.episodes import check_duplicates, check_instructions, check_lengths
from dualsys.data.quality.finding import Finding as Finding
from dualsys.data.quality.finding import Place as Place
from dualsys.data.quality.finding import Verdict as Verdict
from dualsys.data.quality.finding import worst as worst
from dualsys.data.quality.origin import check_origin
from dualsys.data.quality.origin import origin as origin
from dualsys.data.quality.saturation import check_saturation
from dualsys.data.quality.stamps import check_stamps
from dualsys.data.quality.stored_files import check_files as check_files
from dualsys.data.quality.values import check_values

CHECKS: tuple[Callable[[FolderData], Finding], ...] = (
    check_stamps,
    check_values,
    check_alignment,
    check_cameras,
    check_saturation,
    check_lengths,
    check_instructions,
    check_duplicates,
    check_origin,
)


def check_data(data: FolderData) -> list[Finding]:
    """Every check's finding, in a fixed order."""
    return [check(data) for check in CHECKS]
