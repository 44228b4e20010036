"""The shipped protocols against what they are about: the suites that are installed, and the packages' own lists."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.protocols import EvaluationProtocol, protocol_called, protocol_names

NAMES = protocol_names()
LIBERO = ("openpi-libero", "openvla-libero", "lerobot-libero")


def known_tasks(protocol: EvaluationProtocol) -> list[str]:
    """Tasks of the suites it names."""
    suites = {pattern.partition("/")[0] for pattern in protocol.tasks}
    return [task for suite in suites for task in sim_envs.load_suite(suite).tasks()]


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_of_a_protocol_names_tasks_that_exist(name: str) -> None:
    protocol = protocol_called(name)
    known = known_tasks(protocol)
    assert known
    patterns = (*protocol.tasks, *(task for tasks in protocol.groups.values() for task in tasks))
    for pattern in patterns:
        one = protocol.model_copy(update={"tasks": (pattern,)})
        assert one.tasks_among(known), pattern
    for task in protocol.tasks_among(known):
        horizon = protocol.horizon_of(task)
        assert (horizon is None) == (protocol.horizon_steps is None)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_asks_of_an_environment_means_something(name: str) -> None:
    protocol = protocol_called(name)
    for task in protocol.tasks:
        EnvironmentOptions(
            episode_steps=protocol.horizon_of(task),
            settle_steps=protocol.settle_steps,
            image_turn=protocol.image_turn,
            reset_kind=protocol.reset_kind,
            cameras=protocol.cameras,
            control_hz=protocol.control_hz,
            image_size=protocol.image_size or 96,
        )


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_after_going_through_json(name: str) -> None:
    protocol = protocol_called(name)
    assert EvaluationProtocol.model_validate_json(protocol.model_dump_json()) == protocol
    assert protocol.source
    assert protocol.title


@pytest.mark.parametrize("name", [name for name in NAMES if protocol_called(name).groups])
def test_groups_share_out_the_tasks(name: str) -> None:
    """Each task is in one group."""
    protocol = protocol_called(name)
    listed = [task for tasks in protocol.groups.values() for task in tasks]
    assert len(set(listed)) == len(listed)
    assert all(len(protocol.groups_of(task)) == 1 for task in protocol.tasks_among(known_tasks(protocol)))


def test_dm_controls_benchmark_is_the_packages_own_list() -> None:
    from dm_control import suite

    protocol = protocol_called("dm_control-benchmarking")
    assert set(protocol.tasks) == {f"dm_control/{domain}-{task}" for domain, task in suite.BENCHMARKING}
    assert len(protocol.tasks) == 28
    assert protocol.success == "return"


def test_meta_worlds_lists_are_the_packages_own() -> None:
    from metaworld import env_dict

    ten, all_of_them = protocol_called("metaworld-mt10"), protocol_called("metaworld-mt50-vla")
    assert set(ten.tasks) == {f"metaworld/{name}" for name in env_dict.MT10_V3}
    graded = {task for tasks in all_of_them.groups.values() for task in tasks}
    assert graded == {f"metaworld/{name}" for name in env_dict.ALL_V3_ENVIRONMENTS}
    assert {name: len(tasks) for name, tasks in all_of_them.groups.items()} == {
        "easy": 28, "medium": 11, "hard": 6, "very-hard": 5,
    }  # fmt: skip


def test_meta_worlds_figures_are_the_packages_own() -> None:
    import inspect

    from metaworld.evaluation import evaluation
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

    for name in ("metaworld-mt1", "metaworld-mt10", "metaworld-mt50"):
        protocol = protocol_called(name)
        assert protocol.episodes == inspect.signature(evaluation).parameters["num_episodes"].default
        assert protocol.horizon_steps == SawyerXYZEnv.max_path_length
        assert protocol.stop_on_success


def test_alohas_horizon_is_what_gym_aloha_registers() -> None:
    import gym_aloha  # noqa: F401  # registers
    import gymnasium

    protocol = protocol_called("gym-aloha")
    for name in ("AlohaTransferCube-v0", "AlohaInsertion-v0"):
        assert gymnasium.spec(f"gym_aloha/{name}").max_episode_steps == protocol.horizon_steps


def test_alohas_pictures_are_as_large_as_the_sources() -> None:
    for name in ("act-aloha", "gym-aloha", "lerobot-aloha"):
        assert protocol_called(name).image_size == (480, 640)


def test_fetchs_horizon_is_what_gymnasium_robotics_registers() -> None:
    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    protocol = protocol_called("her-fetch")
    for name in ("FetchReach-v4", "FetchPush-v4", "FetchSlide-v4", "FetchPickAndPlace-v4"):
        assert gymnasium.spec(name).max_episode_steps == protocol.horizon_steps
    assert set(protocol.tasks) == set(sim_envs.load_suite("fetch").tasks())
    assert (protocol.success, protocol.stop_on_success) == ("at-end", False)


def test_every_suite_has_a_protocol() -> None:
    of_suites = {task.partition("/")[0] for name in NAMES for task in protocol_called(name).tasks}
    assert of_suites == {"aloha", "dm_control", "fetch", "humanoid", "libero", "metaworld"}


@pytest.mark.parametrize("name", LIBERO)
def test_liberos_protocols_differ_where_their_sources_do(name: str) -> None:
    protocol = protocol_called(name)
    assert protocol.horizon_of("libero/10-3") == 520
    assert protocol.horizon_of("libero/spatial-0") == (280 if name == "lerobot-libero" else 220)
    assert (protocol.image_turn, protocol.settle_steps, protocol.control_hz) == ("half", 10, 20.0)
    assert protocol.chunk_hz == {"openpi-libero": 4.0, "openvla-libero": 20.0, "lerobot-libero": None}[name]
    assert protocol.groups_of("libero/90-89") == (() if name == "lerobot-libero" else ("90",))
    assert not protocol.has("libero/spatial")
    assert not protocol.has("metaworld/push-v3")


def written(folder: Path, **changes: Any) -> str:
    """File of a protocol that says a little, with changes."""
    values = {
        "title": "one",
        "source": "mine",
        "tasks": ["humanoid/touch"],
        "episodes": 2,
        "first_seed": 8000,
        "success": "ever",
    } | changes
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    path = folder / f"mine{len(list(folder.iterdir()))}.toml"
    path.write_text("\n".join(lines))
    assert tomllib.loads(path.read_text())
    return str(path)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{key}' = {_toml(each)}" for key, each in value.items()) + "}"
    return str(value) if not isinstance(value, str) else f"'{value}'"


def test_a_protocol_may_be_a_file_of_your_own(tmp_path: Path) -> None:
    protocol = protocol_called(written(tmp_path))
    assert (protocol.name, protocol.episodes, protocol.tasks) == ("mine0", 2, ("humanoid/touch",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"episods": 3}, r"mine0\.toml: unknown key 'episods'\. Did you mean 'episodes'"),
        ({"episodes": 0}, "episodes"),
        ({"tasks": []}, "tasks"),
        ({"success": "sometimes"}, "success"),
        ({"title": None}, "title"),
        ({"name": "else"}, "leave name out"),
        ({"unit": "group"}, "names no groups"),
        ({"execution_horizon": 5}, "control_hz, which is not given"),
        ({"success": "return", "stop_on_success": True}, "nothing succeeds where the return counts"),
        ({"horizon_steps": {"humanoid/pick": 3}}, "horizon_steps has none for humanoid/touch"),
    ],
)
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        protocol_called(written(tmp_path, **changes))


def test_names_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown protocol 'openpi-libro'\. Did you mean 'openpi-libero'"):
        protocol_called("openpi-libro")
    with pytest.raises(ConfigError, match="cannot read the protocol"):
        protocol_called(str(tmp_path / "none.toml"))
    (tmp_path / "no.toml").write_text("tasks = [")
    with pytest.raises(ConfigError, match="is not a TOML file"):
        protocol_called(str(tmp_path / "no.toml"))
    with pytest.raises(ConfigError, match=r"unknown group of metaworld-mt50-vla 'hrad'\. Did you mean 'hard'"):
        protocol_called("metaworld-mt50-vla").tasks_among((), group="hrad")
