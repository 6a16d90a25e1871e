"""Notices what nobody may sign, and has it punished if this node's key can pay for it."""

from collections.abc import Callable, Iterator, Sequence

import structlog
from nacl.signing import SigningKey

from node.chain.bonds import BondKey, BondKind
from node.chain.envelope import Signed, open_envelope, sign
from node.chain.errors import Rejected
from node.chain.evidence import prove
from node.chain.finality import link_of, slashable
from node.chain.messages import MAX_PAYLOAD_BYTES, Claim, Envelope, Evidence, List, Payload, Vote
from node.chain.offence import Proven
from node.chain.state import State
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.false_claims import is_refuted
from node.consensus.mempool import Mempool

REMEMBERED_ROUNDS = 64
"""Rounds back for which a vote is compared with what its signer signs later."""
OPEN_ROUNDS = 2
"""Rounds from the clock's, back and ahead, of which messages are remembered."""
TRIED_ROUNDS = 8
"""Rounds for which evidence is sent anew while no block takes it."""

_log = structlog.get_logger("informer")

Send = Callable[[Envelope], None]
Shown = tuple[Signed[Payload], ...]


class Informer:
    """Compares what attesters and producers sign with their first object of its kind and round.

    What it finds it signs as evidence from its own account, and hands it to `send`.
    """

    def __init__(
        self, key: SigningKey, chain: Chain, rounds: Rounds, mempool: Mempool, send: Send
    ) -> None:
        self._key = key
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._send = send
        self._round = 0
        self._votes: dict[bytes, dict[int, Signed[Vote]]] = {}
        self._others: dict[tuple[type[Payload], bytes, int], Signed[Payload]] = {}
        self._shown: dict[Proven, tuple[int, Shown]] = {}

    def hear(self, signed: Signed[Payload]) -> None:
        """Take note of a signed object, whether it is new or refused."""
        match signed.message:
            case Vote() as vote if self._attests(signed.signer, vote.round):
                self._hear_vote(Signed(signed.envelope, vote, signed.id))
            case List() as message if self._attests(signed.signer, message.round):
                self._hear_other(signed, message.round)
            case Claim() as message if self._produces(signed.signer, message.round):
                self._hear_other(signed, message.round)

    def accuse(self, round_number: int, shown: Sequence[Envelope]) -> None:
        """Take note in a round of what the pool of this node has proof of: a broken lease.

        A pool's leases may last for longer than the chain punishes.
        """
        try:
            proof = tuple(open_envelope(each, self._chain.network.id) for each in shown)
            self._show(round_number, proof)
        except Rejected as refusal:
            _log.info("no_offence", reason=str(refusal))

    def report(self, round_number: int) -> None:
        """At the start of a round: send evidence that the chain has not taken yet."""
        self._round = round_number
        self._forget()
        for claim in self._refuted(round_number - 1):
            self._show(round_number, (claim,))
        state = self._chain.tree.head().state
        for proven, (since, shown) in list(self._shown.items()):
            is_open = proven.key not in state.punished and state.bond(proven.bond) is not None
            if is_open and round_number < since + TRIED_ROUNDS:
                self._submit(state, tuple(signed.envelope for signed in shown))
            else:
                del self._shown[proven]

    # Only keys that cost something, and only rounds near the clock's, so that memory is bounded.

    def _attests(self, key: bytes, round_number: int) -> bool:
        seats = self._chain.tree.followed.state.eras.seats_at(round_number)
        return self._is_open(round_number) and key in seats.weights

    def _produces(self, key: bytes, round_number: int) -> bool:
        bond = self._chain.tree.followed.state.bond(BondKey(BondKind.PRODUCE, key))
        return self._is_open(round_number) and bond is not None

    def _is_open(self, round_number: int) -> bool:
        return abs(round_number - self._round) <= OPEN_ROUNDS

    def _hear_vote(self, vote: Signed[Vote]) -> None:
        heard, number = self._votes.setdefault(vote.signer, {}), vote.message.round
        if heard.setdefault(number, vote).id == vote.id:
            rivals = [other for round_number, other in heard.items() if round_number != number]
        else:
            rivals = list(heard.values())
        for other in rivals:
            if slashable(link_of(other.message), link_of(vote.message)):
                self._show(number, _pair(other, vote))

    def _hear_other(self, signed: Signed[Payload], round_number: int) -> None:
        first = self._others.setdefault((type(signed.message), signed.signer, round_number), signed)
        if first.id != signed.id:
            self._show(round_number, _pair(first, signed))

    def _show(self, round_number: int, shown: Shown) -> None:
        proven = prove(shown)
        if proven not in self._shown:
            _log.warning("offence", offence=proven.offence, by=proven.offender, round=proven.round)
            self._shown[proven] = (round_number, shown)

    def _refuted(self, round_number: int) -> Iterator[Signed[Payload]]:
        """Claims of a round whose models this node has counted otherwise."""
        if book := self._rounds.known(round_number):
            yield from (c for c in book.claims.values() if is_refuted(c, self._rounds))

    def _submit(self, state: State, shown: tuple[Envelope, ...]) -> None:
        """Send evidence for a fee that any size of it takes, unless somebody's waits already."""
        waiting = [signed.message for signed in self._mempool.transactions()]
        if any(isinstance(other, Evidence) and other.shown == shown for other in waiting):
            return
        own = bytes(self._key.verify_key)
        nonce = self._mempool.next_nonce(own, state)
        network = self._chain.network
        fee = network.parameters.fee_per_byte * MAX_PAYLOAD_BYTES
        evidence = sign(Evidence(shown, nonce, fee), self._key, network.id)
        if state.account(own).balance < fee:
            _log.info("evidence_not_sent", reason="this node's account can't pay the fee")
            return
        self._send(evidence.envelope)

    def _forget(self) -> None:
        first = self._round - REMEMBERED_ROUNDS
        self._votes = {
            key: kept
            for key, votes in self._votes.items()
            if (kept := {number: vote for number, vote in votes.items() if number >= first})
        }
        self._others = {key: each for key, each in self._others.items() if self._is_open(key[2])}


def _pair(one: Signed[Payload], other: Signed[Payload]) -> Shown:
    """Two objects in the order in which evidence shows them."""
    return (one, other) if one.id < other.id else (other, one)
