"""Records of a tape as frames: small and quick enough to be made within a tick."""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from dualsys.bridge.frames import FrameReader, FrameWriter
from dualsys.bridge.offer_wire import OfferCodec
from dualsys.bridge.tape_forms import as_integer, as_number, as_text, as_vector, kept_fields
from dualsys.bridge.wire import ChunkCodec, RequestCodec
from dualsys.errors import BridgeError
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    EmergencyReset,
    EmergencyStop,
    Fault,
    KeptClear,
    Observed,
    Offered,
    Retry,
    SourceName,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.messages import ActionChunk, Command, CommandSource
from dualsys.tape import Record

_STARTED, _OBSERVED, _SUBGOAL, _CHUNK, _TICK, _FAULT, _REQUEST, _COMMAND, _STOP, _RESET, _OFFERED, _RETRY, _CLEAR = (
    range(64, 77)
)
_CHUNKS, _REQUESTS, _OFFERS = ChunkCodec(), RequestCodec(), OfferCodec()


def encode_record(record: Record) -> bytes:
    """Frame of a record. Raises `BridgeError` for one that holds what no driver gives."""
    encode = _ENCODERS.get(type(record))
    if encode is None:
        raise BridgeError(f"{type(record).__name__} is no record of a tape")
    try:
        return encode(record)
    except (AttributeError, TypeError, ValueError, struct.error) as error:
        raise BridgeError(f"a {type(record).__name__} that no driver gives: {error}") from error


def decode_record(data: bytes) -> Record:
    """Record of a frame. Raises `BridgeError` for a malformed one."""
    kind = int.from_bytes(data[6:8], "little") if len(data) >= 8 else 0
    decode = _DECODERS.get(kind)
    if decode is None:
        raise BridgeError(f"a frame of kind {kind} is no record of a tape")
    frame = FrameReader(data, kind)
    record = decode(frame)
    frame.finish()
    return record


def _encode_started(record: Started) -> bytes:
    frame = FrameWriter(_STARTED)
    frame.number(as_number(record.now_s))
    frame.array(as_vector(record.position), "<f8")
    frame.text(as_text(record.instruction)[:1000])
    return frame.finish()


def _decode_started(frame: FrameReader) -> Started:
    return Started(now_s=frame.number(), position=frame.array("<f8", 1), instruction=frame.text())


def _encode_stop(record: EmergencyStop) -> bytes:
    frame = FrameWriter(_STOP)
    frame.number(as_number(record.now_s))
    frame.text(as_text(record.reason)[:1000])
    return frame.finish()


def _decode_stop(frame: FrameReader) -> EmergencyStop:
    return EmergencyStop(now_s=frame.number(), reason=frame.text())


def _encode_reset(record: EmergencyReset) -> bytes:
    frame = FrameWriter(_RESET)
    frame.number(as_number(record.now_s))
    frame.array(as_vector(record.position), "<f8")
    return frame.finish()


def _decode_reset(frame: FrameReader) -> EmergencyReset:
    return EmergencyReset(now_s=frame.number(), position=frame.array("<f8", 1))


def _encode_observed(record: Observed) -> bytes:
    frame = FrameWriter(_OBSERVED)
    frame.number(as_number(record.stamp_s))
    frame.array(as_vector(record.state), "<f8")
    return frame.finish()


def _decode_observed(frame: FrameReader) -> Observed:
    return Observed(stamp_s=frame.number(), state=frame.array("<f8", 1))


def _encode_subgoal(record: SubgoalArrived) -> bytes:
    frame = FrameWriter(_SUBGOAL)
    frame.integer(as_integer(record.sequence))
    frame.integer(as_integer(record.epoch))
    frame.number(as_number(record.observation_stamp_s))
    frame.number(as_number(record.time_to_live_s))
    return frame.finish()


def _decode_subgoal(frame: FrameReader) -> SubgoalArrived:
    return SubgoalArrived(
        sequence=frame.integer(),
        epoch=frame.integer(),
        observation_stamp_s=frame.number(),
        time_to_live_s=frame.number(),
    )


def _encode_chunk(record: ChunkArrived) -> bytes:
    frame = FrameWriter(_CHUNK)
    frame.number(as_number(record.now_s))
    chunk = ActionChunk(**kept_fields(record.chunk))
    frame.array(np.frombuffer(_CHUNKS.encode(chunk), dtype=np.uint8), "|u1")
    return frame.finish()


def _decode_chunk(frame: FrameReader) -> ChunkArrived:
    now_s = frame.number()
    return ChunkArrived(now_s=now_s, chunk=_CHUNKS.decode(frame.array("|u1", 1).tobytes()))


def _encode_tick(record: Tick) -> bytes:
    frame = FrameWriter(_TICK)
    frame.number(as_number(record.now_s))
    return frame.finish()


def _decode_tick(frame: FrameReader) -> Tick:
    return Tick(now_s=frame.number())


def _encode_fault(record: Fault) -> bytes:
    frame = FrameWriter(_FAULT)
    frame.number(as_number(record.now_s))
    frame.text(as_text(record.kind))
    frame.text(as_text(record.detail)[:1000])
    return frame.finish()


def _decode_fault(frame: FrameReader) -> Fault:
    return Fault(now_s=frame.number(), kind=frame.text(), detail=frame.text())


def _encode_request(record: ChunkRequest) -> bytes:
    frame = FrameWriter(_REQUEST)
    frame.array(np.frombuffer(_REQUESTS.encode(record), dtype=np.uint8), "|u1")
    return frame.finish()


def _decode_request(frame: FrameReader) -> ChunkRequest:
    return _REQUESTS.decode(frame.array("|u1", 1).tobytes())


def _encode_offered(record: Offered) -> bytes:
    frame = FrameWriter(_OFFERED)
    if record.source not in get_args(SourceName) or not isinstance(record.claims, bool):
        raise BridgeError(f"an offer from {record.source!r} that claims {record.claims!r}")
    frame.number(as_number(record.now_s))
    offer = replace(record, target=as_vector(record.target), stamp_s=as_number(record.stamp_s))
    frame.array(np.frombuffer(_OFFERS.encode(offer), dtype=np.uint8), "|u1")
    return frame.finish()


def _decode_offered(frame: FrameReader) -> Offered:
    now_s = frame.number()
    return replace(_OFFERS.decode(frame.array("|u1", 1).tobytes()), now_s=now_s)


def _encode_retry(record: Retry) -> bytes:
    frame = FrameWriter(_RETRY)
    frame.number(record.now_s)
    frame.integer(record.number)
    frame.text(record.reason)
    frame.text(record.reaction)
    return frame.finish()


def _decode_retry(frame: FrameReader) -> Retry:
    now_s, number, reason, reaction = frame.number(), frame.integer(), frame.text(), frame.text()
    return Retry(now_s=now_s, number=number, reason=reason, reaction=reaction)  # type: ignore[arg-type]


def _encode_clear(record: KeptClear) -> bytes:
    frame = FrameWriter(_CLEAR)
    frame.number(record.share)
    return frame.finish()


def _decode_clear(frame: FrameReader) -> KeptClear:
    return KeptClear(share=frame.number())


def _encode_command(record: Command) -> bytes:
    frame = FrameWriter(_COMMAND)
    frame.array(record.target, "<f8")
    for number in (record.stamp_s, record.row, record.subgoal_age_s, record.chunk_age_s, record.seam):
        frame.number(number)
    for integer in (record.chunk_sequence, record.subgoal_sequence, record.subgoal_epoch):
        frame.integer(integer)
    frame.text(record.source)
    frame.text(" ".join(record.limited))
    return frame.finish()


def _decode_command(frame: FrameReader) -> Command:
    target = frame.array("<f8", 1)
    stamp_s, row, subgoal_age_s, chunk_age_s, seam = (frame.number() for _ in range(5))
    chunk_sequence, subgoal_sequence, subgoal_epoch = (frame.integer() for _ in range(3))
    source, limited = frame.text(), frame.text()
    if source not in get_args(CommandSource):
        raise BridgeError(f"a command from {source!r}; there are {', '.join(get_args(CommandSource))}")
    return Command(
        target=target,
        stamp_s=stamp_s,
        source=source,  # type: ignore[arg-type]
        chunk_sequence=chunk_sequence,
        row=row,
        subgoal_sequence=subgoal_sequence,
        subgoal_epoch=subgoal_epoch,
        subgoal_age_s=subgoal_age_s,
        chunk_age_s=chunk_age_s,
        seam=seam,
        limited=tuple(limited.split()),
    )


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    Started: _encode_started,
    Observed: _encode_observed,
    SubgoalArrived: _encode_subgoal,
    ChunkArrived: _encode_chunk,
    Offered: _encode_offered,
    Tick: _encode_tick,
    Fault: _encode_fault,
    ChunkRequest: _encode_request,
    Retry: _encode_retry,
    KeptClear: _encode_clear,
    Command: _encode_command,
    EmergencyStop: _encode_stop,
    EmergencyReset: _encode_reset,
}
_DECODERS: dict[int, Callable[[FrameReader], Record]] = {
    _STARTED: _decode_started,
    _OBSERVED: _decode_observed,
    _SUBGOAL: _decode_subgoal,
    _CHUNK: _decode_chunk,
    _OFFERED: _decode_offered,
    _TICK: _decode_tick,
    _FAULT: _decode_fault,
    _REQUEST: _decode_request,
    _RETRY: _decode_retry,
    _CLEAR: _decode_clear,
    _COMMAND: _decode_command,
    _STOP: _decode_stop,
    _RESET: _decode_reset,
}
