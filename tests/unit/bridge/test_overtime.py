"""A tick that has ended writes its log, and a long run's log takes long on a busy machine."""

from dualsys.bridge.tick_log import overtime_s


def test_a_tick_that_has_ended_has_as_long_as_it_ran_to_write() -> None:
    hung, writing = {"running": True}, {"running": True, "ended": True}
    assert overtime_s(1200.0, writing) == overtime_s(1200.0, hung) + 1200.0
    assert overtime_s(1200.0, hung) == overtime_s(5.0, {}), "one that doesn't end is given up soon"
