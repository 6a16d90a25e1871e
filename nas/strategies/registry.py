"""Strategies by name. The recurrent ones are imported on demand, because they need PyTorch."""

from __future__ import annotations

from nas.designs.space import Space
from nas.strategies.base import Accept, Strategy
from nas.strategies.evolution import RegularisedEvolution
from nas.strategies.local import LocalSearch
from nas.strategies.uniform import UniformSearch

STRATEGIES = ("reinforce", "reinforce+", "evolution", "local", "random")


class StrategyError(ValueError):
    """A strategy that does not exist."""


def make_strategy(name: str, space: Space, seed: int, accept: Accept) -> Strategy:
    """A new strategy over `space`; everything random comes from `seed`, in [0, 2**63).

    `reinforce` proposes what its policy draws; the others look for designs that `accept` takes.
    Raises StrategyError for an unknown name.
    """
    match name:
        case "reinforce":
            from nas.strategies.reinforce import Reinforce

            return Reinforce(space, seed)
        case "reinforce+":
            from nas.strategies.reinforce_plus import ReinforcePlus

            return ReinforcePlus(space, seed, accept)
        case "evolution":
            return RegularisedEvolution(space, seed, accept)
        case "local":
            return LocalSearch(space, seed, accept)
        case "random":
            return UniformSearch(space, seed, accept)
    raise StrategyError(f"no strategy is called {name!r}; there are {', '.join(STRATEGIES)}")
