"""Views of the lists of a round, one class per message of query_service.proto."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ListedCommitView:
    id: bytes
    producer: str
    unit: int | None
    weight: int
    certified: bool
    left_out: bool
    absentees: Sequence[bytes]


@dataclass(frozen=True)
class ListerView:
    attester: bytes
    weight: int
    has_list: bool
    listed: int
    left_out: int


@dataclass(frozen=True)
class ListsView:
    round: int
    block: bytes
    weight: int
    left_out: int
    commits: Sequence[ListedCommitView]
    attesters: Sequence[ListerView]


class Listings(Protocol):
    """What the query service asks about lists; methods may raise a `QueryError`."""

    def lists(self, number: int | None) -> ListsView:
        """Who listed which commitments in a round, or in the current one."""
        ...
