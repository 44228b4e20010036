"""Every example and every block of Python in the documents runs; every command in them is understood."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dualsys.app import cli
from dualsys.app.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(language: str) -> list[tuple[str, str]]:
    """Fenced blocks of a language, each with a name for the report."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        sources = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        found += [(f"{path.name}-{number}", source) for number, source in enumerate(sources)]
    return found


def commands() -> list[str]:
    """Every `dualsys ...` with arguments, in code spans and in shell blocks."""
    found: set[str] = set()
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        spans = re.findall(r"`(dualsys [a-z]+ [^`\n]+)`", text)
        lines = [line for _, source in blocks("bash") for line in source.splitlines() if line.startswith("dualsys ")]
        found |= {command for command in (*spans, *lines) if command.split()[1] in _first_words()}
    # A name alone, in prose, asks for nothing.
    return sorted(command for command in found if command.removeprefix("dualsys ") not in COMMANDS)


def _first_words() -> set[str]:
    return {name.split()[0] for name in COMMANDS}


def run(source: list[str], folder: Path) -> str:
    done = subprocess.run([sys.executable, *source], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    assert run([str(example)], tmp_path).strip(), "an example says what it did"


@pytest.mark.slow
@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in blocks("python")])
def test_python_block_runs(source: str, tmp_path: Path) -> None:
    run(["-c", source], tmp_path)


@pytest.mark.parametrize("command", commands())
def test_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options are parsed as the command would; files it names are the ones the documents show."""
    monkeypatch.chdir(tmp_path)
    for _, source in blocks("toml"):
        if title := re.match(r"# (\S+\.toml)", source):
            Path(title[1]).write_text(source, encoding="utf-8")
    name, arguments = cli.split_command(shlex.split(command)[1:])
    if "--help" in arguments:
        pytest.skip("help is tested with the command line")
    options = cli.parse_options(name, arguments)
    assert type(options).__name__ == COMMANDS[name].config.partition(":")[2]


def test_the_readme_has_code_early() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines.index("```python") < 30


def test_every_benchmark_has_a_row() -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    scripts = [path for path in (ROOT / "benchmarks").glob("*.py") if "tyro.cli(" in path.read_text(encoding="utf-8")]
    assert len(scripts) > 15
    assert [path.stem for path in scripts if f"\n| `{path.stem}` |" not in table] == []


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (path, target)
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert [f"{path.name}: {target}" for path, target in links if not (path.parent / target).exists()] == []
