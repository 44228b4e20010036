import numpy as np
import pytest

from dualsys.sim_envs.libero.grasp import OPENING_M, choose_grasp, turn_between
from dualsys.sim_envs.libero.placement import highest_on_the_way
from dualsys.sim_envs.libero.shapes import Boxes


def boxes(*of: tuple[tuple[float, float, float], tuple[float, float, float], float]) -> Boxes:
    """Of centres, half sides and turns about the vertical."""
    turns = [[[np.cos(yaw), -np.sin(yaw), 0.0], [np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]] for *_, yaw in of]
    return Boxes(
        centres=np.array([centre for centre, _, _ in of]).reshape(-1, 3),
        axes=np.array(turns).reshape(-1, 3, 3),
        halves=np.array([half for _, half, _ in of]).reshape(-1, 3),
    )


def ring(radius: float) -> Boxes:
    """A bowl's wall: 24 upright boards around the origin, 5 cm high."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return boxes(
        *(
            ((radius * np.cos(angle), radius * np.sin(angle), 0.025), (0.003, 0.01, 0.025), float(angle))
            for angle in angles
        )
    )


NOTHING = boxes()


def test_the_distance_to_a_turned_box_is_that_of_geometry() -> None:
    box = boxes(((1.0, 2.0, 3.0), (0.5, 0.1, 0.2), np.pi / 2))
    assert box.distance(np.array([[1.0, 2.4, 3.1]])) == 0.0
    assert box.distance(np.array([[1.4, 2.0, 3.0]])) == pytest.approx(0.3)
    assert box.distance(np.array([[5.0, 5.0, 5.0], [1.0, 2.8, 3.6]])) == pytest.approx(0.5)
    assert NOTHING.distance(np.zeros((1, 3))) == np.inf
    points = box.points()
    assert points.min(axis=0) == pytest.approx([0.9, 1.5, 2.8])
    assert points.max(axis=0) == pytest.approx([1.1, 2.5, 3.2])


@pytest.mark.parametrize("turned", [0.0, np.pi / 6, np.pi / 2])
def test_a_carton_is_held_across_its_narrow_side(turned: float) -> None:
    grasp = choose_grasp(boxes(((0.3, -0.1, 0.06), (0.025, 0.05, 0.06), turned)), NOTHING, yaw=turned + 0.4)
    assert grasp is not None
    assert grasp.position[:2] == pytest.approx([0.3, -0.1], abs=0.002)
    assert 0.08 < grasp.position[2] < 0.1, "near the top"
    across = 0.05 / np.cos(turn_between(turned, grasp.yaw)) if turned != grasp.yaw else 0.05
    assert across < OPENING_M


def test_a_thin_thing_is_held_above_what_it_lies_on() -> None:
    grasp = choose_grasp(boxes(((0.0, 0.0, 0.509), (0.02, 0.04, 0.009), 0.0)), NOTHING, yaw=0.0)
    assert grasp is not None
    assert 0.505 < grasp.position[2] < 0.518


def test_a_bowl_is_held_by_its_rim_where_nothing_stands_beside_it() -> None:
    bowl = ring(0.055)
    grasp = choose_grasp(bowl, NOTHING, yaw=np.pi / 2)
    assert grasp is not None
    assert np.linalg.norm(grasp.position[:2]) == pytest.approx(0.055, abs=0.004)
    assert abs(turn_between(np.arctan2(grasp.position[1], grasp.position[0]), grasp.yaw)) < 0.05, "across the wall"
    assert abs(turn_between(np.pi / 2, grasp.yaw)) < 0.05, "without turning"
    walls = boxes(((0.0, 0.13, 0.1), (0.2, 0.03, 0.1), 0.0), ((0.0, -0.13, 0.1), (0.2, 0.03, 0.1), 0.0))
    between = choose_grasp(bowl, walls, yaw=np.pi / 2)
    assert between is not None
    assert abs(turn_between(0.0, between.yaw)) < 0.8, "turned along the walls"


def test_turns_are_the_shorter_way_to_a_line() -> None:
    assert turn_between(0.0, 3.0) == pytest.approx(3.0 - np.pi)
    assert turn_between(0.1, 0.1 + np.pi) == pytest.approx(0.0)
    for wanted in np.linspace(-7, 7, 50):
        assert -np.pi / 2 <= turn_between(0.3, float(wanted)) <= np.pi / 2


def test_only_what_is_near_the_way_is_passed_over() -> None:
    start, end = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 1.0])
    tall_beside = ((0.5, 0.3, 0.4), (0.05, 0.05, 0.4), 0.0)
    low_on_it = ((0.5, 0.05, 0.1), (0.05, 0.05, 0.1), 0.0)
    behind = ((1.3, 0.0, 0.5), (0.05, 0.05, 0.5), 0.0)
    assert highest_on_the_way(boxes(tall_beside, low_on_it, behind), start, end) == pytest.approx(0.2)
    assert highest_on_the_way(boxes(tall_beside, behind), start, end) == -np.inf
