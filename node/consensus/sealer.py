"""A sealer's duty in a round: to reveal its seal once no commitment can be made any more."""

from collections.abc import Callable

import structlog
from nacl.signing import SigningKey

from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.messages import Seal
from node.chain.seals import make_seal
from node.chain.timing import Phase, deadline
from node.clock import Clock
from node.consensus.attester import Send
from node.consensus.book import Rounds
from node.consensus.waiting import comes

_log = structlog.get_logger("sealer")


async def lists_come(context: RoundContext, rounds: Rounds, clock: Clock) -> bool:
    """Wait until lists of a quorum are here; False if they are not when secrets are due."""
    book, due_ms = rounds.book(context.round), secrets_due_ms(context)
    return await comes(lambda: context.is_quorum(book.lists), due_ms, clock)


def secrets_due_ms(context: RoundContext) -> int:
    """When seals and keys have to be sent."""
    return deadline(context.network, context.round, Phase.LIST)


class Sealer:
    """Reveals the seals of one key. All of them follow from the key, so there is nothing to keep.

    `why_silent` is asked before a seal is signed: a reason not to, or nothing. A block that is
    still being checked is one too, so that a reason is given time to go.
    """

    def __init__(
        self,
        key: SigningKey,
        rounds: Rounds,
        clock: Clock,
        send: Send,
        why_silent: Callable[[], str],
    ) -> None:
        self._key = key
        self._public_key = bytes(key.verify_key)
        self._rounds = rounds
        self._clock = clock
        self._send = send
        self._why_silent = why_silent

    async def reveal(self, context: RoundContext) -> None:
        """Send the round's seal as soon as lists of a quorum are here, and only then.

        Whoever is certified has a quorum of lists as well, so that an honest attester listed the
        commitment before this node revealed anything (consensus B1).
        """
        if self._public_key not in context.sealers:
            return
        if not await lists_come(context, self._rounds, self._clock):
            _log.warning("not_sealed", round=context.round, reason="no lists of a quorum")
            return
        if not await comes(lambda: not self._why_silent(), secrets_due_ms(context), self._clock):
            _log.warning("not_sealed", round=context.round, reason=self._why_silent())
            return
        chain = context.state.seals.get(self._public_key)
        if chain is None:
            return
        preimage = make_seal(self._key, context.network.id, chain.start_round, context.round)
        self._send(sign(Seal(context.round, preimage), self._key, context.network.id).envelope)
