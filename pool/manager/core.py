"""The one place where a manager's state changes: decide, journal, and only then tell.

Inputs become events, events a new state, and letters to miners leave once the events are synced.
What concerns many miners is done in portions, so that results of others come in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice

from nacl.signing import SigningKey

from node.chain.hashing import blake
from node.clock import Clock
from node.errors import StoreError
from node.store.base import Store
from node.store.writer import Writer
from node.tasks import TaskOwner
from pool.decisions.advance import advance, hand_out
from pool.decisions.members import decide_ban
from pool.decisions.pay import decide_page
from pool.decisions.rounds import blobs_due
from pool.manager.announcer import PAUSE_MS, PORTION, Announcer, Mailbox
from pool.manager.journal import Journal
from pool.manager.letters import EVERYBODY, Letter, Letters
from pool.manager.receipts import MAX_RECEIPTS
from pool.manager.session import Session
from pool.manager.subspaces import Subspaces
from pool.manager.timekeeper import Timekeeper
from pool.proofs.sharelog import MAX_HELD, Held, Terms
from pool.proofs.shelf import PageShelf
from pool.records import events
from pool.records.events import AnyEvent
from pool.records.state import PoolState
from pool.records.transition import apply


class Core:
    """State, journal and connections of a pool.

    `secret` seeds all draws: it follows from the key, so that it is the same after a restart.
    `steady` measures spans of time, whatever the clock is set to.
    `waiting` are miners that may have an audit to be done, or have come or left, and `drawn` is set
    when there are more.
    What goes wrong in the background ends `failure`, first of all the store.
    """

    def __init__(
        self,
        key: SigningKey,
        network_id: bytes,
        store: Store,
        writer: Writer,
        clock: Clock,
        subspaces: Subspaces,
    ) -> None:
        self.secret = blake("ponas/pool/secret", bytes(key))
        self.letters = Letters(key, network_id)
        self.drawn = asyncio.Event()
        self.waiting: dict[bytes, None] = {}
        self.sessions: dict[bytes, Session] = {}
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks = TaskOwner(self._on_failure)
        self._keeper = Timekeeper(clock)
        self.steady = self._keeper.steady
        self.journal = Journal(store, writer, self.steady, self.tasks)
        self.pool: PoolState = self.journal.state
        self.letters.receipts.recall(self.journal.newest(MAX_RECEIPTS), self.pool)
        self._pages = PageShelf(store)
        self._key = bytes(key.verify_key)
        self._clock = clock
        self._subspaces = subspaces
        self._due: dict[bytes, None] = {}
        self._is_handing_out = False
        self._announcer = Announcer(self._mailboxes, self.steady, self.tasks)
        self._is_closed = False
        if self.pool.miners:
            self.happen(events.Restarted(self.now_ms()))

    @property
    def is_closed(self) -> bool:
        """Whether nothing happens any more."""
        return self._is_closed

    def now_ms(self) -> int:
        """The time of the manager's clock; if that was set, the records are told first."""
        now_ms = self._clock.now_ms()
        if (step_ms := self._keeper.step_ms()) and not self._is_closed:
            stepped = events.ClockStepped(now_ms, step_ms)
            self.pool = apply(self.pool, stepped)
            self.journal.record((stepped,))
        return now_ms

    def begin(self, *opening: AnyEvent) -> None:
        """Open a round. A restart begins here: of earlier blobs only what is still due is kept."""
        if self.pool.round is not None and not self.pool.books.page.is_empty:
            self.close_page()
        self.happen(*opening)
        self.journal.snapshot(self.pool, keep=blobs_due(self.pool))

    def happen(self, *happened: AnyEvent, blobs: Mapping[bytes, bytes] | None = None) -> None:
        """Let events happen, with all that follows from them; blobs are kept with them.

        Does nothing once closed.
        """
        if self._is_closed:
            return
        if self.pool.books.page.is_full:
            self.close_page()
        now_ms = self.now_ms()
        self.pool, done, due = advance(self.pool, happened, self._subspaces.draw, now_ms)
        self._record(done, blobs)
        self._due.update(dict.fromkeys(due))
        if self._due and not self._is_handing_out:
            self._is_handing_out = True
            self.tasks.spawn(self._hand_out(), name="hand out work")

    def to_audit(self, miner: bytes) -> None:
        """Have a miner audited, if it has an audit waiting."""
        if miner in self.pool.audits:
            self.waiting[miner] = None
            self.drawn.set()

    def forfeit(self, lost: events.WorkForfeited) -> None:
        """Take a miner's work back, and send it away."""
        self.happen(lost)
        self.ban_if_due(lost.miner)

    def ban_if_due(self, key: bytes) -> None:
        """Send a miner away if its faults have added up."""
        banned = decide_ban(self.pool, key, self.now_ms())
        if banned is None:
            return
        self.happen(banned)
        if (session := self.sessions.get(key)) is not None:
            session.channel.end(f"banned until {banned.until_ms} ms since 1970")

    def close_log(self, terms: Terms, held: tuple[Held, ...]) -> bytes:
        """Close the share log for a commitment; returns the hash of its last page."""
        while len(held) > MAX_HELD:
            self.close_page(held=held[:MAX_HELD])
            held = held[MAX_HELD:]
        return self.close_page(terms, held)

    def close_page(self, terms: Terms | None = None, held: tuple[Held, ...] = ()) -> bytes:
        """Close the open page of the share log; returns its hash."""
        closed, data = decide_page(self.pool, self._key, self.now_ms(), terms, held)
        self.pool = apply(self.pool, closed)
        kept = self._pages.keep(closed.round, closed.page, data)
        self.journal.record((closed,), changes=kept)
        return closed.page

    async def close(self) -> None:
        """Finish the journal; nothing happens any more."""
        self._is_closed = True
        # A store that fails has ended `failure`, or is about to.
        with suppress(StoreError):
            await self.journal.synced()
        await self.tasks.close()

    async def _hand_out(self) -> None:
        while self._due:
            portion = list(islice(self._due, PORTION))
            for key in portion:
                del self._due[key]
            now_ms = self.now_ms()
            self.pool, done = hand_out(self.pool, portion, self._subspaces.draw, now_ms)
            self._record(done)
            if self._due:
                await self.steady.sleep_until(self.steady.now_ms() + PAUSE_MS)
        self._is_handing_out = False

    def _record(
        self, happened: Iterable[AnyEvent], blobs: Mapping[bytes, bytes] | None = None
    ) -> None:
        self._subspaces.see(happened)
        for event in happened:
            if isinstance(event, events.ResultAccepted | events.Joined | events.Left):
                self.to_audit(event.miner)
            # The first who comes and the last who leaves concern everybody who is away.
            if isinstance(event, events.Joined | events.Left) and len(self.sessions) <= 1:
                for miner in self.pool.audits:
                    self.to_audit(miner)
        letters = self.letters.after(happened, self.pool, self.now_ms())
        self.journal.record(happened, partial(self._post, letters) if letters else None, blobs)

    def _post(self, letters: Iterable[Letter]) -> None:
        for key, message in letters:
            if key == EVERYBODY:
                self._announcer.announce(message)
            elif (session := self.sessions.get(key)) is not None:
                if message.HasField("welcome"):
                    session.heartbeat_ms = message.welcome.heartbeat_ms
                session.channel.send(message)

    def _mailboxes(self) -> list[Mailbox]:
        return [session.channel for session in self.sessions.values()]

    def _on_failure(self, _task: str, error: BaseException) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)
