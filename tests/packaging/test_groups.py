"""Groups of tests reach pytest-xdist, which sorts by the ends of their names."""

import pytest


def test_tests_of_a_group_take_turns(request: pytest.FixtureRequest) -> None:
    """pytest 9.2 lost them without a word: whatever runs against the clock ran side by side, and trainings twice."""
    in_workers = request.config.getoption("loadgroup", default=False)
    assert request.node.nodeid.endswith("@build") == in_workers
