"""Strict JSON form of the dataclasses and named tuples that make up a network file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from node.chain.errors import NetworkError
from node.chain.hashing import HASH_BYTES, MAX_INT


def to_json(value: Any) -> Any:
    """Return what the json module can write: bytes as hexadecimal, records as objects."""
    if isinstance(value, bytes):
        return value.hex()
    if _is_record(type(value)):
        return {name: to_json(getattr(value, name)) for name in _hints(type(value))}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    return value


def from_json(hint: Any, value: Any, path: str) -> Any:
    """Read a value of the annotated type. Raises NetworkError that names the field by its path."""
    if get_origin(hint) is tuple:
        item_hint = get_args(hint)[0]
        items = _require(value, path, "a list", lambda v: isinstance(v, list))
        return tuple(from_json(item_hint, item, f"{path}[{i}]") for i, item in enumerate(items))
    if _is_record(hint):
        return _record_from_json(hint, value, path)
    if hint is bytes:
        return bytes.fromhex(_require(value, path, "64 hexadecimal digits", _is_hash))
    if hint is bool:
        return _require(value, path, "true or false", lambda v: isinstance(v, bool))
    if hint is int:
        return _require(value, path, "an integer from 0 to 2**63 - 1", _is_uint)
    return _require(value, path, "a text", lambda v: isinstance(v, str))


def _record_from_json(cls: Any, value: Any, path: str) -> Any:
    hints = _hints(cls)
    members = _require(value, path or "file", "an object", lambda v: isinstance(v, dict))
    for name in sorted(members.keys() ^ hints.keys()):
        known = "unknown" if name in members else "missing"
        raise NetworkError(f"{_join(path, name)}: field is {known}")
    return cls(**{n: from_json(hint, members[n], _join(path, n)) for n, hint in hints.items()})


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _require(value: Any, path: str, expected: str, is_expected: Callable[[Any], bool]) -> Any:
    if not is_expected(value):
        raise NetworkError(f"{path}: expected {expected}, got {value!r:.60}")
    return value


def _is_hash(value: Any) -> bool:
    is_text = isinstance(value, str) and len(value) == 2 * HASH_BYTES
    return is_text and all(digit in "0123456789abcdef" for digit in value)


def _is_uint(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT


def _is_record(hint: Any) -> bool:
    return is_dataclass(hint) or hasattr(hint, "_fields")


def _hints(cls: Any) -> dict[str, Any]:
    """Annotations of the fields alone, in order (class constants are no fields)."""
    names = [field.name for field in fields(cls)] if is_dataclass(cls) else cls._fields
    hints = get_type_hints(cls)
    return {name: hints[name] for name in names}
