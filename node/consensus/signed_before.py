"""What this node's key has signed, so that it never signs what contradicts it."""

from node.chain.finality import Watermark, advance, is_safe_to_sign, link_of
from node.chain.hashing import u64
from node.chain.messages import Vote
from node.store.base import Change, Put, Store, Table
from node.store.writer import Writer

_LAST_LIST = b"list"
_LAST_VOTE = b"vote"
_LAST_CLAIM = b"claim"


class SignedBefore:
    """The last list and claim, and the highest vote, synced before they are sent."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._writer = writer
        self._list_round = int.from_bytes(store.get(Table.SIGNED, _LAST_LIST) or b"", "big")
        self._claim_round = int.from_bytes(store.get(Table.SIGNED, _LAST_CLAIM) or b"", "big")
        vote = store.get(Table.SIGNED, _LAST_VOTE) or bytes(16)
        self._votes = Watermark(int.from_bytes(vote[:8], "big"), int.from_bytes(vote[8:], "big"))

    async def allows_list(self, round_number: int) -> bool:
        """Whether a list of the round may be signed; once it may, it never may again."""
        if round_number <= self._list_round:
            return False
        self._list_round = round_number
        await self._writer.write([Put(Table.SIGNED, _LAST_LIST, u64(round_number))])
        return True

    async def allows_claim(self, round_number: int) -> bool:
        """Whether a claim of the round may be signed; once it may, it never may again."""
        if round_number <= self._claim_round:
            return False
        self._claim_round = round_number
        await self._writer.write([Put(Table.SIGNED, _LAST_CLAIM, u64(round_number))])
        return True

    async def allows_vote(self, vote: Vote) -> bool:
        """Whether a vote contradicts none before; from then on it counts as signed."""
        if not is_safe_to_sign(self._votes, link_of(vote)):
            return False
        self._votes = advance(self._votes, link_of(vote))
        mark = u64(self._votes.source_round) + u64(self._votes.target_round)
        await self._writer.write([Put(Table.SIGNED, _LAST_VOTE, mark)])
        return True


def silence_through(round_number: int) -> list[Change]:
    """What a store takes so that nothing up to a round is signed: for who may have forgotten.

    A vote needs a source of at least that round too, since any later one might surround a vote
    that was forgotten.
    """
    mark = u64(round_number)
    marks = {_LAST_LIST: mark, _LAST_CLAIM: mark, _LAST_VOTE: mark + mark}
    return [Put(Table.SIGNED, key, value) for key, value in marks.items()]
