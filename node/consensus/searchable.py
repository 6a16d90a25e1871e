"""Whether the engine can serve a task that somebody publishes, found out beside the event loop."""

from node.aside import Aside
from node.chain.envelope import Signed
from node.chain.errors import Reason, Rejected
from node.chain.messages import Transaction
from node.consensus.chain import Chain
from node.consensus.mempool import Mempool

MAX_WAITING = 4
"""Tasks that are looked at or wait for it: each may take a hundredth of a second of the thread that
blocks need too."""


class SearchableCheck:
    """Asks the one rule of a transaction that is dear: the engine places a task's witness on the
    FPGA. So it is the last one that is asked, once all others hold."""

    def __init__(self, chain: Chain, mempool: Mempool, aside: Aside) -> None:
        self._chain = chain
        self._mempool = mempool
        self._aside = aside
        self._num_waiting = 0

    @property
    def has_room(self) -> bool:
        """Whether another task may wait."""
        return self._num_waiting < MAX_WAITING

    async def check(self, signed: Signed[Transaction]) -> None:
        """Refuse what no state can make valid.

        Raises Rejected: MEMPOOL_FULL if too many wait, or why the task can't be searched.
        """
        if not self.has_room:
            raise Rejected(Reason.MEMPOOL_FULL, f"{MAX_WAITING} tasks are looked at already")
        self._num_waiting += 1
        try:
            await self._aside(self._chain.check_transaction, signed)
        except Rejected:
            self._mempool.note_wasted(signed.signer)
            raise
        finally:
            self._num_waiting -= 1
