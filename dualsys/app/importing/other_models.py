"""Published folders that look like one of the known layouts and aren't: each refused by its name, with the reason."""

from dualsys.app.importing.family import Published
from dualsys.errors import CheckpointError

_GROOT_MARK = "action_head."
_NVIDIAS = "embodiment_id.json"
_NATIVE = ("model.vlm.", "model.dit.")
"""Of transformers' `PI0ForConditionalGeneration`."""


def require_known(published: Published) -> None:
    """Raise `CheckpointError` for a folder of another model, or of a publisher whose files nothing here reads."""
    reason = _pi0_fast(published) or _native_pi0(published) or _groot_of_lerobot(published)
    if reason:
        raise CheckpointError(f"{published.folder} {reason}")


def _pi0_fast(published: Published) -> str:
    names = published.files.tensors
    paligemma = any("paligemma_with_expert.paligemma." in name for name in names)
    if published.config.get("type") != "pi0_fast" and (not paligemma or any("gemma_expert." in name for name in names)):
        return ""
    return (
        "is pi0-FAST, which says its actions in words of PaliGemma's and has no action expert: another model than pi0, "
        "which can't be imported"
    )


def _native_pi0(published: Published) -> str:
    if not all(any(name.startswith(mark) for name in published.files.tensors) for mark in _NATIVE):
        return ""
    return (
        "is pi0 as transformers' own class saves it, which keeps no statistics of a robot's and shows pictures in "
        "another way; import the folder of LeRobot's or openpi's that it was made of"
    )


def _groot_of_lerobot(published: Published) -> str:
    groot = any(_GROOT_MARK in name for name in published.files.tensors)
    # N1.5's projectors are numbered by NVIDIA's own list, and its statistics can be given: --statistics.
    eagle = any("eagle_model." in name for name in published.files.tensors)
    if not groot or eagle or published.config.get("type") != "groot" or (published.folder / _NVIDIAS).is_file():
        return ""
    return (
        "is a GR00T policy that LeRobot saved: its robot's statistics and the number of its projectors stand in "
        f"policy_preprocessor.json, which isn't read for GR00T. NVIDIA's own folders can be imported ({_NVIDIAS}, "
        "statistics.json, processor_config.json beside the weights)"
    )
