"""Transfers that wait for a block."""

from node.chain.envelope import Signed
from node.chain.messages import Transfer
from node.chain.state import Account, State

MAX_TRANSFERS = 4_096
MAX_PER_SENDER = 64


class Mempool:
    """Bounded; one transfer per sender and nonce, the first that came."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[bytes, int], Signed[Transfer]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, transfer: Signed[Transfer], state: State) -> bool:
        """Keep a transfer that could still be applied after `state`; False if it is not kept."""
        message, account = transfer.message, _account(state, transfer.signer)
        if not account.nonce <= message.nonce < account.nonce + MAX_PER_SENDER:
            return False
        if not 0 < message.amount <= account.balance or len(self._waiting) >= MAX_TRANSFERS:
            return False
        return self._waiting.setdefault((transfer.signer, message.nonce), transfer) is transfer

    def transfers(self) -> tuple[Signed[Transfer], ...]:
        """All that wait; `node.chain.proposal` chooses what fits."""
        return tuple(self._waiting.values())

    def drop_applied(self, state: State) -> None:
        """Forget what `state` has behind it."""
        self._waiting = {
            (sender, nonce): transfer
            for (sender, nonce), transfer in self._waiting.items()
            if nonce >= _account(state, sender).nonce
        }


def _account(state: State, address: bytes) -> Account:
    return state.accounts.get(address, Account())
