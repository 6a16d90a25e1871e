"""A node's first start: from a final block that its operator trusts, instead of from genesis.

Keys whose bonds have left can sign another history at no cost, and a newcomer can't tell it from
the true one (consensus A5). So it takes one block on its operator's word, a recent one.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import structlog

from node.aside import Aside
from node.chain.branches import Entry
from node.chain.errors import SafetyAlarm
from node.chain.genesis import Network
from node.chain.state import Checkpoint
from node.clock import Clock
from node.consensus.blobs import Fetch
from node.consensus.chain import Chain
from node.consensus.snapshot import SnapshotError, decode_snapshot
from node.net.blobs import NotFound
from node.tasks import TaskOwner

TRUSTED_ERAS = 5
"""Half of the time that a bond on its way back stays slashable: older words are worth nothing."""
MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024
"""Two states of 700,000 accounts each; a larger one is come to through the history."""

_ASK_EVERY_MS = 1_000
# So often in vain, and the history is taken instead: peers keep states for a short time. Then the
# pause doubles with each question, up to about a minute.
_ASKS_FIRST, _DOUBLINGS = 10, 6
# A snapshot that takes so long does not hold up the next one, of so many at a time: each may be
# large.
_HEDGE_S = 10.0
_FETCHED_AT_ONCE = 3

_log = structlog.get_logger("bootstrap")


class Finder(Protocol):
    """Asks peers for snapshots."""

    async def find(self, block_id: bytes) -> Sequence[bytes]:
        """Hashes of the blobs that hold the state after a block by the peers' word, the likeliest
        first."""
        ...

    def disprove(self, blob: bytes, detail: str) -> None:
        """Hear that a blob just found is no such state."""
        ...


class _Snapshot(NamedTuple):
    parent: Entry
    entry: Entry
    data: bytes


def check_trust(
    network: Network, now_round: int, known_round: int, checkpoint: Checkpoint | None
) -> str:
    """Why a node with final blocks up to a round can't tell the true chain, or nothing."""
    eras = TRUSTED_ERAS * network.parameters.era_rounds
    if checkpoint is not None and max(checkpoint.round, known_round) < now_round - eras:
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
    """Takes a chain to a checkpoint, or finds that the chain has another block there.

    `on_start` hears when blocks are to be asked for: from the checkpoint on, or, after some vain
    attempts, the whole history.
    """

    def __init__(
        self,
        chain: Chain,
        checkpoint: Checkpoint,
        finder: Finder,
        fetch: Fetch,
        clock: Clock,
        aside: Aside,
        on_start: Callable[[], None],
    ) -> None:
        self._chain = chain
        self._checkpoint = checkpoint
        self._finder = finder
        self._fetch = fetch
        self._clock = clock
        self._aside = aside
        self._on_start = on_start
        self._asks = 0
        # Blobs that hold no such state; a peer that names one again is not believed again.
        self._false: set[bytes] = set()

    @property
    def looks_for_state(self) -> bool:
        """Whether the history has to wait for the state of the checkpoint."""
        return self._asks < _ASKS_FIRST and self._is_new()

    @property
    def why_silent(self) -> str:
        """Why nothing may be signed; empty if nothing forbids it.

        A chain that has not come to the checkpoint may be one of keys whose bonds have left; and
        who is alone with it would be its only attester after three eras.
        """
        if self._chain.tree.final.round >= self._checkpoint.round:
            return ""
        return "its chain has not come to its checkpoint yet"

    async def run(self) -> None:
        """Ask peers until the chain is at the checkpoint or beyond.

        Raises SafetyAlarm: the chain that was final here has another block there.
        """
        next_ms = self._clock.now_ms()
        while self._chain.tree.final.round < self._checkpoint.round:
            # Where votes can't tell, as between the sides of a split, the operator's word does.
            if self._checkpoint.id in self._chain.tree:
                await self._chain.trust(self._checkpoint)
                break
            # A node that knows something final of late syncs to the checkpoint, and does not jump.
            if self._is_new() and self._clock.now_ms() >= next_ms:
                if await self._begin():
                    self._on_start()
                    return
                self._asks += 1
                if self._asks == _ASKS_FIRST:
                    self._on_start()
                next_ms = self._clock.now_ms() + _pause_ms(self._asks)
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
        """Begin at the checkpoint, if a peer has its state; whether that was done."""
        found = await self._finder.find(self._checkpoint.id)
        snapshot = await self._first_true([blob for blob in found if blob not in self._false])
        # Meanwhile a peer may have brought the chain itself.
        if snapshot is None or not self._is_new():
            return False
        await self._chain.begin_at(*snapshot)
        _log.info("began_at", round=self._checkpoint.round, block=self._checkpoint.id)
        return True

    async def _first_true(self, blobs: Sequence[bytes]) -> _Snapshot | None:
        """The first of these that holds the state, tried in turn but not for long alone."""
        left, running, tries = list(blobs), list[asyncio.Task[_Snapshot | None]](), TaskOwner()
        try:
            while left or running:
                if left and len(running) < _FETCHED_AT_ONCE:
                    running.append(tries.spawn(self._try(left.pop(0)), name="fetch a state"))
                ended, _ = await asyncio.wait(
                    running, timeout=_HEDGE_S, return_when=asyncio.FIRST_COMPLETED
                )
                # In the order in which they were started, so that a simulation repeats.
                for attempt in [each for each in running if each in ended]:
                    running.remove(attempt)
                    if (snapshot := attempt.result()) is not None:
                        return snapshot
            return None
        finally:
            await tries.close()

    async def _try(self, blob: bytes) -> _Snapshot | None:
        """A state by the hash of its bytes, or None if nobody has it or it is another."""
        try:
            data = await self._fetch(blob, MAX_SNAPSHOT_BYTES)
            # A large state takes seconds.
            parent, entry = await self._aside(
                decode_snapshot, data, self._checkpoint, self._chain.network
            )
        except NotFound as error:
            _log.info("snapshot_not_here", blob=blob, reason=str(error))
        except SnapshotError as error:
            _log.warning("snapshot_refused", blob=blob, reason=str(error))
            self._false.add(blob)
            self._finder.disprove(blob, str(error))
        else:
            return _Snapshot(parent, entry, data)
        return None


def _pause_ms(asks: int) -> int:
    """How long to wait after so many vain questions."""
    return _ASK_EVERY_MS << min(max(0, asks - _ASKS_FIRST), _DOUBLINGS)
