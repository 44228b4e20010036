"""Which camera a planner looks through where none is named."""

from collections.abc import Collection, Mapping

from dualsys.errors import ConfigError

USUAL_CAMERA = "head"


def usual_camera(cameras: Collection[str], left_out: Mapping[str, str], known: str = USUAL_CAMERA) -> str:
    """Camera to look through where none is named: the one that is known already, the usual one, or the only one.

    `left_out`: cameras that were recorded and are left out of joined datasets, with the reason. Raises `ConfigError`
    where one of these would have been taken, and where it is anybody's guess.
    """
    for camera in (known, USUAL_CAMERA):
        if camera in cameras:
            return camera
        if camera in left_out:
            raise ConfigError(
                f"camera {camera!r} is left out: {left_out[camera]}. Name another with --camera, of "
                f"{', '.join(sorted(cameras))}, or leave that dataset out"
            )
    if len(cameras) != 1:
        raise ConfigError(f"--data has the cameras {', '.join(sorted(cameras)) or 'none'}: name one with --camera")
    return next(iter(cameras))
