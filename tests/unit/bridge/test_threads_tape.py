"""A tape of the threads driver holds the whole run, its last tick too, whoever ends it."""

from pathlib import Path
from time import monotonic

from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import read_tape
from dualsys.bridge.tape_reel import TapeReel
from dualsys.bridge.threads import run_threads
from dualsys.messages import Command
from tests.integration import bridge_parts, bridge_system


def test_the_tick_in_which_a_run_is_ended_is_on_its_tape(tmp_path: Path) -> None:
    system = bridge_system.reach_system(seconds=30.0, tape_bytes=2**22).model_copy(update={"folder": tmp_path})
    head, tape = system.tape_head(), tmp_path / "run.mcap"
    until_s = monotonic() + 1.0
    with TapeDeck(head, record=TapeReel(tape, head), flights=None) as deck:
        report = run_threads(
            system,
            bridge_parts.planner(),
            bridge_parts.reaching_actor(),
            on_progress=lambda _: None,
            deck=deck,
            is_over=lambda: monotonic() > until_s,
        ).report
    commands = [record for record in read_tape(tape)[1] if isinstance(record, Command)]
    assert len(commands) == report["tick"]["count"] > 0
    assert report["tape"]["bytes_lost"] == report["tape"]["unrecorded"] == 0
