"""What policies call a robot's parts: the shipped names, files, and both ends of the wire."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.actor.outside.groot_keys import GrootKeys
from dualsys.actor.outside.keys import PolicyKeys, shipped_keys
from dualsys.actor.outside.pictures import fitted
from dualsys.actor.outside.translation import Translation
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import ConfigError, InvalidObservation, PolicyError
from dualsys.messages import Observation

ARM = EmbodimentSpec(
    name="arm",
    joints=tuple(Joint(name=f"j{n}", lower=-1, upper=1) for n in range(8)),
    state_names=tuple(f"j{n}" for n in range(8)),
    cameras=(CameraSpec(name="top", height=30, width=40), CameraSpec(name="wrist", height=40, width=40)),
)


def seen(words: str = "lift it") -> Observation:
    return ARM.fake_observation(np.random.default_rng(0), stamp_s=1.5, instruction=words)


def test_every_shipped_name_is_read() -> None:
    assert set(shipped_keys()) == {"dualsys", "libero", "droid", "aloha", "groot"}
    for name in set(shipped_keys()) - {"groot"}:
        Translation(PolicyKeys.named(name), ARM)
    assert GrootKeys.named("groot").layout == "auto"


def test_libero_is_sent_as_openpi_sends_it() -> None:
    sent = Translation(PolicyKeys.named("libero"), ARM).outward(seen())
    assert set(sent) == {"observation/state", "observation/image", "observation/wrist_image", "prompt"}
    assert sent["observation/state"].dtype == np.float32
    assert sent["observation/image"].shape == (224, 224, 3)
    assert sent["prompt"] == "lift it"


def test_droid_splits_the_state() -> None:
    sent = Translation(PolicyKeys.named("droid"), ARM).outward(seen())
    np.testing.assert_array_equal(sent["observation/joint_position"], seen().state[:7].astype(np.float32))
    np.testing.assert_array_equal(sent["observation/gripper_position"], seen().state[7:].astype(np.float32))


def test_aloha_has_pictures_a_level_deeper_and_colours_first() -> None:
    sent = Translation(PolicyKeys.named("aloha"), ARM).outward(seen())
    assert set(sent) == {"state", "images", "prompt"}
    assert {name: picture.shape for name, picture in sent["images"].items()} == {"cam_high": (3, 224, 224)}


@pytest.mark.parametrize("channels_first", [False, True])
def test_what_one_end_sends_the_other_reads(channels_first: bool) -> None:
    keys = PolicyKeys(
        state={"a": ["j7", "j0"], "b.c": "1:7"},
        images={"images.{camera}": "*"},
        state_dtype="float64",
        channels_first=channels_first,
    )
    translation = Translation(keys, ARM)
    translation.require_whole()
    back = translation.inward(translation.outward(seen()), stamp_s=1.5)
    np.testing.assert_array_equal(back.state, seen().state)
    assert back.instruction == "lift it"
    for camera in ARM.cameras:
        np.testing.assert_array_equal(back.images[camera.name], seen().images[camera.name])


def test_a_server_must_be_told_everything() -> None:
    with pytest.raises(ConfigError, match="nothing of wrist of arm"):
        Translation(PolicyKeys.named("aloha"), ARM).require_whole()
    with pytest.raises(ConfigError, match="nothing of j7, top, wrist"):
        Translation(PolicyKeys(state={"s": "0:7"}), ARM).require_whole()


@pytest.mark.parametrize(
    ("state", "images", "said"),
    [
        ({"s": "0:9"}, {}, "'0:9' is asked for, and there are 8"),
        ({"s": "all"}, {}, "no slice"),
        ({"s": ["j1", "j9"]}, {}, "unknown state of arm 'j9'"),
        ({"s": ":"}, {"i": "tip"}, "unknown camera of arm 'tip'. Did you mean 'top'"),
        ({"s": ":"}, {"i": 2}, "camera 2 of arm is asked for, and it has 2: top, wrist"),
    ],
)
def test_what_the_robot_hasnt_is_named(state: dict[str, Any], images: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Translation(PolicyKeys(state=state, images=images), ARM)
    assert said in str(refused.value)


def test_files_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[state]\nproprio = ":"\n')
    assert PolicyKeys.named(file).state == {"proprio": ":"}
    file.write_text('[state]\nproprio = ":"\n[image]\nx = 0\n')
    with pytest.raises(ConfigError, match=r"mine\.toml.*image"):
        PolicyKeys.named(file)
    file.write_text("[state")
    with pytest.raises(ConfigError, match="no TOML"):
        PolicyKeys.named(file)
    with pytest.raises(ConfigError, match="Did you mean 'libero'"):
        PolicyKeys.named("librero")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"state": None}, "'state' is"),
        ({"state": np.zeros(7)}, "expected 8 numbers"),
        ({"state": np.full(8, np.nan)}, "not finite"),
        ({"state": "eight"}, "expected 8 numbers"),
        ({"images": {}}, "no picture 'images.top'"),
        ({"images": {"top": np.zeros((30, 40, 3)), "wrist": None}}, "float64"),
        ({"images": {"top": np.zeros((9, 9, 3), np.uint8), "wrist": np.zeros((9, 9, 3), np.uint8)}}, "expected uint8"),
        ({"prompt": 7}, "'prompt' is int"),
    ],
)
def test_observations_that_are_none_are_told_apart(changed: dict[str, Any], said: str) -> None:
    translation = Translation(PolicyKeys.named("dualsys"), ARM)
    message = translation.outward(seen()) | changed
    with pytest.raises(InvalidObservation) as refused:
        translation.inward({key: value for key, value in message.items() if value is not None}, stamp_s=0.0)
    assert said in str(refused.value) or "no 'state'" in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([1, 2], "the answer is list"),
        ({}, "no array 'actions'"),
        ({"action": np.zeros((3, 8))}, "it has action"),
        ({"actions": [[0.0] * 8]}, "no array"),
        ({"actions": np.zeros((10, 32), np.float32)}, r"float32 \(10, 32\); arm takes rows of 8"),
        ({"actions": np.zeros(8)}, "takes rows of 8"),
        ({"actions": np.zeros((0, 8))}, "takes rows of 8"),
    ],
)
def test_answers_that_are_no_chunk(answer: Any, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        Translation(PolicyKeys.named("dualsys"), ARM).rows(answer)


def test_pictures_keep_their_shape_within_a_black_square() -> None:
    wide = np.full((20, 40, 3), 200, np.uint8)
    square = fitted(wide, 10)
    assert square.shape == (10, 10, 3)
    assert (square[3:7] == 200).all()
    assert not square[:2].any()
    assert not square[8:].any()
    assert fitted(wide, None) is wide
