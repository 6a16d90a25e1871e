"""Blocks taken in on a quorum's word whose signatures, lists and designs are still to be checked.

Whoever votes for a block has checked it and all below, so a node that catches up first follows the
states up to what a quorum votes for, and checks the rest behind (consensus A6). Until that is done
it signs nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from node.aside import Aside
from node.chain.block import Block
from node.chain.context import RoundContext
from node.chain.errors import InvalidBlock, SafetyAlarm

MAX_BYTES = 64 * 1024 * 1024
"""Blocks that may wait, by the bytes of their bodies and OVERHEAD_BYTES each."""
OVERHEAD_BYTES = 8 * 1024
"""What a block takes in memory beside its body, about."""
QUIET_S = 0.05
"""Checks begin once no block was followed for so long, or there is no room for more."""

_log = structlog.get_logger("chain")


class Backlog:
    """A queue of blocks to check, in the order in which they were followed.

    `check` raises InvalidBlock; `on_false` hears of the alarm that this is: more than two thirds of
    the weight have voted for what breaks a rule. `on_done` hears whenever all is checked.
    """

    def __init__(
        self,
        check: Callable[[RoundContext, Block], None],
        on_false: Callable[[SafetyAlarm], None],
        on_done: Callable[[], None],
    ) -> None:
        self._check = check
        self._on_false = on_false
        self._on_done = on_done
        self._waiting: deque[tuple[RoundContext, Block]] = deque()
        self._bytes = 0
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._has_grown = False
        self._is_false = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def reason(self) -> str:
        """Why nothing may be signed now; empty when all is checked."""
        if self._is_false:
            return "the chain breaks a rule"
        return f"{len(self)} blocks are still to be checked" if self._waiting else ""

    def add(self, context: RoundContext, block: Block) -> None:
        """Have a followed block checked; ask for `room` first."""
        self._waiting.append((context, block))
        self._bytes += _size_of(block)
        self._has_grown = True
        self._has_work.set()
        if self._bytes >= MAX_BYTES:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until more blocks may be added."""
        await self._has_room.wait()

    async def run(self, aside: Aside) -> None:
        """Check what comes, a block at a time, so that all else goes on. Ends with a false one."""
        while not self._is_false:
            await self._has_work.wait()
            if self._has_grown and self._has_room.is_set():
                self._has_grown = False
                await asyncio.sleep(QUIET_S)
            else:
                await self._check_next(aside)
                await asyncio.sleep(0)

    async def _check_next(self, aside: Aside) -> None:
        context, block = self._waiting[0]
        try:
            await aside(self._check, context, block)
        except InvalidBlock as error:
            self._is_false = True
            self._on_false(
                SafetyAlarm(
                    f"a quorum votes for block {block.id.hex()}, which is not valid: {error}"
                )
            )
            return
        self._waiting.popleft()
        self._bytes -= _size_of(block)
        if self._bytes < MAX_BYTES:
            self._has_room.set()
        if not self._waiting:
            self._has_work.clear()
            self._on_done()
            _log.debug("history_checked", block=block.id)


def _size_of(block: Block) -> int:
    return OVERHEAD_BYTES + len(block.body_bytes)
