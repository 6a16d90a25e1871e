"""Canonical protobuf: exactly one byte string for each message.

A message is a frozen record whose fields are annotated with their wire form:
`round: Annotated[int, Uint(1)]`. Ids and signatures cover the bytes, so decoding
refuses all that protobuf tolerates: fields out of order, long varints, written
defaults, unknown fields, other wire types (design 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, get_type_hints

from node.chain.errors import NotCanonical
from node.chain.hashing import HASH_BYTES, MAX_INT

T = TypeVar("T")
VARINT, LENGTH_DELIMITED = 0, 2
MAX_VARINT_BYTES = 9
"""Nine groups of seven bits hold every integer below 2**63."""


@dataclass(frozen=True)
class Uint:
    """An unsigned integer up to `most`; zero is absent."""

    number: int
    most: int = MAX_INT

    @cached_property
    def tag(self) -> bytes:
        """What is written before each value."""
        return _varint(self.number << 3 | VARINT)


@dataclass(frozen=True)
class Bytes:
    """Bytes of `shortest` to `longest` octets; empty is absent."""

    number: int
    shortest: int = HASH_BYTES
    longest: int = HASH_BYTES

    @cached_property
    def tag(self) -> bytes:
        """What is written before each value."""
        return _varint(self.number << 3 | LENGTH_DELIMITED)


@dataclass(frozen=True)
class RepeatedBytes:
    """At most `most` entries of `length` bytes each, as a tuple."""

    number: int
    most: int
    length: int = HASH_BYTES

    @cached_property
    def tag(self) -> bytes:
        """What is written before each value."""
        return _varint(self.number << 3 | LENGTH_DELIMITED)


@dataclass(frozen=True)
class RepeatedMessage:
    """At most `most` messages of class `of`, as a tuple."""

    number: int
    most: int
    of: type[Any]

    @cached_property
    def tag(self) -> bytes:
        """What is written before each value."""
        return _varint(self.number << 3 | LENGTH_DELIMITED)


@dataclass(frozen=True)
class Message:
    """One message of class `of`, always there."""

    number: int
    of: type[Any]

    @cached_property
    def tag(self) -> bytes:
        """What is written before the value."""
        return _varint(self.number << 3 | LENGTH_DELIMITED)


Wire = Uint | Bytes | RepeatedBytes | RepeatedMessage | Message
Schema = tuple[tuple[str, Wire], ...]
_SCHEMAS: dict[type[Any], Schema] = {}
MAX_UINT32 = 2**32 - 1
_SHORT = tuple(bytes((value,)) for value in range(0x80))


def encode(message: Any) -> bytes:
    """Return the canonical bytes of a message. Raises NotCanonical if a field is out of bounds."""
    out = bytearray()
    for name, wire in _schema(type(message)):
        value = getattr(message, name)
        _check_bounds(name, wire, value)
        if value:
            _write_field(out, wire, value)
    return bytes(out)


def decode(cls: type[T], data: bytes) -> T:
    """Return the message of class `cls` that `data` encodes. Raises NotCanonical."""
    reader = _Reader(data)
    values = {name: _read_field(reader, name, wire) for name, wire in _schema(cls)}
    if not reader.at_end:
        raise NotCanonical(f"{cls.__name__}: unknown, repeated or misplaced field")
    return cls(**values)


def _schema(cls: type[Any]) -> Schema:
    """Name and wire form of each field, in the order of their numbers."""
    if cls not in _SCHEMAS:
        hints = get_type_hints(cls, include_extras=True)
        _SCHEMAS[cls] = tuple((name, hint.__metadata__[0]) for name, hint in hints.items())
    return _SCHEMAS[cls]


def _write_field(out: bytearray, wire: Wire, value: Any) -> None:
    match wire:
        case Uint():
            out += wire.tag + _varint(value)
        case Bytes():
            _write_bytes(out, wire.tag, value)
        case RepeatedBytes():
            for item in value:
                _write_bytes(out, wire.tag, item)
        case RepeatedMessage():
            for item in value:
                _write_bytes(out, wire.tag, encode(item))
        case Message():
            _write_bytes(out, wire.tag, encode(value))


def _read_field(reader: _Reader, name: str, wire: Wire) -> Any:
    value: Any
    match wire:
        case Uint():
            is_present = reader.takes(wire.tag)
            value = reader.varint() if is_present else 0
        case Bytes():
            is_present = reader.takes(wire.tag)
            value = reader.delimited() if is_present else b""
        case RepeatedBytes():
            is_present, value = False, reader.repeated(wire.tag, wire.most, bytes)
        case RepeatedMessage():
            is_present = False
            value = reader.repeated(wire.tag, wire.most, lambda data: decode(wire.of, data))
        case Message():
            is_present = reader.takes(wire.tag)
            if not is_present:
                raise NotCanonical(f"field {name} is missing")
            value = decode(wire.of, reader.delimited())
    if is_present and not value:
        raise NotCanonical(f"field {name} is written although it has its default value")
    _check_bounds(name, wire, value)
    return value


def _check_bounds(name: str, wire: Wire, value: Any) -> None:
    match wire:
        case Uint(most=most):
            is_within = 0 <= value <= most
        case Bytes(shortest=shortest, longest=longest):
            is_within = shortest <= len(value) <= longest
        case RepeatedBytes(most=most, length=length):
            is_within = len(value) <= most and all(len(item) == length for item in value)
        case RepeatedMessage(most=most):
            is_within = len(value) <= most
        case Message(of=of):
            is_within = isinstance(value, of)
    if not is_within:
        raise NotCanonical(f"field {name} is out of bounds")


def _varint(value: int) -> bytes:
    if value <= 0x7F:
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _write_bytes(out: bytearray, tag: bytes, value: bytes) -> None:
    out += tag + _varint(len(value)) + value


class _Reader:
    """Walks once over the bytes; the order of the calls is the order of the fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def takes(self, tag: bytes) -> bool:
        """Step over the tag if it comes next."""
        if not self._data.startswith(tag, self._at):
            return False
        self._at += len(tag)
        return True

    def varint(self) -> int:
        value = 0
        for position in range(MAX_VARINT_BYTES):
            if self.at_end:
                raise NotCanonical("a varint is cut off")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                if byte == 0 and position > 0:
                    raise NotCanonical("a varint is longer than it needs to be")
                return value
        raise NotCanonical("an integer is 2**63 or more")

    def delimited(self) -> bytes:
        length = self.varint()
        start = self._at
        if length > len(self._data) - start:
            raise NotCanonical("a field is cut off")
        self._at += length
        return self._data[start : self._at]

    def repeated(self, tag: bytes, most: int, parse: Callable[[bytes], T]) -> tuple[T, ...]:
        """Read entries while they come, at most `most`; one more is left as a misplaced field."""
        items: list[T] = []
        while len(items) < most and self.takes(tag):
            items.append(parse(self.delimited()))
        return tuple(items)
