"""Where a dataset comes from: suite, versions, seeds, expert, success."""

from typing import Any

import numpy as np

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place


def check_origin(data: FolderData) -> Finding:
    """The dataset says what made it, and no seed is there twice."""
    if data.provenance is None:
        return Finding(
            check="provenance",
            verdict="warn",
            summary="the dataset does not say which suite, versions, seeds and expert made it",
            mend="import it, which notes where it comes from: dualsys data import SOURCE --out FOLDER",
        )
    lacking = [name for name in ("task", "expert", "versions") if not getattr(data.provenance, name)]
    known = data.seeds >= 0
    _, first = np.unique(data.seeds, return_index=True)
    twice = known & ~np.isin(np.arange(len(data.seeds)), first)
    if not lacking and not twice.any():
        return Finding(check="provenance", verdict="pass", summary=describe_origin(data))
    problems = [f"no {', '.join(lacking)}"] if lacking else []
    problems += [f"{int(twice.sum())} seeds are there twice"] if twice.any() else []
    return Finding(
        check="provenance",
        verdict="warn",
        summary=f"{'; '.join(problems)}. {describe_origin(data)}",
        where=tuple(
            Place(episode=int(e), first_row=0, last_row=int(data.episode_lengths[e]) - 1, what=f"seed {data.seeds[e]}")
            for e in np.flatnonzero(twice)
        ),
        mend="record it with dualsys demos, which notes them; give each episode a seed of its own",
    )


def describe_origin(data: FolderData) -> str:
    """One line: task, expert, seeds, success, versions."""
    facts = origin(data)
    seeds = f"seeds {facts['seeds'][0]} to {facts['seeds'][1]}" if facts["seeds"] else "seeds unknown"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts["versions"].items()))
    return (
        f"{facts['task'] or 'no task'} by {facts['expert'] or 'nobody named'}, {seeds}, "
        f"{facts['successes']} of {facts['episodes']} succeed ({facts['attempted']} attempted); "
        f"{versions or 'no versions'}"
    )


def origin(data: FolderData) -> dict[str, Any]:
    """The same as JSON takes it."""
    provenance = data.provenance
    known = data.seeds[data.seeds >= 0]
    embodiment = data.embodiment
    return {
        "task": provenance.task if provenance else None,
        "expert": provenance.expert if provenance else None,
        "embodiment": embodiment.name if embodiment else None,
        "fingerprint": embodiment.fingerprint() if embodiment else None,
        "settings": provenance.settings if provenance else {},
        "versions": provenance.versions if provenance else {},
        "seeds": [int(known.min()), int(known.max())] if len(known) else None,
        "attempted": provenance.attempted if provenance else None,
        "failed_seeds": provenance.failed_seeds if provenance else [],
        "episodes": len(data.episode_lengths),
        "successes": int(data.success.sum()),
    }
