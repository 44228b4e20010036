"""Imports run one way, light imports stay light, names and sizes keep their rules."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("planner", "actor", "bridge", "sim_envs")
SOURCE_FOLDERS = ("dualsys", "tests", "benchmarks", "examples", "tools")
HEAVY = (
    "torch",
    "ray",
    "transformers",
    "mujoco",
    "dm_control",
    "pyarrow",
    "av",
    "gymnasium",
    "matplotlib",
    "onnx",
    "onnxruntime",
)
MAX_LINES = {"tests": 400}
"""Lines of a file by its folder; elsewhere 300."""
MAX_DOCUMENT = 400


def source_files(*folders: str) -> list[Path]:
    """Files by their import path: the parts' under `dualsys/`, through the links."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in _walk(ROOT / folder))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and path.name != "__pycache__":
            yield from _walk(path)
        elif path.suffix == ".py":
            yield path


def imported_modules(path: Path) -> set[str]:
    """Full names of every module a file imports anywhere, for `from a import b` both `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def home(path: Path) -> str:
    """`planner`, `actor`, `bridge`, `sim_envs`, `app`, or `core` for the rest of the package."""
    first = path.parts[1]
    return first if first in (*PARTS, "app") else "core"


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", source_files("dualsys"), ids=str)
def test_imports_run_one_way(path: Path) -> None:
    """core <- parts <- app; no part imports another. The public door alone may name what it opens to."""
    where = home(path)
    forbidden: set[str] = set()
    if where == "core":
        forbidden = {f"dualsys.{room}" for room in (*PARTS, "app")}
    elif where in PARTS:
        forbidden = {f"dualsys.{room}" for room in (*PARTS, "app") if room != where}
    if path in (Path("dualsys/__init__.py"), Path("dualsys/__main__.py")):
        forbidden = set()
    wrong = {module for module in imported_modules(path) for room in forbidden if is_within(module, room)}
    assert not wrong, f"{path} is {where} and imports {sorted(wrong)}"


@pytest.mark.parametrize("path", source_files(*SOURCE_FOLDERS), ids=str)
def test_nobody_imports_a_part_by_its_bare_name(path: Path) -> None:
    wrong = {module for module in imported_modules(path) for part in PARTS if is_within(module, part)}
    assert not wrong, f"{path} imports {sorted(wrong)}; write dualsys.{sorted(wrong)[0]}"


@pytest.mark.parametrize(
    "module", ["dualsys", *(f"dualsys.{part}" for part in PARTS), "dualsys.app", "dualsys.registry", "dualsys.decision"]
)
def test_light_imports_stay_light(module: str) -> None:
    program = f"import sys, {module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_no_module_is_named_like_a_standard_one() -> None:
    standard = {
        str(path) for path in source_files("dualsys") if {path.stem, path.parent.name} & set(sys.stdlib_module_names)
    }
    assert not standard


def test_files_stay_small() -> None:
    long = {
        str(path): lines
        for path in source_files(*SOURCE_FOLDERS)
        if (lines := len((ROOT / path).read_text(encoding="utf-8").splitlines())) > MAX_LINES.get(path.parts[0], 300)
    }
    assert not long
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert not [path.name for path in documents if len(path.read_text(encoding="utf-8").splitlines()) > MAX_DOCUMENT]


def test_the_four_parts_are_relative_links() -> None:
    for part in PARTS:
        link = ROOT / "dualsys" / part
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{part}"


def test_the_public_door_opens_to_what_it_names() -> None:
    import dualsys

    for name in dir(dualsys):
        assert getattr(dualsys, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Contrller'"):
        _ = dualsys.Contrller
