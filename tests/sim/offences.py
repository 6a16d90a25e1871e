"""Who has signed what nobody may sign, out of all that was ever seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from node.chain.envelope import Signed
from node.chain.finality import Link, link_of, slashable
from node.chain.messages import Vote


class Offences:
    """Votes by key, and the keys among whose votes two are slashable."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self._links: dict[bytes, set[Link]] = {}

    def note(self, vote: Signed[Vote]) -> None:
        """Take a vote into account."""
        link, links = link_of(vote.message), self._links.setdefault(vote.signer, set())
        if link not in links:
            if any(slashable(link, other) for other in links):
                self.keys.add(vote.signer)
            links.add(link)

    def exceed_a_third(self, weights: Mapping[bytes, int], among: Iterable[bytes] = ()) -> bool:
        """Whether the offenders, and the keys `among` beside them, have more than a third."""
        guilty = self.keys | set(among)
        weight = sum(weight for key, weight in weights.items() if key in guilty)
        return 3 * weight > sum(weights.values())
