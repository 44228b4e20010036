"""Who may plan: what a host says of itself, and what is made of it."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.handshake import Hello, forget, read_hello, say_hello, welcome
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import BridgeError

SPEC = SubgoalSpec(num_tokens=4, dim=8)
HELLO = Hello.of(SPEC, "abc")


@pytest.mark.parametrize(
    ("changes", "digest", "words"),
    [
        ({}, None, None),
        ({}, "abc", None),
        ({"version": "0.0.1"}, "abc", None),
        ({"wire": 99}, None, ["wire version 99", "this run wire version", "one version"]),
        ({"mailbox": 99}, None, ["mailbox layout 99", "this run mailbox layout"]),
        ({"subgoal": {"num_tokens": 4}}, None, ["{'num_tokens': 4}", "'dim': 8"]),
        ({"digest": ""}, "abc", ["none", "abc"]),
        ({"digest": "xyz"}, "abc", ["xyz", "abc"]),
    ],
)
def test_what_differs_is_named_on_both_sides(
    changes: dict[str, Any], digest: str | None, words: list[str] | None
) -> None:
    problem = replace(HELLO, **changes).problem(SPEC, digest)
    if words is None:
        assert problem is None
    else:
        assert problem is not None
        assert all(word in problem for word in words)


def test_a_host_waits_until_it_is_welcome(tmp_path: Path) -> None:
    let_in = threading.Event()

    def host() -> None:
        say_hello(tmp_path, HELLO, threading.Event())
        let_in.set()

    assert read_hello(tmp_path, os.getpid()) is None
    thread = threading.Thread(target=host)
    thread.start()
    while (hello := read_hello(tmp_path, os.getpid())) is None:
        pass
    assert hello == HELLO
    assert not let_in.wait(0.1)
    welcome(tmp_path, os.getpid())
    thread.join(10)
    assert let_in.is_set()
    forget(tmp_path, os.getpid())
    assert list(tmp_path.iterdir()) == []
    forget(tmp_path, os.getpid())


def test_one_that_is_told_to_stop_waits_no_longer(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(BridgeError, match="stopped before"):
        say_hello(tmp_path, HELLO, stop)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3", "[" * 60_000, json.dumps({"version": "1"})])
def test_what_is_no_hello_is_said_so(text: str) -> None:
    with pytest.raises(BridgeError, match="cannot be read"):
        Hello.parse(text)
