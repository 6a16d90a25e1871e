"""Producers that reveal what they should not; each breaks one rule and keeps the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.assembly import Node
from node.chain.messages import Envelope, Kind
from node.consensus.producer import Producer
from pool.manager.manager import ConfirmedBest, Promised
from tests.scripted import scripted_score

Tamper = Callable[[Promised, int], tuple[Promised, int]]
"""Changes what is revealed: the committed content, and the count of correct images."""


def honest(committed: Promised, correct: int) -> tuple[Promised, int]:
    """Reveal what was committed, as it counts."""
    return committed, correct


class Crook(Producer):
    """Commits like anybody, reveals `tamper` of it, and asks no rule whether that may stand."""

    tamper: Tamper

    async def claim(self, round_number: int) -> None:
        if self.committed is None or self.committed.claim.round != round_number:
            return
        context, book = self._chain.context(round_number), self._rounds.book(round_number)
        if not await self._comes(context, lambda: book.secrets(context) is not None):
            return
        opened = replace(self.committed.claim, secrets=book.secrets(context) or ())
        committed = replace(self.committed, claim=opened)
        key = bytes(self._key.verify_key)
        # Not by the executor, which would refuse a design that can't be.
        data = self._designs.test_data(context, key, opened)
        committed, correct = self.tamper(committed, scripted_score(data, committed.model, "test"))
        claim, body = await self.build(context, committed, correct)
        self.reveal(claim, body, committed.model)


def corrupt(node: Node, tamper: Tamper = honest) -> Producer:
    """Make a crook of the node's producer; call before the node runs."""
    producer = node._producer
    assert producer is not None
    producer.__class__ = Crook
    producer.tamper = tamper  # type: ignore[attr-defined]
    return producer


def hide_commits(producer: Producer) -> None:
    """Send no commit to anybody, as a producer does that makes it after the deadline."""
    send = producer._send

    def send_all_else(envelope: Envelope) -> None:
        if envelope.kind != Kind.COMMIT:
            send(envelope)

    producer._send = send_all_else


def replace_best(producer: Producer, change: Callable[[ConfirmedBest], ConfirmedBest]) -> None:
    """Let the producer commit something else than its pool has found."""
    best = producer._pool.best

    def changed() -> ConfirmedBest | None:
        found = best()
        return None if found is None else change(found)

    producer._pool.best = changed  # type: ignore[method-assign]
