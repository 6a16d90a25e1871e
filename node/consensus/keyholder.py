"""A key holder's duty in a paid round: to open the shard once all commitments are made."""

from collections.abc import Callable

import structlog
from nacl.signing import SigningKey

from node.chain.context import RoundContext
from node.chain.envelope import sign
from node.chain.published.terms import Key
from node.clock import Clock
from node.consensus.attester import Send
from node.consensus.book import Rounds
from node.consensus.sealer import lists_come, secrets_due_ms
from node.consensus.waiting import comes
from node.publishing.library import TaskLibrary

_log = structlog.get_logger("keyholder")


class KeyHolder:
    """Reveals the keys that this node can make, for tasks that name it as a holder.

    `why_lost` is asked before a key leaves: why this node's chain may not be the network's, or
    nothing. A block that is still being checked is a reason, so that it is given time to go. A
    clock that is off is none: the lists of a quorum say that it is time, and to withhold the key
    costs its publisher half of the reward.
    """

    def __init__(
        self,
        key: SigningKey,
        rounds: Rounds,
        library: TaskLibrary,
        clock: Clock,
        send: Send,
        why_lost: Callable[[], str],
    ) -> None:
        self._key = key
        self._public_key = bytes(key.verify_key)
        self._rounds = rounds
        self._library = library
        self._clock = clock
        self._send = send
        self._why_lost = why_lost

    async def reveal(self, context: RoundContext) -> None:
        """Send the key of the round's shard as soon as lists of a quorum are here, and only then:
        in a part of the network without a quorum the shard stays sealed (consensus B1, G5)."""
        paid = context.paid
        if paid is None or self._public_key not in paid.terms.key_holders:
            return
        key = self._library.key(paid.sealed.key)
        if key is None:
            _log.error("not_opened", round=context.round, reason="the secret is not here")
        elif not await lists_come(context, self._rounds, self._clock):
            _log.warning("not_opened", round=context.round, reason="no lists of a quorum")
        elif not await comes(lambda: not self._why_lost(), secrets_due_ms(context), self._clock):
            _log.warning("not_opened", round=context.round, reason=self._why_lost())
        else:
            message = Key(context.round, paid.task_id, paid.shard, key)
            self._send(sign(message, self._key, context.network.id).envelope)
