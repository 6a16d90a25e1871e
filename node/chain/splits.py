"""Forks whose sides can't come together by votes, since they have drawn different seats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from node.chain.branches import Entry

Drawn = frozenset[bytes]
"""Roots of seats, those of the era to come too."""

_NONE = Drawn()


class _Fork(NamedTuple):
    """A block of the followed chain: its round, and what that chain has drawn above it."""

    round: int
    drawn: Drawn


def is_split(
    entries: Iterable[Entry],
    followed: Sequence[Entry],
    weights: Mapping[bytes, int],
    final_round: int,
) -> bool:
    """Whether a fork without finality is older than an era on both of its sides, and they have
    drawn different seats, so that each may have a quorum of its own (consensus A3).

    `entries` come after their parents, `followed` begins with the head, `weights` are those of the
    votes at or above each block. A side counts if more than a third votes for it, so that nobody
    makes one alone.
    """
    head = followed[0].state
    forks = _forks_of(followed)
    # Of each block off the followed chain: where it left that, and what was drawn since.
    sides: dict[bytes, tuple[_Fork, Drawn]] = {}
    for entry in entries:
        if entry.id in forks or entry.parent is None:
            continue
        if entry.parent in forks:
            fork, before = forks[entry.parent], _NONE
        elif entry.parent in sides:
            fork, before = sides[entry.parent]
        else:
            continue
        drawn = before | _drawn_by(entry)
        sides[entry.id] = fork, drawn
        # What lies below the final block has lost, however long it has grown.
        is_open = fork.round >= final_round
        is_old = min(entry.state.round, head.round) > fork.round + head.eras.rounds
        if is_open and is_old and drawn != fork.drawn and _is_backed(entry, weights):
            return True
    return False


def _forks_of(followed: Sequence[Entry]) -> dict[bytes, _Fork]:
    forks, drawn = dict[bytes, _Fork](), _NONE
    for entry in followed:
        forks[entry.id] = _Fork(entry.state.round, drawn)
        drawn |= _drawn_by(entry)
    return forks


def _drawn_by(entry: Entry) -> Drawn:
    eras = entry.state.eras
    return Drawn((eras.current.root, eras.next.root))


def _is_backed(entry: Entry, weights: Mapping[bytes, int]) -> bool:
    return 3 * weights.get(entry.id, 0) > sum(entry.seats.weights.values())
