"""Events and states as bytes, for the manager's own store; nobody else reads them."""

from __future__ import annotations

from types import GenericAlias
from typing import Any, get_args

import msgspec
from immutables import Map

from pool.records.events import AnyEvent
from pool.records.state import PoolState


def encode_event(event: AnyEvent) -> bytes:
    """An event as bytes."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> AnyEvent:
    """Inverse of `encode_event`. Raises msgspec.DecodeError."""
    return _event_decoder.decode(data)


def encode_state(pool: PoolState) -> bytes:
    """A state as bytes."""
    return _encoder.encode(pool)


def decode_state(data: bytes) -> PoolState:
    """Inverse of `encode_state`. Raises msgspec.DecodeError."""
    return _state_decoder.decode(data)


def _encode_map(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} is no part of a record")


def _decode_map(type_: Any, value: Any) -> Any:
    key, item = get_args(type_)
    return Map(msgspec.convert(value, GenericAlias(dict, (key, item)), dec_hook=_decode_map))


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_map)
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_state_decoder = msgspec.msgpack.Decoder(PoolState, dec_hook=_decode_map)
