import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualsys import registry
from dualsys.errors import ConfigError

Install = Callable[[str, str, dict[str, str]], None]


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution with entry points on the path, the way pip leaves it."""

    def install(distribution: str, entry_points: str, modules: dict[str, str]) -> None:
        info = tmp_path / f"{distribution}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(entry_points)
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_third_party_plugin_is_found_and_imported_only_on_load(install_plugin: Install) -> None:
    install_plugin("third", "[dualsys.planners]\nmine = third_planner:Mine\n", {"third_planner": "class Mine: pass\n"})
    assert "mine" in registry.names("planners")
    assert "third_planner" not in sys.modules
    assert registry.load("planners", "mine").__name__ == "Mine"
    row = next(row for row in registry.describe("planners") if row["name"] == "mine")
    assert row == {"name": "mine", "target": "third_planner:Mine", "distribution": "third 1.2"}


def test_our_own_are_listed() -> None:
    assert {"vlm", "scripted", "replay", "null"} <= set(registry.names("planners"))
    assert "flow" in registry.names("actors")
    assert {"naive", "skip-by-delay"} <= set(registry.names("chunk_policies"))
    assert {"humanoid", "dm_control"} <= set(registry.names("environments"))


@pytest.mark.parametrize("kind", registry.KINDS)
def test_everything_registered_by_us_loads(kind: registry.Kind) -> None:
    for row in registry.describe(kind):
        if row["distribution"].startswith("dualsys "):
            assert registry.load(kind, row["name"]) is not None


def test_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"unknown planner 'scriptd'\. Did you mean 'scripted'"):
        registry.load("planners", "scriptd")


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'planners'"):
        registry.names("planner")  # type: ignore[arg-type]


def test_broken_plugin_names_its_distribution(install_plugin: Install) -> None:
    install_plugin("bad", "[dualsys.actors]\nbroken = bad_actor:Actor\n", {"bad_actor": "raise OSError('no driver')\n"})
    with pytest.raises(ConfigError, match=r"actor 'broken' is registered by bad 1\.2 .* OSError: no driver"):
        registry.load("actors", "broken")


def test_two_claims_on_one_name_are_refused_naming_both(install_plugin: Install) -> None:
    for name in ("first", "second"):
        install_plugin(name, f"[dualsys.robots]\narm = {name}_arm:Arm\n", {f"{name}_arm": "class Arm: pass\n"})
    with pytest.raises(ConfigError, match=r"more than once: first 1\.2 \(first_arm:Arm\), second 1\.2"):
        registry.load("robots", "arm")
