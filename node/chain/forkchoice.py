"""The blocks a node knows and which of them it follows.

Never leaves its own final block; then highest justified; then latest votes by
weight; then lower id (consensus A4). Who holds votes back could justify now this branch, now that
one, shortly before others vote; so a block that is justified off the followed chain counts from the
next call of `adopt_justified` on, once a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from node.chain.block import Block
from node.chain.bonds import BondKey, BondKind
from node.chain.branches import Branches, Entry
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.eras import Seats
from node.chain.errors import Reason, Rejected, SafetyAlarm
from node.chain.finality import Tally, link_of
from node.chain.genesis import Network
from node.chain.messages import Vote
from node.chain.splits import is_split
from node.chain.state import Checkpoint, State, genesis_state
from node.chain.votebook import VoteBook

KEPT_HEIGHTS = 64
"""Blocks below the final one that stay: for late votes and to notice a conflict."""
PRUNED_AT_ONCE = 16
"""Heights by which more may stay, so that not every block goes through all that is kept."""


class BlockTree(Branches):
    """Valid blocks from a little below the final one on. Does no I/O.

    Begins with genesis, or with `base`: a final block and its parent, in the order of rounds, both
    of which the caller answers for.
    """

    def __init__(self, network: Network, base: Sequence[Entry] = ()) -> None:
        self.network = network
        base = base or [Entry(network.genesis_id, genesis_state(network), None, None)]
        super().__init__(base)
        first = base[-1]
        # A final block is justified, and so is the one that it justified itself.
        self._tally = Tally([first.state.justified, first.checkpoint])
        self._book = VoteBook()
        self._horizon = base[0].state.round
        self.final = first.checkpoint
        # The justified block from which the head is looked for.
        self._root = first.checkpoint
        self._floor = base[0].state.height
        # The final block and those below it.
        self._own = {entry.id for entry in base}
        # The head when it was last asked for: its seats judge votes for blocks yet to come.
        self._followed = first
        # Heads by `max_round`, until a block or a vote comes.
        self._heads: dict[int | None, Entry] = {}
        # Found when it is asked for, and kept as long as those.
        self._is_split: bool | None = None

    def context_for(self, parent_id: bytes, round_number: int) -> RoundContext:
        """What a round is played with by a block on this parent. Raises Rejected."""
        fixed = self.ancestor(parent_id, round_number - 2)
        return RoundContext(self.network, round_number, fixed.id, fixed.state)

    def source_for(self, target_id: bytes) -> Checkpoint:
        """Source of an honest vote for a block: what its state has justified."""
        return self.entry(target_id).state.justified

    def add(self, block: Block, state: State) -> None:
        """Add a block that `apply_block` let pass with the state it returned.

        Counts the votes in its body and those that waited for it. Raises
        Rejected(UNKNOWN_PARENT), and SafetyAlarm if a conflicting block is final.
        """
        if block.id in self:
            return
        self._enter(block, state)
        self._forget_heads()
        waiting = (v for v in self._book.release(block.id) if self._refusal(v) is None)
        for vote in (*block.votes, *waiting):
            self._count(vote)
        # Of the votes for a block below the first of this tree, some can't be counted here.
        self._tally.take_justified(state.justified)
        self._advance_final()

    def add_vote(self, vote: Signed[Vote]) -> bool:
        """Count a vote, or hold it until its target is known; whether it is new.

        One for an unknown block is not kept if only another branch can tell what it weighs. Raises
        Rejected:
        NOT_ATTESTER, STALE, VOTE_TARGET, VOTE_SOURCE; and SafetyAlarm.
        """
        if vote.message.round <= self._horizon:
            raise Rejected(Reason.STALE, f"a vote of round {vote.message.round}")
        if vote.message.target not in self:
            return self._hold(vote)
        if refusal := self._refusal(vote):
            raise refusal
        is_new = self._count(vote)
        self._advance_final()
        return is_new

    def is_backed(self, block_id: bytes) -> bool:
        """Whether a quorum votes for a block that is not in the tree yet.

        Its voters have counted its model, so that a node may take the count from them.
        """
        return any(
            self._seats_to_come(round_number).is_quorum(voters)
            for round_number, voters in self._book.waiting_voters(block_id).items()
        )

    def has_votes(self, block_id: bytes) -> bool:
        """Whether anybody votes for a block that is not in the tree yet."""
        return bool(self._book.waiting_voters(block_id))

    @property
    def followed(self) -> Entry:
        """The head when it was last asked for."""
        return self._followed

    def votes(self) -> tuple[Signed[Vote], ...]:
        """All counted votes that are not below the horizon, for bodies and for peers."""
        return self._book.counted()

    @property
    def justified(self) -> Checkpoint:
        """Highest justified block that descends from the final one; ties by lower id."""
        above = (c for c in self._tally.justified if c.round >= self.final.round)
        known = (c for c in above if c.id in self)
        descendants = (c for c in known if self.is_descendant(c.id, self.final))
        return min(descendants, key=lambda c: (-c.round, c.id))

    def adopt_justified(self) -> None:
        """Look for the head from the highest justified block on, wherever it is."""
        self._root = self.justified
        self._forget_heads()

    def trust(self, checkpoint: Checkpoint) -> None:
        """Take a block of this tree for final on the operator's word.

        Raises SafetyAlarm if what is final already excludes it.
        """
        self._tally.take_final(self.entry(checkpoint.id).checkpoint)
        self._forget_heads()
        self._advance_final()

    def head(self, max_round: int | None = None) -> Entry:
        """The block to build on; with `max_round`, among blocks up to that round.

        A producer of round r passes r - 1, so that it builds beside its competitors.
        """
        if max_round not in self._heads:
            self._heads[max_round] = self._find_head(max_round)
        self._followed = self._heads[max_round]
        return self._followed

    def _forget_heads(self) -> None:
        self._heads.clear()
        self._is_split = None

    def _find_head(self, max_round: int | None) -> Entry:
        head = self.entry(self._root.id)
        if max_round is not None and head.state.round > max_round:
            return self.ancestor(head.id, max_round)
        weights = self._subtree_weights()
        while children := [
            child
            for child in self.children(head.id)
            if max_round is None or self.entry(child).state.round <= max_round
        ]:
            head = self.entry(min(children, key=lambda c: (-weights.get(c, 0), c)))
        return head

    def is_split(self) -> bool:
        """Whether a fork has lasted until votes can't end it; see `splits`."""
        if self._is_split is None:
            followed = list(self.chain(self.head().id))
            self._is_split = is_split(
                self._entries.values(), followed, self._subtree_weights(), self.final.round
            )
        return self._is_split

    def _refusal(self, vote: Signed[Vote]) -> Rejected | None:
        """What is wrong with a vote whose target is known."""
        target = self.entry(vote.message.target)
        if vote.signer not in target.seats.weights:
            return Rejected(Reason.NOT_ATTESTER, f"{vote.signer.hex()[:8]} does not attest")
        return _link_refusal(vote.message, target)

    def _hold(self, vote: Signed[Vote]) -> bool:
        """Keep a vote for a block that has not come yet, as far as its voter's seat is known."""
        if vote.signer in self._seats_to_come(vote.message.round).weights:
            return self._book.hold(vote)
        # On the block's branch it may have one: in an era that is over or to come, or where this
        # branch took the seat of somebody that it has not heard for long.
        state = self._followed.state
        is_bonded = state.bond(BondKey(BondKind.ATTEST, vote.signer)) is not None
        if is_bonded or not state.eras.knows(vote.message.round):
            return False
        raise Rejected(Reason.NOT_ATTESTER, f"{vote.signer.hex()[:8]} does not attest")

    def _seats_to_come(self, round_number: int) -> Seats:
        """Seats of a round by the chain this node follows; nobody's if it can't tell."""
        eras = self._followed.state.eras
        return eras.seats_at(round_number) if eras.knows(round_number) else Seats()

    def _count(self, vote: Signed[Vote]) -> bool:
        is_new = self._book.count(vote)
        self._forget_heads()
        if is_new and (target := self._entries.get(vote.message.target)):
            self._tally.add(vote.signer, link_of(vote.message), target.seats)
        return is_new

    def _subtree_weights(self) -> dict[bytes, int]:
        """Weight of the latest votes at or above each block."""
        weights: dict[bytes, int] = {}
        for voter, target in self._book.latest_targets():
            if target in self:
                weight = self.entry(target).seats.weights[voter]
                weights[target] = weights.get(target, 0) + weight
        # From the newest down: a block came after the one it builds on.
        for entry in reversed(self._entries.values()):
            if entry.id in weights and entry.parent is not None:
                weights[entry.parent] = weights.get(entry.parent, 0) + weights[entry.id]
        return weights

    def _advance_final(self) -> None:
        before = self.final
        fresh = (c for c in self._tally.final if c.id in self and c.id not in self._own)
        for checkpoint in sorted(fresh):
            if not self.is_descendant(checkpoint.id, self.final):
                raise SafetyAlarm(
                    f"blocks {self.final.id.hex()} and {checkpoint.id.hex()} are both final"
                )
            self.final = checkpoint
        justified = self.justified
        if justified != self._root and self._is_followed(justified):
            self.adopt_justified()
        if self.final != before:
            fresh_own = takewhile(
                lambda entry: entry.id not in self._own, self.chain(self.final.id)
            )
            self._own |= {entry.id for entry in fresh_own}
            self._shed_losers(self.final, self._own)
            self._prune(self.entry(before.id).state.height)

    def _is_followed(self, justified: Checkpoint) -> bool:
        """Whether adopting a justified block moves no head, or the final block leaves no choice."""
        if not self.is_descendant(self._root.id, self.final):
            return True
        only = self._root.id
        while only != justified.id and len(children := self.children(only)) == 1:
            (only,) = children
        return only == justified.id or self.is_descendant(self._find_head(None).id, justified)

    def _prune(self, last_final_height: int) -> None:
        """Drop what lies well below the final block, but nothing that has just become final."""
        final_height = self.entry(self.final.id).state.height
        floor = min(final_height - KEPT_HEIGHTS, last_final_height)
        if floor < self._floor + PRUNED_AT_ONCE:
            return
        self._floor = floor
        self._drop_below(floor)
        *_, lowest = self.chain(self.final.id)
        self._own = {entry.id for entry in self.chain(self.final.id)}
        self._horizon = lowest.state.round
        self._tally.forget_below(self._horizon)
        self._book.forget_below(self._horizon)


def _link_refusal(vote: Vote, target: Entry) -> Rejected | None:
    if vote.round != target.state.round:
        return Rejected(Reason.VOTE_TARGET, "the target is of another round")
    if (vote.source_round, vote.source) != target.state.justified:
        return Rejected(Reason.VOTE_SOURCE, "the source is not the target's justified block")
    return None
