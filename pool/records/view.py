"""What a manager shows of its pool, as the typed rows of the query service."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields, is_dataclass

import msgspec

from nas.data.datasets import describe
from nas.designs.genotype import Genotype
from node.identity import format_address
from node.views.status import BestView, MinerView, PoolEventView, PoolView
from pool.records.events import AnyEvent
from pool.records.state import Best, Exploration, MinerState, PoolState
from pool.rules.strategy import NO_ROUND


def pool_view(pool: PoolState, manager: bytes, fee_permille: int, now_ms: int) -> PoolView:
    """The pool as a whole; its manager keeps `fee_permille` of a reward.

    A round that is only prepared is not shown yet: until it starts, the one before is. Failed
    registrations are among the refused, as `registration-` and the rule they broke.
    """
    number, best = 0, None
    if pool.round is not None:
        number, best = pool.round.task.round, pool.round.best
        if now_ms < pool.round.task.start_ms:
            number, best = number - 1, pool.last_best
    refused = Counter({f"registration-{rule}": count for rule, count in pool.turned_away.items()})
    for miner in pool.miners.values():
        refused.update({str(reason): count for reason, count in miner.refused.items()})
    return PoolView(
        manager=manager,
        round=number,
        strong_miners=pool.strong,
        weak_miners=pool.weak,
        best=None if best is None else _best_view(best),
        committed=pool.promise is not None and pool.promise.round == number,
        results_accepted=pool.results_accepted,
        results_refused=refused,
        shared_bests=pool.shared_bests,
        weak_improvements=pool.weak_improvements,
        fee_permille=fee_permille,
    )


def miner_views(pool: PoolState) -> tuple[MinerView, ...]:
    """Every miner that has ever registered, in the order of joining."""
    size = 0 if pool.round is None else describe(pool.round.task.task.dataset).validation
    return tuple(
        MinerView(
            public_key=miner.key,
            payout_address=format_address(miner.payout_address),
            strength=str(miner.strength),
            connected=miner.connected,
            activity=_activity(pool, miner),
            episodes=miner.episodes,
            best_correct=miner.best_correct,
            size=size,
            work=miner.work,
            accepted=miner.accepted,
            stale=miner.stale,
            refused={str(reason): count for reason, count in miner.refused.items()},
        )
        for miner in sorted(pool.miners.values(), key=lambda miner: miner.number)
    )


def event_view(number: int, event: AnyEvent) -> PoolEventView:
    """An event as people and programs read it: its inputs as a JSON object."""
    inputs = msgspec.structs.asdict(event)
    del inputs["at_ms"]
    miner = inputs.pop("miner", b"")
    kind = str(type(event).__struct_config__.tag)
    return PoolEventView(
        number, event.at_ms, kind, miner, json.dumps(_plain(inputs), separators=(",", ":"))
    )


def _plain(value: object) -> object:
    """The value in what JSON can say: bytes as hexadecimal, records by their fields' names."""
    match value:
        case bytes():
            return value.hex()
        case Genotype():
            return value.to_bytes().hex()
        case msgspec.Struct():
            return _plain(msgspec.structs.asdict(value))
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def _best_view(best: Best) -> BestView:
    return BestView(
        best.finder, best.genotype.to_bytes(), best.correct, best.size, best.from_weak_miner
    )


def _activity(pool: PoolState, miner: MinerState) -> str:
    if not miner.connected:
        return "disconnected"
    if pool.round is None or not pool.round.is_open:
        return f"idle: {NO_ROUND}"
    assignment = miner.current
    if assignment is None:
        return f"idle: {miner.resting}"
    if isinstance(assignment.work, Exploration):
        return f"explores subspace {assignment.work.search}"
    return f"trains on from {assignment.work.base.correct} correct"
