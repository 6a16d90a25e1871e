"""Whose published tasks a node mines: a publisher can leak its test images, and honest work of such
a round is lost (consensus C1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from node.identity import parse_address


class Verdict(StrEnum):
    """What an operator says of a publisher."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True)
class PublisherPolicy:
    """Public keys of publishers; if any are allowed, the others are not."""

    allowed: frozenset[bytes] = frozenset()
    denied: frozenset[bytes] = frozenset()

    def accepts(self, publisher: bytes) -> bool:
        """Whether to mine for a publisher."""
        return publisher not in self.denied and (not self.allowed or publisher in self.allowed)


MINES_FOR_ALL = PublisherPolicy()


def parse_opinion(text: str) -> tuple[Verdict, bytes]:
    """`allow:ADDRESS` or `deny:ADDRESS`. Raises ValueError."""
    verdict, _, address = text.partition(":")
    if verdict not in set(Verdict):
        raise ValueError(f"{text!r} is not allow:ADDRESS or deny:ADDRESS")
    return Verdict(verdict), parse_address(address)


def make_policy(opinions: Iterable[tuple[Verdict, bytes]]) -> PublisherPolicy:
    """The policy that these opinions come to; who is allowed and denied is denied."""
    told = list(opinions)
    return PublisherPolicy(
        frozenset(key for verdict, key in told if verdict is Verdict.ALLOW),
        frozenset(key for verdict, key in told if verdict is Verdict.DENY),
    )
