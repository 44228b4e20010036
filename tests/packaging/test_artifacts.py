"""The wheel and the sdist hold the whole tree under one name, and the wheel works where nothing else is."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTED_EXTRAS = (
    "humanoid", "metaworld", "fetch", "aloha", "libero", "openpi", "groot-zmq", "import", "train", "finetune", "fast",
)  # fmt: skip
"""Those that `make` installs, and LIBERO, which is pinned beside them."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel built from the sdist, as an index would serve them, and that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def tracked_package_files() -> set[str]:
    """What git tracks of the package, by import path: the parts under `dualsys/`."""
    command = ["git", "ls-files", "dualsys", "planner", "actor", "bridge", "sim_envs"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [name for name in listed if not (ROOT / name).is_symlink()]
    return {name if name.startswith("dualsys/") else f"dualsys/{name}" for name in files}


def test_wheel_has_one_top_level_name(artifacts: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(artifacts[0]) as wheel:
        top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"dualsys"}


def test_wheel_holds_the_whole_tree(artifacts: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(artifacts[0]) as wheel:
        missing = tracked_package_files() - set(wheel.namelist())
    assert not missing


def test_sdist_holds_the_whole_tree(artifacts: tuple[Path, Path]) -> None:
    with tarfile.open(artifacts[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert not tracked_package_files() - names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_wheel_imports_in_a_bare_directory(artifacts: tuple[Path, Path], tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(artifacts[0]) as wheel:
        wheel.extractall(site)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)];"
        "import dualsys, dualsys.planner, dualsys.actor, dualsys.bridge, dualsys.sim_envs;"
        "from dualsys import registry; from dualsys.app import cli;"
        "assert dualsys.__file__.startswith(sys.argv[1]), dualsys.__file__;"
        "[registry.load(kind, name) for kind in registry.KINDS for name in registry.names(kind)];"
        "sys.exit(cli.main(['--version']))"
    )
    command = [sys.executable, "-c", program, str(site)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_dependency_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    unbounded = [line for line in project["dependencies"] + extras if "<" not in line and "==" not in line]
    assert not unbounded


def test_constraints_satisfy_every_dependency() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, version = line.partition("==")
            pinned[canonicalize_name(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *(line for name in TESTED_EXTRAS for line in extras[name])]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line
