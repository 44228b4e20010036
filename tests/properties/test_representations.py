"""Rows there and back: deltas, steps, masks, whole turns, poses and the three forms of a rotation."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dualsys.actor.representations import Representation, absolute_pose, positions, relative_pose, represented
from dualsys.messages import FloatArray
from dualsys.rotations import (
    matrix_of_quaternion,
    matrix_of_sixd,
    quaternion_of_matrix,
    sixd_of_matrix,
    wrap_angle,
)

REPRESENTATIONS: tuple[Representation, ...] = get_args(Representation)
ROWS = arrays(np.float64, (5, 4), elements=st.floats(-10, 10))
PRESENT = arrays(np.float64, 4, elements=st.floats(-10, 10))
MASK = arrays(np.bool_, 4)
NUMBERS = arrays(np.float64, 4, elements=st.floats(-1, 1))
PLACE = arrays(np.float64, 3, elements=st.floats(-5, 5))
QUICK = settings(max_examples=80)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@QUICK
@given(rows=ROWS, present=PRESENT, mask=MASK)
def test_positions_come_back(
    representation: Representation, rows: FloatArray, present: FloatArray, mask: FloatArray
) -> None:
    there = represented(rows, present, representation, mask.astype(bool))
    np.testing.assert_allclose(positions(there, present, representation, mask.astype(bool)), rows, atol=1e-9)


@pytest.mark.parametrize("representation", ["delta", "step-delta"])
@QUICK
@given(rows=ROWS, present=PRESENT)
def test_angles_come_back_but_for_whole_turns(
    representation: Representation, rows: FloatArray, present: FloatArray
) -> None:
    everywhere = np.ones(4, dtype=bool)
    there = represented(rows, present, representation, everywhere, wraps_U=everywhere)
    assert np.all((there >= -np.pi) & (there < np.pi))
    back = positions(there, present, representation, everywhere)
    np.testing.assert_allclose(np.exp(1j * back), np.exp(1j * rows), atol=1e-9)


def test_the_short_way_around() -> None:
    present, rows = np.array([3.1]), np.array([[-3.1]])
    there = represented(rows, present, "delta", np.array([True]), wraps_U=np.array([True]))
    np.testing.assert_allclose(there, [[2 * np.pi - 6.2]])
    assert wrap_angle(np.array(np.pi)) == -np.pi


def test_closed_forms_and_grippers_stay_absolute() -> None:
    present, mask = np.array([1.0, 0.5]), np.array([True, False])
    rows = np.array([[1.5, 0.0], [3.0, 1.0]])
    np.testing.assert_allclose(represented(rows, present, "delta", mask), [[0.5, 0.0], [2.0, 1.0]])
    np.testing.assert_allclose(represented(rows, present, "step-delta", mask), [[0.5, 0.0], [1.5, 1.0]])
    np.testing.assert_array_equal(represented(rows, present, "joint", mask), rows)


@QUICK
@given(numbers=NUMBERS)
def test_rotations_come_back_through_every_form(numbers: FloatArray) -> None:
    assume(np.linalg.norm(numbers) > 1e-3)
    matrix = matrix_of_quaternion(numbers)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix_of_sixd(sixd_of_matrix(matrix)), matrix, atol=1e-12)
    quaternion = quaternion_of_matrix(matrix)
    assert quaternion[0] >= 0
    np.testing.assert_allclose(matrix_of_quaternion(quaternion), matrix, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_where_w_is_nothing(axis: int) -> None:
    matrix = -np.eye(3)
    matrix[axis, axis] = 1.0
    np.testing.assert_allclose(np.abs(quaternion_of_matrix(matrix)), np.eye(4)[1 + axis], atol=1e-12)


def test_a_quarter_turn_about_z_is_mujoco_s() -> None:
    mujoco = pytest.importorskip("mujoco")
    quaternion = np.random.default_rng(0).normal(size=4)
    quaternion /= np.linalg.norm(quaternion)
    theirs = np.zeros(9)
    mujoco.mju_quat2Mat(theirs, quaternion)
    np.testing.assert_allclose(matrix_of_quaternion(quaternion), theirs.reshape(3, 3), atol=1e-12)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(matrix_of_quaternion(np.array([half, 0, 0, half])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@QUICK
@given(numbers=arrays(np.float64, 6, elements=st.floats(-2, 2)))
def test_any_six_numbers_mean_a_rotation(numbers: FloatArray) -> None:
    assume(np.linalg.norm(np.cross(numbers[:3], numbers[3:])) > 1e-3)
    matrix = matrix_of_sixd(numbers)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-9)


def test_parallel_halves_are_refused() -> None:
    with pytest.raises(ValueError, match="parallel"):
        matrix_of_sixd(np.array([1.0, 0, 0, 2.0, 0, 0]))


@QUICK
@given(places=arrays(np.float64, (3, 3), elements=st.floats(-5, 5)), turn=NUMBERS, base_place=PLACE, base_turn=NUMBERS)
def test_poses_come_back(places: FloatArray, turn: FloatArray, base_place: FloatArray, base_turn: FloatArray) -> None:
    assume(np.linalg.norm(turn) > 1e-3)
    assume(np.linalg.norm(base_turn) > 1e-3)
    sixd, base_sixd = (sixd_of_matrix(matrix_of_quaternion(each)) for each in (turn, base_turn))
    poses = np.concatenate([places, np.tile(sixd, (3, 1))], axis=-1)
    base = np.concatenate([base_place, base_sixd])
    np.testing.assert_allclose(absolute_pose(relative_pose(poses, base), base), poses, atol=1e-9)
    at_itself = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0.0])
    np.testing.assert_allclose(relative_pose(base[None], base)[0], at_itself, atol=1e-9)
