"""Transactions that wait for a block: who may wait, and who goes when there is no room."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import Reason, Rejected
from node.chain.messages import Transaction
from node.chain.state import State
from node.chain.transactions import apply_transaction, compute_fee_rate

MAX_HELD = 4_096
MAX_PER_SENDER = 64
MAX_WASTED = 16
"""Refused or replaced transactions of a sender with others that wait, and tasks of anybody that
can't be searched, until the next round: they cost an application of all before them, or more, and
nobody pays for that."""
RAISE_PERCENT = 10
"""How much more than the one it replaces a transaction of the same nonce has to offer."""

Waiting = Signed[Transaction]


class Mempool:
    """Each sender's transactions in a row of nonces, from the final state's on.

    What the followed chain has already stays until it is final, for another fork may win; what
    that chain can't apply is not kept.
    """

    def __init__(self) -> None:
        # By sender, ascending by nonce, and the least that one of them offers for its bytes.
        self._queues: dict[bytes, Sequence[Waiting]] = {}
        self._rates: dict[bytes, int] = {}
        self._wasted = Counter[bytes]()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, signed: Waiting, context: RoundContext, head: State) -> None:
        """Keep a transaction that `check` lets pass. Raises Rejected as it does."""
        nonce, queue = signed.message.nonce, self._queues.get(signed.signer, [])
        yields = self.check(signed, context, head)
        if yields is not None:
            self._put(yields, self._queues[yields][:-1])
        before = [held for held in queue if held.message.nonce < nonce]
        after = [held for held in queue if held.message.nonce > nonce]
        self._put(signed.signer, [*before, signed, *after])

    def check(self, signed: Waiting, context: RoundContext, head: State) -> bytes | None:
        """Whether `head` can apply a transaction after those of the same sender that wait.

        Returns the sender that loses a place to it, if one has to. Raises Rejected: KNOWN,
        UNDERPRICED, ORPHAN_NONCE, SENDER_FULL, MEMPOOL_FULL, or the rule of the chain that it
        breaks.
        """
        nonce, queue = signed.message.nonce, self._queues.get(signed.signer, [])
        rival = next((held for held in queue if held.message.nonce == nonce), None)
        _check_replaces(signed, rival)
        # 1. Nothing of the sender is missing before it.
        first = head.account(signed.signer).nonce
        if nonce > first and not any(held.message.nonce == nonce - 1 for held in queue):
            raise Rejected(Reason.ORPHAN_NONCE, f"nonce {nonce}, but {nonce - 1} is not here")
        # 2. There is room, or another makes it.
        if self._wasted[signed.signer] >= MAX_WASTED:
            raise Rejected(Reason.SENDER_FULL, f"{MAX_WASTED} of this sender were for nothing")
        if rival is None and len(queue) >= MAX_PER_SENDER:
            raise Rejected(Reason.SENDER_FULL, f"{len(queue)} of this sender wait")
        yields = None if rival else self._who_yields(signed)
        # 3. The chain can apply it.
        before = [held for held in queue if held.message.nonce < nonce]
        standing, refusal = _apply_row(context, head, [*before, signed])
        if queue and (rival is not None or signed not in standing):
            self._wasted[signed.signer] += 1
        if signed not in standing:
            raise refusal or Rejected(Reason.NONCE, f"nonce {nonce}, the account is at {first}")
        return yields

    def note_wasted(self, sender: bytes) -> None:
        """Count a transaction that was good for nothing by what the mempool does not judge."""
        self._wasted[sender] += 1

    def next_nonce(self, sender: bytes, head: State) -> int:
        """The nonce of a sender's next transaction, behind all of its that wait."""
        queue = self._queues.get(sender, ())
        first = head.account(sender).nonce
        return max(first, queue[-1].message.nonce + 1) if queue else first

    def transactions(self) -> tuple[Waiting, ...]:
        """All that wait; `node.chain.proposal` chooses what fits."""
        return tuple(signed for queue in self._queues.values() for signed in queue)

    async def follow(self, context: RoundContext, head: State, final: State) -> None:
        """Forget what `final` has behind it, and what `head` no longer allows.

        Sender by sender, so that all else goes on: all that may wait takes half a second.
        """
        self._wasted.clear()
        for sender in list(self._queues):
            await asyncio.sleep(0)
            # What was taken in meanwhile may have cost a sender its place.
            queue = self._queues.get(sender, ())
            settled = final.account(sender).nonce
            kept = [held for held in queue if held.message.nonce >= settled]
            behind = [held for held in kept if held.message.nonce < head.account(sender).nonce]
            standing, _ = _apply_row(context, head, kept)
            self._put(sender, [*behind, *standing])

    def _who_yields(self, newcomer: Waiting) -> bytes | None:
        """If all places are taken, the sender whose cheapest offers least: it loses its last."""
        if len(self) < MAX_HELD:
            return None
        poorest = min(self._rates, key=lambda sender: (self._rates[sender], sender))
        if poorest == newcomer.signer or compute_fee_rate(newcomer) <= self._rates[poorest]:
            raise Rejected(Reason.MEMPOOL_FULL, "others offer more for their bytes")
        return poorest

    def _put(self, sender: bytes, queue: Sequence[Waiting]) -> None:
        if queue:
            self._queues[sender], self._rates[sender] = queue, min(map(compute_fee_rate, queue))
        else:
            self._queues.pop(sender, None)
            self._rates.pop(sender, None)


def _check_replaces(signed: Waiting, rival: Waiting | None) -> None:
    if rival is None:
        return
    if rival.id == signed.id:
        raise Rejected(Reason.KNOWN, "it waits already")
    if 100 * signed.message.fee < (100 + RAISE_PERCENT) * rival.message.fee:
        raise Rejected(
            Reason.UNDERPRICED,
            f"replacing a fee of {rival.message.fee} takes {RAISE_PERCENT} percent more",
        )


def _apply_row(
    context: RoundContext, head: State, row: Iterable[Waiting]
) -> tuple[Sequence[Waiting], Rejected | None]:
    """Those of one sender's row that `head` does not have yet and can apply, up to the first that
    it can't, and what speaks against that one."""
    draft, standing = Draft(head, context.round), list[Waiting]()
    for signed in row:
        if signed.message.nonce < head.account(signed.signer).nonce:
            continue
        try:
            apply_transaction(draft, context, signed)
        except Rejected as refusal:
            return standing, refusal
        standing.append(signed)
    return standing, None
