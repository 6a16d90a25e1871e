"""Who takes part in a simulated network, and how it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from node.chain.genesis import Endowment, Network, first_bonds
from node.chain.params import FAST, Parameters


@dataclass(frozen=True)
class Plan:
    """Who takes part. Full nodes attest; managers, solo miners and mints hold a unit each, the last
    of them `last_units`.

    Strong and weak miners join the first manager. A candidate takes a strong miner `train_ms`,
    a weak one twice that. Mints are producers without a pool; publishers have tasks of their own.
    `weights` are those of the full nodes, one each if empty. Everybody dials the first `dialled`
    full nodes, and has an account with a `purse` of so many subsidies. A synced write takes
    `disk_ms`, and a crash loses those under way.
    """

    full: int = 4
    mints: int = 0
    managers: int = 1
    strong: int = 2
    weak: int = 1
    solo: int = 0
    publishers: int = 0
    weights: tuple[int, ...] = ()
    last_units: int = 1
    dialled: int = 2
    purse: int = 0
    train_ms: int = 700
    disk_ms: tuple[int, int] = (0, 0)
    parameters: Parameters = FAST


def kind_of(name: str) -> str:
    """What a machine is, by its name."""
    return name.rstrip("0123456789")


def names_of(plan: Plan) -> Iterator[str]:
    """Names of all machines: full0, manager0, strong0, weak0, solo0, mint0, publisher0, ..."""
    counts = {
        "full": plan.full,
        "manager": plan.managers,
        "strong": plan.strong,
        "weak": plan.weak,
        "solo": plan.solo,
        "mint": plan.mints,
        "publisher": plan.publishers,
    }
    for kind, count in counts.items():
        yield from (f"{kind}{number}" for number in range(count))


def network_of(plan: Plan, keys: Mapping[str, bytes]) -> Network:
    """Where the network of a plan begins, by the public keys of its machines."""
    weights = plan.weights or (1,) * plan.full
    producers = [key for name, key in keys.items() if kind_of(name) in ("manager", "solo", "mint")]
    purse = plan.purse * plan.parameters.subsidy
    return Network(
        parameters=plan.parameters,
        genesis_time_ms=0,
        bonds=first_bonds(
            plan.parameters,
            attesters={keys[f"full{number}"]: weight for number, weight in enumerate(weights)},
            producers=dict.fromkeys(producers[:-1], 1)
            | dict.fromkeys(producers[-1:], plan.last_units),
        ),
        accounts=tuple(Endowment(key, purse) for key in sorted(keys.values()) if purse),
    )
