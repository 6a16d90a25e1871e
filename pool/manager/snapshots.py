"""A manager's state on disk, from which a restart begins: written a portion at a time.

Two slots take turns. A snapshot counts once its header is written, which comes after all portions,
and until then the one before does: whenever the manager is killed, one of them is whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from node.chain.hashing import u64
from node.store.base import Change, Delete, Put, Store, Table
from pool.records.codec import decode_state, encode_state
from pool.records.state import PoolState

_HEADER = b"header"


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """The state before event `number` is in `portions` of a slot."""

    number: int = 1
    slot: int = 0
    portions: int = 0


class Snapshots:
    """`state` is the one that the store held when it was opened, before event `number`.

    `number` is that of the newest snapshot. Opening raises StoreError.
    """

    def __init__(self, store: Store) -> None:
        data = store.get(Table.POOL_STATE, _HEADER)
        self._newest, self.state = _Header(), PoolState()
        if data is not None:
            self._newest = msgspec.msgpack.decode(data, type=_Header)
            keys = _keys(self._newest)
            self.state = decode_state(store.get(Table.POOL_STATE, key) or b"" for key in keys)

    @property
    def number(self) -> int:
        """The first event after the newest snapshot."""
        return self._newest.number

    def keep(self, number: int, pool: PoolState) -> Iterator[Change]:
        """The changes that keep the state before event `number`, to be written in this order.

        Each is made when it is asked for, which takes a few milliseconds.
        """
        before, portions = self._newest, 0
        slot = 1 - before.slot
        for data in encode_state(pool):
            yield Put(Table.POOL_STATE, _key(slot, portions), data)
            portions += 1
        self._newest = _Header(number, slot, portions)
        yield Put(Table.POOL_STATE, _HEADER, msgspec.msgpack.encode(self._newest))
        for key in _keys(before):
            yield Delete(Table.POOL_STATE, key)


def _keys(header: _Header) -> Iterator[bytes]:
    return (_key(header.slot, portion) for portion in range(header.portions))


def _key(slot: int, portion: int) -> bytes:
    return u64(slot) + u64(portion)
