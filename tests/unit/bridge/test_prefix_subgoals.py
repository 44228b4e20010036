"""A prefix of keys and values crosses processes whole: the pi family's cut at a real size."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dualsys.bridge.boxes import subgoal_box
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.wire import SubgoalCodec
from dualsys.embodiment import PrefixSpec, SubgoalSpec
from dualsys.messages import LatentSubgoal
from tests.integration import bridge_system

PI0 = SubgoalSpec(num_tokens=816, dim=0, prefix=PrefixSpec(layers=18, heads=1, head_dim=256))
"""Three cameras of 256 tokens and 48 words: 30 MB."""

READER = """
import hashlib, sys, time
from pathlib import Path
from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.wire import SubgoalCodec

box = Mailbox.reader(Path(sys.argv[1]), SubgoalCodec())
print("ready", flush=True)
while (found := box.read()) is None:
    time.sleep(0.001)
digest = hashlib.sha256()
for array in (found.tokens, found.mask, found.keys, found.values):
    digest.update(str((array.dtype, array.shape)).encode() + array.tobytes())
print(found.sequence, found.keys.shape, digest.hexdigest(), flush=True)
"""


def digest(subgoal: LatentSubgoal) -> str:
    made = hashlib.sha256()
    for array in (subgoal.tokens, subgoal.mask, subgoal.keys, subgoal.values):
        assert array is not None
        made.update(str((array.dtype, array.shape)).encode() + array.tobytes())
    return made.hexdigest()


def real_subgoal() -> LatentSubgoal:
    fake = PI0.fake_subgoal(np.random.default_rng(0), stamp_s=1.5)
    return LatentSubgoal(
        tokens=fake.tokens,
        keys=fake.keys,
        values=fake.values,
        mask=np.arange(PI0.num_tokens) < 600,
        observation_stamp_s=1.5,
        sequence=7,
        text="put the red cube on the shelf",
    )


def test_a_real_prefix_crosses_a_mailbox_between_two_processes(tmp_path: Path) -> None:
    subgoal, path = real_subgoal(), tmp_path / "subgoal.box"
    Mailbox.create(path, SubgoalCodec(), capacity=PI0.nbytes + 2**17)
    writer: Mailbox[LatentSubgoal] = Mailbox.writer(path, SubgoalCodec())
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        writer.write(subgoal, sequence=7, observation_stamp_s=1.5)
        assert reader.stdout.readline() == f"7 (18, 1, 816, 256) {digest(subgoal)}\n"
        deadline = time.monotonic() + 60.0
        assert reader.wait(timeout=deadline - time.monotonic()) == 0


def test_the_box_of_a_run_holds_what_its_spec_says() -> None:
    system = bridge_system.reach_system()
    larger = system.model_copy(update={"subgoal": PI0})
    assert subgoal_box(system).capacity == system.subgoal_capacity
    assert subgoal_box(larger).capacity > len(SubgoalCodec().encode(real_subgoal())) > system.subgoal_capacity


@pytest.mark.parametrize("mask", [None, np.array([True, False, True])])
def test_a_prefix_without_tokens_is_the_same_after_the_wire(mask: np.ndarray | None) -> None:
    spec = SubgoalSpec(num_tokens=3, dim=0, prefix=PrefixSpec(layers=2, heads=2, head_dim=4))
    fake = spec.fake_subgoal(np.random.default_rng(1), stamp_s=0.5)
    subgoal = LatentSubgoal(tokens=fake.tokens, keys=fake.keys, values=fake.values, mask=mask, observation_stamp_s=0.5)
    back = SubgoalCodec().decode(bytearray(SubgoalCodec().encode(subgoal)))
    assert spec.array_problem(back) is None
    assert back.tokens.shape == (3, 0)
    np.testing.assert_array_equal(back.keys, subgoal.keys)
    np.testing.assert_array_equal(back.values, subgoal.values)
    assert (back.mask is None) == (mask is None)
