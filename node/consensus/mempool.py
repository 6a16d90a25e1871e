"""Transfers that wait for a block."""

from node.chain.envelope import Signed
from node.chain.messages import Transfer
from node.chain.state import Account, State

MAX_TRANSFERS = 4_096
MAX_PER_SENDER = 64


class Mempool:
    """Transfers that the next block could apply: each sender's in a row, within its balance.

    What could not be applied yet is not kept, so that nothing waits for ever.
    """

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[Signed[Transfer]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, transfer: Signed[Transfer], state: State) -> bool:
        """Keep a transfer that is its sender's next after `state`; False if it is not kept."""
        queue = self._waiting.get(transfer.signer, [])
        is_full = len(queue) >= MAX_PER_SENDER or len(self) >= MAX_TRANSFERS
        if is_full or not _is_next(transfer.message, queue, state.account(transfer.signer)):
            return False
        self._waiting.setdefault(transfer.signer, queue).append(transfer)
        return True

    def transfers(self) -> tuple[Signed[Transfer], ...]:
        """All that wait; `node.chain.proposal` chooses what fits."""
        return tuple(transfer for queue in self._waiting.values() for transfer in queue)

    def follow(self, state: State) -> None:
        """Forget what `state` has behind it, and what it no longer allows."""
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for transfer in queue:
                self.add(transfer, state)


def _is_next(transfer: Transfer, queue: list[Signed[Transfer]], account: Account) -> bool:
    promised = sum(earlier.message.amount + earlier.message.fee for earlier in queue)
    is_in_row = transfer.nonce == account.nonce + len(queue)
    return is_in_row and 0 < transfer.amount <= account.balance - promised - transfer.fee
