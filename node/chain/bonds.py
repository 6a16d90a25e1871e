"""Bonds: coins that an identity loses if it signs what nobody may (consensus H, G1).

Pure arithmetic of one bond; who pays into it, and who is paid out, is the transactions' part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, NamedTuple

from node.chain.codec import Bytes, RepeatedMessage, Uint

UNBOND_ERAS = 10
"""Whole eras for which unbonded base units can still be taken (consensus A5)."""
MAX_UNBONDING = 16
"""Entries that can wait at once: one an era, so more than the eras that each takes."""


class BondKind(IntEnum):
    """Attesters' and producers' bonds are apart: one loss does not spend the other."""

    ATTEST = 1
    PRODUCE = 2


class BondKey(NamedTuple):
    """Whose bond it is: the public key that lists and votes, or commits."""

    kind: BondKind
    identity: bytes

    def to_bytes(self) -> bytes:
        """Key in the table of bonds, 33 bytes."""
        return bytes((self.kind,)) + self.identity

    @classmethod
    def from_bytes(cls, key: bytes) -> BondKey:
        """The inverse of `to_bytes`."""
        return cls(BondKind(key[0]), key[1:])


@dataclass(frozen=True)
class Unbonding:
    """Base units on their way back to the owner, paid at the start of an era."""

    amount: Annotated[int, Uint(1)]
    release_era: Annotated[int, Uint(2)]


@dataclass(frozen=True)
class Bond:
    """Base units at stake for an identity.

    `owner` is the address that may unbond and is paid. `unbonding` ascends by era. `absent_eras`
    counts the eras in a row in which an attester's seat had no vote included.
    """

    owner: Annotated[bytes, Bytes(1)]
    amount: Annotated[int, Uint(2)]
    unbonding: Annotated[tuple[Unbonding, ...], RepeatedMessage(3, MAX_UNBONDING, Unbonding)] = ()
    absent_eras: Annotated[int, Uint(4)] = 0

    @property
    def held(self) -> int:
        """Base units that evidence can take: what stands and what is on its way back."""
        return self.amount + sum(entry.amount for entry in self.unbonding)


def unbond(bond: Bond, amount: int, release_era: int) -> Bond:
    """Move an amount to the entry that is paid at the start of `release_era`.

    Raises ValueError unless the bond holds it.
    """
    if not 0 < amount <= bond.amount:
        raise ValueError(f"{amount} of a bond of {bond.amount}")
    waiting = {entry.release_era: entry.amount for entry in bond.unbonding}
    waiting[release_era] = waiting.get(release_era, 0) + amount
    entries = tuple(Unbonding(waiting[era], era) for era in sorted(waiting))
    return replace(bond, amount=bond.amount - amount, unbonding=entries)


def release(bond: Bond, era: int) -> tuple[Bond, int]:
    """The bond at the start of an era, and what its owner is paid."""
    due = sum(entry.amount for entry in bond.unbonding if entry.release_era <= era)
    left = tuple(entry for entry in bond.unbonding if entry.release_era > era)
    return replace(bond, unbonding=left), due


def take(bond: Bond, amount: int) -> tuple[Bond, int]:
    """Take base units from a bond; returns it and what it had of them.

    First from what stands, then from what is on its way back, the latest first.
    """
    taken = min(amount, bond.amount)
    left, entries = amount - taken, []
    for entry in reversed(bond.unbonding):
        part = min(left, entry.amount)
        left -= part
        if part < entry.amount:
            entries.append(replace(entry, amount=entry.amount - part))
    changed = replace(bond, amount=bond.amount - taken, unbonding=tuple(reversed(entries)))
    return changed, amount - left


def units_of(bond: Bond, unit_bond: int, max_units: int) -> int:
    """Commitments that a producer's bond backs in a round: `min(U, bond // UNIT)`."""
    return min(max_units, bond.amount // unit_bond)
