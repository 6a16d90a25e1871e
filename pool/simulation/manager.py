"""The manager of a simulated pool: the real one's decisions and state, without its shell.

Left out are only the rules on a result's bytes (genotype, seed, sizes), which simulated miners
keep, and the models themselves: a claim says what counting or repeating it would find.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from node.chain.hashing import blake, u64
from pool.decisions.advance import advance, hand_out
from pool.decisions.members import decide_join, decide_leave
from pool.decisions.pay import LEASE_BROKEN
from pool.decisions.results import best_of, decide_acceptance, decide_refusal, decide_stale
from pool.decisions.rounds import decide_open
from pool.decisions.work import backup_activated
from pool.manager.letters import heartbeat_ms
from pool.partition.base import Subspace
from pool.records import events
from pool.records.books import Books
from pool.records.events import AnyEvent
from pool.records.seen import Seen
from pool.records.state import Audit, Best, KeptLease, PoolState, RoundState, RoundTask, Search
from pool.records.strengths import Strength
from pool.records.tables import Owned
from pool.records.transition import apply
from pool.rules.delivery import MAX_BUDGET
from pool.rules.reliability import assess, choose_backups
from pool.rules.reports import Checked, Refused, Stale, claims_best, find_assignment
from pool.simulation.accounts import Book, settle, weights_of
from pool.simulation.miners import SPACE, TASK, Claim, Miner

_WHOLE = Subspace(SPACE)
_KEPT = KeptLease(0, b"lease", b"accepted")


def empty_pool() -> PoolState:
    """A pool whose tables change in place: a simulation needs no earlier state."""
    seen = Seen(Owned(), Owned())
    books = Books(standings=Owned(), seen=seen, earned=Owned())
    return PoolState(miners=Owned(), books=books, audits=Owned())


class SimulatedManager:
    """Holds the pool's state. Each method returns what happened, in order.

    `due` are the miners whose next step may have changed, to be told by `hand_out` soon.
    """

    def __init__(self, seed: int, has_backups: bool) -> None:
        self.pool = empty_pool()
        self.due: dict[bytes, None] = {}
        self.designated = 0
        self._has_backups = has_backups
        # By the key of the miner that each stands by for.
        self._backups: dict[bytes, bytes] = {}
        # Audits and forfeits by miner.
        self.books: defaultdict[bytes, Book] = defaultdict(Book)
        self._secret = blake("ponas/pool/simulation", u64(seed))

    @property
    def heartbeat_ms(self) -> int:
        """Between two signs of life; a miner that was silent for two of them is taken for lost."""
        return heartbeat_ms(None if self.pool.round is None else self.pool.round.task)

    @property
    def best(self) -> Best | None:
        """The confirmed best of the round."""
        return None if self.pool.round is None else self.pool.round.best

    def open_round(self, number: int, train_end_ms: int, now_ms: int) -> Sequence[AnyEvent]:
        """Begin a round and hand out its work."""
        self._backups = {}
        task = RoundTask(number, TASK, SPACE, train_end_ms, now_ms)
        return self._let(decide_open(self.pool, task, self._secret, now_ms), now_ms)

    def close_round(self, now_ms: int) -> Sequence[AnyEvent]:
        """End the train phase."""
        return self._let((events.RoundClosed(now_ms),), now_ms)

    def pay_round(self, now_ms: int) -> Mapping[bytes, int]:
        """What the round's block pays by address; nothing without a best."""
        if self.best is None:
            return {}
        number = self._round.task.round
        weights = weights_of(self.pool, number, self.best.finder)
        self._let((events.Paid(now_ms, number),), now_ms)
        return weights

    def forfeit(self, miner: Miner, now_ms: int) -> None:
        """The miner has broken its lease, and loses its work."""
        self.books[miner.key].forfeits += 1
        self._let((events.WorkForfeited(now_ms, miner.key, LEASE_BROKEN, ""),), now_ms)

    def join(self, miner: Miner, now_ms: int) -> Sequence[AnyEvent]:
        """The miner connects."""
        happened = decide_join(self.pool, miner.key, miner.key, miner.kind.strength, now_ms)
        return self._let(happened, now_ms)

    def accept_lease(self, miner: Miner, assignment: int, now_ms: int) -> None:
        """The miner has signed the lease of an assignment."""
        accepted = events.LeaseAccepted(now_ms, miner.key, assignment, _KEPT)
        self.pool = apply(self.pool, accepted)

    def leave(self, miner: Miner, now_ms: int) -> Sequence[AnyEvent]:
        """The miner is seen to be gone; its backup, if it has one, goes on with its search."""
        happened = decide_leave(self.pool, miner.key, "left", now_ms)
        return self._let((*happened, *self._take_over(miner.key, now_ms)), now_ms)

    def look(self, now_ms: int) -> None:
        """Choose backups by what the searches have shown, once in a heartbeat interval."""
        if not self._has_backups or not self.pool.strong:
            return
        miners = [self.pool.miners[key] for key in self.pool.connected(Strength.STRONG)]
        curves = {
            miner.key: self._round.searches[miner.own].curve
            for miner in miners
            if miner.own is not None and miner.covers is None
        }
        if (assessment := assess(curves)) is None:
            return
        chosen = choose_backups(assessment, curves.keys(), self._backups)
        self.designated += len(chosen.items() - self._backups.items())
        self._backups = dict(chosen)

    def _take_over(self, lost: bytes, now_ms: int) -> tuple[AnyEvent, ...]:
        number, key = self.pool.miners[lost].own, self._backups.pop(lost, None)
        if number is None or key is None or not self._is_open:
            return ()
        backup = self.pool.miners[key]
        if not backup.connected or backup.own is None or backup.covers is not None:
            return ()
        return (
            events.LeaseParked(now_ms, key, backup.own),
            backup_activated(self.pool, backup, number, now_ms),
        )

    def claims_best(self, claim: Claim) -> bool:
        """Whether the claimed model has to be counted before the result is judged."""
        return self.best is None or claim.report.correct > self.best.correct

    def judge(self, miner: Miner, claim: Claim, now_ms: int) -> Sequence[AnyEvent]:
        """Accept, refuse or set aside a result; the model of a best has been counted."""
        report = claim.report
        try:
            round_, assignment = find_assignment(report, self.pool, miner.key, now_ms)
        except Stale as late:
            return self._let((decide_stale(report, miner.key, str(late), now_ms),), now_ms)
        except Refused as refusal:
            return self._let((decide_refusal(report, miner.key, refusal, now_ms),), now_ms)
        checked = Checked(report, assignment, claim.design, is_trained=claim.design.feasible)
        accepted = decide_acceptance(
            self.pool, checked, self._secret, is_confirmed=False, now_ms=now_ms
        )
        happened: list[AnyEvent] = [accepted]
        if claims_best(checked, round_):
            happened.append(events.BestConfirmed(now_ms, best_of(self.pool, checked)))
        done = self._let(happened, now_ms)
        if accepted.audit is not None:
            self._settle(accepted.audit, claim, now_ms)
        return done

    def _settle(self, audit: Audit, claim: Claim, now_ms: int) -> None:
        """Audit a claim; nobody has something else to do for that."""
        settled = settle(audit, claim, now_ms)
        book = self.books[audit.miner]
        book.audits += 1
        if isinstance(settled, events.WorkForfeited):
            book.forfeits += 1
            self._turn_page(now_ms)
        self.pool = apply(self.pool, settled)

    def bring_base(self, best: Best, now_ms: int) -> Sequence[AnyEvent]:
        """The weights of a confirmed best arrive, unless a better one's came first."""
        base = self._round.base
        if base is not None and base.correct >= best.correct:
            return []
        return self._let((events.BaseArrived(now_ms, best),), now_ms)

    def search(self, number: int) -> Search:
        """A search of the round."""
        return self._round.searches[number]

    @property
    def _is_open(self) -> bool:
        return self.pool.round is not None and self.pool.round.is_open

    @property
    def _round(self) -> RoundState:
        if self.pool.round is None:
            raise ValueError("no round has started")
        return self.pool.round

    def hand_out(self, now_ms: int) -> Sequence[AnyEvent]:
        """Give all miners that are due their next steps."""
        keys, self.due = list(self.due), {}
        self.pool, steps = hand_out(self.pool, keys, _draw, now_ms)
        return steps

    def _let(self, happened: Iterable[AnyEvent], now_ms: int) -> Sequence[AnyEvent]:
        self._turn_page(now_ms)
        self.pool, done, due = advance(self.pool, happened, _draw, now_ms)
        if due:
            self.due.update(dict.fromkeys(due))
        return done

    def _turn_page(self, now_ms: int) -> None:
        """Forget a full page: the share log itself is not simulated."""
        if self.pool.books.page.is_full:
            self.pool = apply(self.pool, events.PageClosed(now_ms, 0, bytes(32)))


class SeparateManager(SimulatedManager):
    """A pool without the paper's strategy, to compare with.

    Every miner, weak or strong, explores a subspace of its own; nothing is shared, and a search
    that its miner leaves waits for it.
    """

    def bring_base(self, best: Best, now_ms: int) -> Sequence[AnyEvent]:
        """Nobody trains on from another's weights."""
        return []

    def _let(self, happened: Iterable[AnyEvent], now_ms: int) -> Sequence[AnyEvent]:
        done: list[AnyEvent] = []
        self._turn_page(now_ms)
        for event in happened:
            self._apply(done, event)
            if isinstance(event, events.Joined):
                self._grant(done, event.miner, now_ms)
            elif isinstance(event, events.RoundOpened):
                miners = sorted(self.pool.miners.values(), key=lambda miner: miner.number)
                for miner in miners:
                    if miner.connected:
                        self._grant(done, miner.key, now_ms)
        return done

    def _grant(self, done: list[AnyEvent], key: bytes, now_ms: int) -> None:
        if not self._is_open:
            return
        number, drawn = self.pool.miners[key].own, None
        if number is None:
            number, drawn = len(self._round.searches), _WHOLE
        assignment = self.pool.next_assignment
        self._apply(done, events.LeaseGranted(now_ms, key, assignment, number, MAX_BUDGET, drawn))

    def _apply(self, done: list[AnyEvent], event: AnyEvent) -> None:
        self.pool = apply(self.pool, event)
        done.append(event)


def _draw(_: RoundState, __: int) -> Subspace:
    return _WHOLE
