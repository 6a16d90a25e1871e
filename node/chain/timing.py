"""When a round's phases begin and end on a node's own clock.

Clocks decide only when a node signs; no object carries a time (consensus H).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from node.chain.genesis import Network


class Phase(IntEnum):
    """Phases in their order; values as in query_service.proto."""

    BEFORE_GENESIS = 1
    TRAIN = 2
    LIST = 3
    CLAIM = 4
    VALIDATE = 5
    CONFIRM = 6


class Moment(NamedTuple):
    """Where a clock reading falls; `remaining_ms` counts to the end of the phase."""

    round: int
    phase: Phase
    remaining_ms: int


def round_start(network: Network, round_number: int) -> int:
    """Unix time in ms at which a round starts."""
    return network.genesis_time_ms + round_number * network.parameters.timing.round_ms


def adoption_time(network: Network, round_number: int) -> int:
    """Unix time in ms at which blocks justified off the followed chain count: long after the votes
    of the round before, and before anything is signed (consensus A4)."""
    return round_start(network, round_number) + network.parameters.timing.round_ms // 10


def deadline(network: Network, round_number: int, phase: Phase) -> int:
    """Unix time in ms at which a phase of a round ends."""
    timing = network.parameters.timing
    ends = {
        Phase.BEFORE_GENESIS: 0,
        Phase.TRAIN: timing.lists_ms,
        Phase.LIST: timing.secrets_ms,
        Phase.CLAIM: timing.claims_ms,
        Phase.VALIDATE: timing.vote_ms,
        Phase.CONFIRM: timing.round_ms,
    }
    return round_start(network, round_number) + ends[phase]


def phase_at(network: Network, now_ms: int) -> Moment:
    """Round and phase of a clock reading; before the first round it is BEFORE_GENESIS of 0.

    Round 0 is genesis itself, so its whole length passes as BEFORE_GENESIS.
    """
    elapsed = now_ms - network.genesis_time_ms
    current = elapsed // network.parameters.timing.round_ms
    if current < 1:
        return Moment(0, Phase.BEFORE_GENESIS, round_start(network, 1) - now_ms)
    for phase in (Phase.TRAIN, Phase.LIST, Phase.CLAIM, Phase.VALIDATE):
        if now_ms < (end := deadline(network, current, phase)):
            return Moment(current, phase, end - now_ms)
    return Moment(current, Phase.CONFIRM, deadline(network, current, Phase.CONFIRM) - now_ms)
