"""How much memory a process holds."""

from pathlib import Path

_COUNTED = ("Pss_Anon:", "Pss_Shmem:")


def resident_mb(pid: int | None = None) -> float:
    """Memory it allocated, and its share of shared memory, in MB; 0 for a process that is gone or no longer ours.

    Program files that are mapped don't count: a process's share of them changes with who else runs the same ones.

    Args:
        pid: Process; None: this one.
    """
    try:
        text = Path(f"/proc/{pid or 'self'}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(_COUNTED)) / 1024


def growth_mb_per_hour(samples: list[tuple[float, float]]) -> float:
    """Slope of memory against time, by least squares over the second half, when everything has been used once.

    Args:
        samples: Hours, and MB by then.
    """
    half = [sample for sample in samples if sample[0] >= samples[-1][0] / 2] if samples else []
    if len(half) < 2:
        return 0.0
    mean_h, mean_mb = (sum(column) / len(half) for column in zip(*half, strict=True))
    spread = sum((hours - mean_h) ** 2 for hours, _ in half)
    return sum((hours - mean_h) * (mb - mean_mb) for hours, mb in half) / spread if spread else 0.0
