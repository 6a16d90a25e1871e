"""Who listed what: makes visible whom attesters leave out (consensus B3).

More than a third of the weight can keep a commitment from being certified. What more than half have
listed was there in time, so those who have not are named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from node.chain.block import Block
from node.chain.commits import commit_id
from node.chain.eras import Seats
from node.chain.lists import marked_ids
from node.chain.messages import Commit
from node.chain.timing import phase_at
from node.clock import Clock
from node.consensus.book import RoundBook, Rounds
from node.consensus.chain import Chain
from node.identity import format_address
from node.inspection.blocks import seats_known
from node.views.listings import ListedCommitView, ListerView, ListsView
from node.views.status import UnknownItem


@dataclass(frozen=True)
class Heard:
    """The lists of a round: ids by attester, and whose commits they are as far as it is known."""

    lists: Mapping[bytes, frozenset[bytes]]
    units: Mapping[bytes, tuple[bytes, int]]


class ChainListings:
    """Implements `node.views.listings.Listings` over what a node hears, and its chain."""

    def __init__(self, chain: Chain, rounds: Rounds, clock: Clock) -> None:
        self._chain = chain
        self._rounds = rounds
        self._clock = clock

    def lists(self, number: int | None) -> ListsView:
        now = phase_at(self._chain.network, self._clock.now_ms()).round
        number = now if number is None else number
        book = self._rounds.known(number)
        if book is not None and book.lists:
            seats = self._chain.context(number).state.eras.seats_at(number)
            return view_lists(number, b"", seats, _heard(book))
        block = self._block_of(number)
        if block is None:
            raise UnknownItem(f"this node has neither lists nor a block of round {number}")
        seats = seats_known(self._chain, number).seats_at(number)
        return view_lists(number, block.id, seats, _shown(block, self._chain.network.id))

    def _block_of(self, number: int) -> Block | None:
        """The followed chain's block of a round; rounds rise with heights."""
        low, high = 0, self._chain.tree.head().state.height
        while low <= high:
            middle = (low + high) // 2
            block_id = self._chain.id_at(middle)
            block = None if block_id is None else self._chain.block(block_id)
            # What is not here is genesis, or lies below the checkpoint that the node began at.
            if block is None or block.round < number:
                low = middle + 1
            elif block.round > number:
                high = middle - 1
            else:
                return block
        return None


def view_lists(number: int, block: bytes, seats: Seats, heard: Heard) -> ListsView:
    """Weigh the lists of a round; `block` shows them, empty if this node heard them itself."""
    total = sum(seats.weights.values())
    commits = []
    for listed in sorted(set().union(*heard.lists.values())):
        listers = {attester for attester, ids in heard.lists.items() if listed in ids}
        weight = sum(seats.weights.get(attester, 0) for attester in listers)
        certified = seats.is_quorum(listers)
        producer, unit = heard.units.get(listed, (None, None))
        commits.append(
            ListedCommitView(
                id=listed,
                producer="" if producer is None else format_address(producer),
                unit=unit,
                weight=weight,
                certified=certified,
                left_out=2 * weight > total and not certified,
                absentees=[attester for attester in seats.weights if attester not in listers],
            )
        )
    left_out = {commit.id for commit in commits if commit.left_out}
    attesters = [
        ListerView(
            attester=attester,
            weight=weight,
            has_list=attester in heard.lists,
            listed=len(heard.lists.get(attester, ())),
            left_out=len(left_out - heard.lists.get(attester, frozenset())),
        )
        for attester, weight in seats.weights.items()
    ]
    return ListsView(number, block, total, len(left_out), commits, attesters)


def _heard(book: RoundBook) -> Heard:
    return Heard(
        {attester: frozenset(signed.message.ids) for attester, signed in book.lists.items()},
        {commit.id: (commit.signer, commit.message.unit) for commit in book.commits.values()},
    )


def _shown(block: Block, network_id: bytes) -> Heard:
    """What a block shows; it names the producers of certified units alone."""
    body = block.body
    units = {
        commit_id(network_id, unit.producer, Commit(block.round, unit.unit, unit.commitment)): (
            unit.producer,
            unit.unit,
        )
        for unit in body.units
    }
    ids = body.commit_ids
    lists = {proof.attester: frozenset(marked_ids(ids, proof.bitmap)) for proof in body.lists}
    return Heard(lists, units)
