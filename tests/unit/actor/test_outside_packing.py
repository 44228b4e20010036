"""Frames of openpi and GR00T: what goes in comes out, and nothing that a stranger sends is unpickled or believed."""

import io
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualsys.actor.outside import array_packing, frame, npy_packing
from dualsys.errors import PolicyError

PACKINGS = pytest.mark.parametrize("packing", [array_packing, npy_packing])


@PACKINGS
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<f2", "|u1", "<i8", "|b1"])
def test_arrays_come_back_as_they_were(packing: Any, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2**16, shape).astype(dtype)
    back = packing.unpack(packing.pack({"a": [array], "words": "go", "n": 1.5}))
    assert back["words"] == "go"
    assert back["n"] == 1.5
    assert back["a"][0].dtype == array.dtype
    np.testing.assert_array_equal(back["a"][0], array)


def test_scalars_of_numpy_come_back() -> None:
    scalars = {"a": np.float32(0.5), "b": np.bool_(True)}
    assert array_packing.unpack(array_packing.pack(scalars)) == {"a": 0.5, "b": True}


def test_a_column_major_array_comes_back_from_npy() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(npy_packing.unpack(npy_packing.pack(array)), array)


@PACKINGS
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=200))
def test_garbage_is_refused_in_a_sentence(packing: Any, data: bytes) -> None:
    with suppress(PolicyError):
        packing.unpack(data)


@PACKINGS
def test_every_cut_and_every_flipped_byte_is_borne(packing: Any) -> None:
    frame = packing.pack({"actions": np.arange(6, dtype=np.float32).reshape(2, 3)})
    damaged = [frame[:n] for n in range(len(frame))]
    damaged += [frame[:n] + bytes([frame[n] ^ 0xFF]) + frame[n + 1 :] for n in range(len(frame))]
    for data in damaged:
        with suppress(PolicyError):
            packing.unpack(data)


def _openpi(**changed: Any) -> bytes:
    fields = {"__ndarray__": True, "data": b"\0" * 8, "dtype": "<f4", "shape": [2]} | changed
    packed: bytes = msgpack.packb({key.encode(): value for key, value in fields.items()})
    return packed


def test_the_untouched_frame_is_read() -> None:
    np.testing.assert_array_equal(array_packing.unpack(_openpi()), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    "changed",
    [
        {"dtype": "|O"},
        {"dtype": "<U2"},
        {"dtype": "|V8"},
        {"dtype": "f4,f4"},
        {"dtype": "nonsense"},
        {"shape": [2**40, 2**40]},
        {"shape": [3]},
        {"shape": [-2]},
        {"shape": ["2"]},
        {"shape": None},
        {"data": "text"},
        {"data": None},
    ],
)
def test_arrays_that_are_none_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        array_packing.unpack(_openpi(**changed))


def test_a_pickle_in_an_npy_is_refused() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(PolicyError, match="type object"):
        npy_packing.unpack(msgpack.packb({"__ndarray_class__": True, "as_npy": file.getvalue()}))


def test_an_npy_that_claims_more_than_it_holds_is_refused() -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(2))
    lying = file.getvalue().replace(b"(2,)", b"(9,)")
    with pytest.raises(PolicyError):
        npy_packing.unpack(msgpack.packb({"__ndarray_class__": True, "as_npy": lying}))


@PACKINGS
def test_what_cannot_be_sent_is_named(packing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolicyError, match="wire"):
        packing.pack({"a": object()})
    monkeypatch.setattr(frame, "MAX_BYTES", 10)
    with pytest.raises(PolicyError, match="longer than"):
        packing.unpack(b"\0" * 11)


def test_objects_are_not_sent() -> None:
    for packing in (array_packing, npy_packing):
        with pytest.raises(PolicyError, match="wire"):
            packing.pack({"a": np.array([None], dtype=object)})
