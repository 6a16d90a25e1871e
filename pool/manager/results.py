"""Results as they come: judged in the order of each miner, confirmed if they claim to be the best.

Judging takes no time that matters and happens within the call; fetching and counting a model goes
on beside it, while the miner's next results wait.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import structlog

from nas.jobs import Executor
from node.chain.envelope import open_as
from node.chain.messages import Envelope, LeaseAcceptance
from pool.decisions.results import (
    best_of,
    decide_acceptance,
    decide_base,
    decide_fruitless,
    decide_refusal,
    decide_stale,
)
from pool.link.blobs import BlobError, max_weights_bytes
from pool.manager.confirmation import counted_model
from pool.manager.core import Core
from pool.manager.letters import lease_of
from pool.manager.session import Session
from pool.manager.turns import Turns
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import Best, RoundState, RoundTask
from pool.rules.appraisal import is_newcomer
from pool.rules.bans import faded
from pool.rules.reports import Checked, Refused, Report, Stale, check, claims_best

BLOB_TIMEOUT_MS = 10_000
"""How long a miner may take to hand over a model or weights."""

CONFIRMATIONS = 8
"""Claims of a best that are looked into at a time, of newcomers and of other miners each: so that
however many newcomers claim whatever, nobody who has worked before waits for them."""

_log = structlog.get_logger("pool.manager")


class Results:
    """Implements `Desk`; `executor` counts models."""

    def __init__(self, core: Core, network_id: bytes, executor: Executor) -> None:
        self._core = core
        self._network_id = network_id
        self._executor = executor
        self._newcomers, self._others = Turns(CONFIRMATIONS), Turns(CONFIRMATIONS)

    def on_acceptance(self, session: Session, envelope: Envelope) -> None:
        signed = open_as(LeaseAcceptance, envelope, self._network_id)
        round_ = self._core.pool.round
        if signed.signer != session.key or round_ is None:
            session.channel.end("the acceptance of a lease is signed by another key")
            return
        for assignment in self._core.pool.miners[session.key].given:
            # One that fits none is of a lease that was replaced long ago.
            if assignment.is_accepted:
                continue
            lease = lease_of(assignment, round_)
            if self._core.letters.lease_id(lease) == signed.message.lease:
                now_ms, kept = self._core.now_ms(), self._core.letters.keep_lease(lease, envelope)
                self._core.happen(events.LeaseAccepted(now_ms, session.key, assignment.id, kept))

    def judge_waiting(self, session: Session) -> None:
        # What an ended link has left is sent again on the next one.
        while session.waiting and not session.is_confirming and not session.channel.has_ended:
            self._judge(session, session.waiting.popleft())

    def _judge(self, session: Session, report: Report) -> None:
        """Accept, refuse or set aside one result, or begin to confirm it."""
        checked = self._check(session, report)
        if checked is None:
            return
        if claims_best(checked, self._round):
            session.is_confirming = True
            confirm = self._confirm(session, report, self._turn(checked))
            self._core.tasks.spawn(confirm, name="confirm")
        else:
            self._accept(checked)

    def _check(self, session: Session, report: Report) -> Checked | None:
        if session.key not in self._core.pool.miners:
            # It left while its claim was looked into, and a new round has forgotten it since.
            return None
        now_ms = self._core.now_ms()
        try:
            return check(report, self._core.pool, session.key, now_ms)
        except Stale as late:
            self._core.happen(decide_stale(report, session.key, str(late), now_ms))
        except Refused as refusal:
            self._refuse(session, report, refusal)
        return None

    async def _confirm(
        self, session: Session, report: Report, turn: AbstractAsyncContextManager[None]
    ) -> None:
        task = self._round.task
        try:
            async with turn:
                best, model = await self._confirmed(session, report)
        finally:
            session.is_confirming = False
        self.judge_waiting(session)
        if best is not None:
            await self._fetch_base(session, task, best, model)

    def _turn(self, checked: Checked) -> AbstractAsyncContextManager[None]:
        """The highest claim first, but after all others who has claimed falsely before."""
        pool, key = self._core.pool, checked.assignment.miner
        turns = self._newcomers if is_newcomer(pool.books.standing(key)) else self._others
        points = faded(pool.miners[key].conduct, self._core.now_ms())
        return turns.taken((-points, checked.report.correct))

    async def _confirmed(self, session: Session, report: Report) -> tuple[Best | None, bytes]:
        """Accept or refuse a result that claims to be the best; the best, if it is one."""
        # It may have waited for its turn: what an ended link has left is sent again on the next.
        checked = None if session.channel.has_ended else self._check(session, report)
        if checked is None:
            return None, b""
        if not claims_best(checked, self._round):
            self._accept(checked)
            return None, b""
        task = self._round.task
        model, refusal = None, None

        async def fetch(hash_: bytes, max_bytes: int) -> bytes:
            return await session.channel.fetch(hash_, max_bytes, BLOB_TIMEOUT_MS)

        try:
            model = await counted_model(checked, task.task.dataset, fetch, self._executor)
        except Refused as problem:
            refusal = problem
        if session.channel.has_ended and refusal is not None:
            # No fault of the result: the miner keeps it and sends it again.
            return None, b""
        # Fetching and counting took time: the phase may be over, another best may be ahead.
        again = self._check(session, report)
        if again is None:
            return None, b""
        if refusal is not None:
            self._refuse(session, report, refusal)
            return None, b""
        if model is None or not claims_best(again, self._round):
            self._accept(again)
            return None, b""
        best = best_of(self._core.pool, again)
        self._accept(again, events.BestConfirmed(self._core.now_ms(), best), model)
        _log.info("best_confirmed", round=task.round, correct=best.correct, size=best.size)
        return best, model

    async def _fetch_base(
        self, session: Session, task: RoundTask, best: Best, model: bytes
    ) -> None:
        """Get the weights of a new best, for the weak miners."""
        try:
            weights = await session.channel.fetch(
                best.weights_hash, max_weights_bytes(len(model)), BLOB_TIMEOUT_MS
            )
        except BlobError as error:
            _log.warning("weights_missing", miner=session.key.hex(), reason=str(error))
            return
        arrived = decide_base(self._core.pool, task, best, self._core.now_ms())
        if arrived is not None:
            self._core.happen(arrived, blobs={best.weights_hash: weights})

    def _accept(
        self, checked: Checked, confirmed: events.BestConfirmed | None = None, model: bytes = b""
    ) -> None:
        accepted = decide_acceptance(
            self._core.pool,
            checked,
            self._core.secret,
            confirmed is not None,
            self._core.now_ms(),
        )
        if confirmed is None:
            self._core.happen(accepted)
        else:
            self._core.happen(accepted, confirmed, blobs={confirmed.best.model_hash: model})
        self._give_up_fruitless(accepted.miner)

    def _give_up_fruitless(self, key: bytes) -> None:
        if given_up := decide_fruitless(self._core.pool, key, self._core.now_ms()):
            _log.warning("search_given_up", miner=key.hex())
            self._core.happen(*given_up)

    def _refuse(self, session: Session, report: Report, refusal: Refused) -> None:
        _log.warning(
            "result_refused",
            miner=session.key.hex(),
            reason=str(refusal.reason),
            detail=refusal.detail,
        )
        if refusal.reason is Refusal.DUPLICATE:
            session.on_duplicate()
        now_ms = self._core.now_ms()
        self._core.happen(decide_refusal(report, session.key, refusal, now_ms))
        self._give_up_fruitless(session.key)
        self._core.ban_if_due(session.key)

    @property
    def _round(self) -> RoundState:
        if self._core.pool.round is None:
            raise RuntimeError("no round has started")
        return self._core.pool.round
