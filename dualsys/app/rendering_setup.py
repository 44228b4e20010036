"""Can MuJoCo render here, with what, and what to install where it cannot.

`python -m dualsys.app.rendering_setup` is the last step of the Makefile's set-up: it renders one picture with the
renderer everything else uses, and where that fails installs Mesa with apt if it may, else prints the command.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

PACKAGES = {"egl": ("libegl1", "libgl1"), "osmesa": ("libosmesa6",)}
"""Debian packages that make a backend work on a machine without a GPU, in the order they are tried."""

_PROGRAM = """
import mujoco
from dualsys.sim_envs.rendering import Renderer, backend
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 2'/><camera name='c' pos='0 -1 0' xyaxes='1 0 0 0 0 1'/>"
    "<geom type='sphere' size='.2'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = Renderer(model, height=32, width=32)
image = renderer.render(data, "c")
renderer.close()
assert image.std() > 1, "the picture is blank"
print(backend())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderProbe:
    """What came of rendering one small picture in a process of its own."""

    backend: str | None
    """`egl` or `osmesa`; None where nothing renders."""
    reason: str = ""
    """Last line of the failure."""


def probe_rendering(*, timeout_s: float = 60.0) -> RenderProbe:
    """Render a sphere, in a process of its own: a broken driver may end the process."""
    command = [sys.executable, "-c", _PROGRAM]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return RenderProbe(backend=None, reason=f"no picture after {timeout_s:.0f} s")
    if done.returncode == 0:
        return RenderProbe(backend=done.stdout.strip())
    lines = done.stderr.strip().splitlines()
    return RenderProbe(backend=None, reason=lines[-1] if lines else f"exit status {done.returncode}")


def install_command(backend: str = "egl") -> list[str]:
    """The command that installs what a backend needs."""
    return ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES[backend]]


def _privilege() -> list[str] | None:
    """What to put before a command so that it runs as root without asking; None where that is not allowed."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def _install(prefix: list[str], backend: str) -> bool:
    sys.stderr.write(f"setup: installing {' '.join(PACKAGES[backend])} for rendering\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], install_command(backend)):
        if subprocess.run([*prefix, *command], env=environment, check=False, stdout=subprocess.DEVNULL).returncode != 0:
            return False
    return True


def main() -> int:
    """Make rendering work or say how. Returns 0 where it works."""
    found = probe_rendering()
    prefix = _privilege() if found.backend is None and shutil.which("apt-get") else None
    if prefix is not None:
        for backend in PACKAGES:
            if _install(prefix, backend) and (found := probe_rendering()).backend is not None:
                break
    if found.backend is not None:
        sys.stdout.write(f"setup: MuJoCo renders with {found.backend}\n")
        return 0
    command = " ".join(install_command())
    sys.stderr.write(
        f"setup: MuJoCo cannot render here ({found.reason}). Install Mesa:  sudo apt-get update && sudo {command}\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
