"""A node's first start: from a final block that its operator trusts, instead of from genesis.

Keys whose bonds have left can sign another history at no cost, and a newcomer can't tell it from
the true one (consensus A5). So it takes one block on its operator's word, a recent one.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from node.chain.errors import SafetyAlarm
from node.chain.genesis import Network
from node.chain.state import Checkpoint
from node.clock import Clock
from node.consensus.chain import Chain
from node.consensus.importer import Fetch
from node.consensus.snapshot import SnapshotError, decode_snapshot
from node.net.blobs import NotFound

TRUSTED_ERAS = 5
"""Half of the time that a bond on its way back stays slashable: older words are worth nothing."""
MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024

_ASK_EVERY_MS = 1_000

_log = structlog.get_logger("bootstrap")


class SnapshotPeers(Protocol):
    """What is asked of the peers."""

    async def find_snapshots(self, block_id: bytes) -> Sequence[bytes]:
        """Hashes of the blobs that hold the state after a block, by the word of the peers."""
        ...


def check_trust(
    network: Network, now_round: int, known_round: int, checkpoint: Checkpoint | None
) -> str:
    """Why a node with final blocks up to a round can't tell the true chain, or nothing."""
    eras = TRUSTED_ERAS * network.parameters.era_rounds
    if checkpoint is not None and checkpoint.round < now_round - eras:
        return (
            f"--checkpoint is of round {checkpoint.round}, more than {TRUSTED_ERAS} eras before "
            f"round {now_round} of now; ask for a newer one"
        )
    if checkpoint is None and network.parameters.public and known_round < now_round - eras:
        return (
            f"this node knows nothing that is final of the last {TRUSTED_ERAS} eras, so it can't "
            "tell the chain from a forged one; add --checkpoint ROUND:ID from somebody you trust "
            "(`ponas status` of an up-to-date node shows it)"
        )
    return ""


class Bootstrap:
    """Takes a chain to a checkpoint, or finds that the chain has another block there."""

    def __init__(
        self,
        chain: Chain,
        checkpoint: Checkpoint,
        peers: SnapshotPeers,
        fetch: Fetch,
        clock: Clock,
        on_start: Callable[[], None],
    ) -> None:
        self._chain = chain
        self._checkpoint = checkpoint
        self._peers = peers
        self._fetch = fetch
        self._clock = clock
        self._on_start = on_start

    async def run(self) -> None:
        """Ask peers until the chain is at the checkpoint or beyond.

        Raises SafetyAlarm: the chain that was final here has another block there.
        """
        while self._chain.tree.final.round < self._checkpoint.round:
            # A node that knows something final of late syncs to the checkpoint, and does not jump.
            if self._is_new() and await self._begin():
                self._on_start()
                return
            await self._clock.sleep_until(self._clock.now_ms() + _ASK_EVERY_MS)
        if self._chain.denies(self._checkpoint):
            raise SafetyAlarm(
                f"the final block of round {self._checkpoint.round} is not the one of --checkpoint"
            )

    def _is_new(self) -> bool:
        final_round = self._chain.tree.final.round
        eras = TRUSTED_ERAS * self._chain.network.parameters.era_rounds
        return final_round == 0 or final_round < self._checkpoint.round - eras

    async def _begin(self) -> bool:
        for blob in await self._peers.find_snapshots(self._checkpoint.id):
            try:
                data = await self._fetch(blob, MAX_SNAPSHOT_BYTES)
                parent, entry = decode_snapshot(data, self._checkpoint, self._chain.network)
            except (NotFound, SnapshotError) as error:
                _log.warning("snapshot_refused", blob=blob, reason=str(error))
                continue
            # Meanwhile a peer may have brought the chain itself.
            if not self._is_new():
                return False
            await self._chain.begin_at(parent, entry)
            _log.info("began_at", round=self._checkpoint.round, block=self._checkpoint.id)
            return True
        return False
