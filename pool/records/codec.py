"""Events and states as bytes, for the manager's own store; nobody else reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from types import GenericAlias
from typing import Any, get_args

import msgspec
from immutables import Map

from pool.records.events import AnyEvent
from pool.records.state import PoolState

PORTION = 1_000
"""Entries of a map that are encoded at a time, which takes a few milliseconds."""

_LARGE = 64
"""Maps with more entries are encoded apart from the record that they are in."""


def encode_event(event: AnyEvent) -> bytes:
    """An event as bytes."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> AnyEvent:
    """Inverse of `encode_event`. Raises msgspec.DecodeError."""
    return _event_decoder.decode(data)


def encode_state(pool: PoolState) -> Iterator[bytes]:
    """A state as portions of bytes, each made when it is asked for: a state may be large, and who
    asks may have more urgent things to do in between.

    First comes the state with a number in the place of each large map, then those maps' entries.
    """
    large: list[Map[Any, Any]] = []

    def encode_map(value: object) -> object:
        if not isinstance(value, Map):
            raise NotImplementedError(f"{type(value).__name__} is no part of a record")
        if len(value) <= _LARGE:
            return dict(value)
        large.append(value)
        return len(large) - 1

    encoder = msgspec.msgpack.Encoder(enc_hook=encode_map)
    yield encoder.encode(pool)
    # Grows on the way, by large maps inside of others.
    for number, value in enumerate(large):
        entries = iter(value.items())
        while portion := dict(islice(entries, PORTION)):
            yield encoder.encode((number, portion))


def decode_state(portions: Iterable[bytes]) -> PoolState:
    """Inverse of `encode_state`. Raises msgspec.DecodeError."""
    first, *others = portions
    large: dict[int, dict[Any, Any]] = {}
    for portion in others:
        number, entries = msgspec.msgpack.decode(portion, type=tuple[int, dict[Any, Any]])
        large.setdefault(number, {}).update(entries)

    def decode_map(type_: Any, value: Any) -> object:
        entries = value if isinstance(value, dict) else large.get(value)
        plain = GenericAlias(dict, get_args(type_))
        return Map(msgspec.convert(entries, plain, dec_hook=decode_map))

    return msgspec.msgpack.decode(first, type=PoolState, dec_hook=decode_map)


_encoder = msgspec.msgpack.Encoder()
_event_decoder: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
