"""A task: what a searcher, a trainer and a verifier must know about the search at hand."""

from __future__ import annotations

from dataclasses import dataclass

from fpga_model.layer import MAX_MACS
from nas.designs.space import Space
from nas.training.protocol import REWARD_SPLITS, Protocol, RewardRule

# How a design is trained and quantised; rewards of different protocols are never compared.
PROTOCOLS = tuple(protocol.value for protocol in Protocol)


class TaskError(ValueError):
    """Values that are no task."""


@dataclass(frozen=True)
class Task:
    """The search at hand.

    `dataset` is a name of `nas.data.datasets`, `profile` one of `fpga_model.profile`. `epochs` is
    the training a design gets. `max_mac_images` bounds the exact evaluation that every verifier
    must do: multiply-accumulates per image, classifier included, times the images of the test
    split. Images of `reward_split` are counted for the reward, by `reward_rule`; without a rule it
    is the protocol's own (`rule`).

    Raises TaskError for an unknown protocol, rule or split, for `compat` with another rule than
    its own, epochs below 1, or a bound outside 1 to 2**48.
    """

    dataset: str
    space: Space
    protocol: str
    epochs: int
    profile: str
    max_mac_images: int
    reward_rule: str | None = None
    reward_split: str = "validation"

    def __post_init__(self) -> None:
        _check_name("protocol", self.protocol, PROTOCOLS)
        _check_name("split for rewards", self.reward_split, REWARD_SPLITS)
        if self.reward_rule is not None:
            _check_name("reward rule", self.reward_rule, tuple(RewardRule))
        if self.protocol == Protocol.COMPAT and self.rule is not RewardRule.LAST_FIVE:
            raise TaskError(f"protocol compat rewards by {RewardRule.LAST_FIVE}, not {self.rule}")
        if self.epochs < 1:
            raise TaskError(f"a task needs at least 1 epoch, not {self.epochs}")
        # Beyond MAX_MACS the hardware model could not price what the bound admits.
        if not 1 <= self.max_mac_images <= MAX_MACS:
            raise TaskError(f"max_mac_images must be 1 to {MAX_MACS}, not {self.max_mac_images}")

    @property
    def rule(self) -> RewardRule:
        """The reward rule in force: the task's, or else the protocol's."""
        if self.reward_rule is not None:
            return RewardRule(self.reward_rule)
        return RewardRule.LAST_FIVE if self.protocol == Protocol.COMPAT else RewardRule.BEST


def _check_name(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise TaskError(f"no {what} is called {name!r}; there are {', '.join(names)}")
