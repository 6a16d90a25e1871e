"""Sees everything that happens in a simulated world and has each event checked.

The watch stands outside: it hears what every machine signs, hears, counts and adopts, and knows
which machines are honest. Nothing that it learns goes back into the world.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from nas.jobs import Count
from node.assembly import Node
from node.chain.block import Block
from node.chain.envelope import Signed, open_envelope
from node.chain.errors import Rejected
from node.chain.genesis import Network
from node.chain.hashing import blob_hash
from node.chain.messages import Envelope, Payload, Seal, Vote
from node.chain.published.terms import Key
from node.chain.state import Checkpoint, State
from node.chain.timing import Phase, deadline
from tests.sim.offences import Offences

SLACK_MS = 200
"""Before a deadline by true time: what got through by then is in time on every clock."""


class Broken(AssertionError):
    """An invariant does not hold; the message says which, when, where and under which seed."""


@dataclass(frozen=True)
class Seen:
    """A block that some machine took in, and the state after it by that machine's reckoning."""

    block: Block
    state: State

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.state.round, self.block.id)


class Scene(Protocol):
    """What invariants may know of the world beside its events."""

    @property
    def seed(self) -> int: ...

    @property
    def network(self) -> Network: ...

    @property
    def honest(self) -> Sequence[str]:
        """Names of the machines that keep the rules."""
        ...

    @property
    def company(self) -> Set[bytes]:
        """Keys of the machines that break rules: they may all be one's own."""
        ...

    def now_ms(self) -> int: ...

    def key(self, name: str) -> bytes: ...

    def node(self, name: str) -> Node | None:
        """The node of a machine, or None while it is down."""
        ...

    def sent(self, name: str) -> tuple[int, int]:
        """How many messages a machine has sent so far, and how many bytes."""
        ...

    def weights(self) -> Mapping[bytes, int]:
        """Weights of the attesters of the round at hand, by the honest node that is ahead."""
        ...

    def is_calm(self, first_round: int, last_round: int) -> bool:
        """Whether nothing went wrong in these rounds, and more than two thirds took part."""
        ...


class Invariant:
    """What always holds. Each check is called with every event of its kind."""

    name = ""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.scene = watch.scene

    def on_signed(self, by: str, signed: Signed[Payload]) -> None:
        """A machine sends an object of its own."""

    def on_heard(self, at: str, signed: Signed[Payload]) -> None:
        """An object has reached a machine, for the first time since it started."""

    def on_vote(self, at: str, vote: Signed[Vote]) -> None:
        """A machine has a vote, by gossip, from a body or by sync."""

    def on_block(self, at: str, seen: Seen) -> None:
        """A machine has taken a block in."""

    def on_finality(self, at: str, justified: Checkpoint, final: Checkpoint) -> None:
        """A machine's highest justified or final block has changed."""

    def on_alarm(self, at: str) -> None:
        """A machine stops because it knows two final blocks that exclude each other."""

    def on_count(self, at: str, job: Count) -> None:
        """A machine evaluates a model."""

    def on_fetch(self, at: str, blob_hash: bytes) -> None:
        """A machine asks its peers for a blob."""

    def on_round(self, number: int) -> None:
        """A round has begun by true time."""

    def on_end(self) -> None:
        """The world is about to close."""

    def fail(self, detail: str) -> None:
        """Report that the invariant is broken."""
        self.watch.report(self.name, detail)


class Watch:
    """Attaches itself to nodes and passes on what they do.

    `blocks` and `models` hold what any machine has taken in or counted, `offences` what keys have
    signed against each other, `void` the rounds in which a secret reached somebody honest too late
    to count: they have no winner, whoever claims.
    """

    def __init__(self, scene: Scene, invariants: Iterable[Callable[[Watch], Invariant]]) -> None:
        self.scene = scene
        self.blocks: dict[bytes, Seen] = {}
        self.models: dict[bytes, bytes] = {}
        self.offences = Offences()
        self.void: set[int] = set()
        self.broken: list[str] = []
        self._trace = hashlib.blake2b(digest_size=16)
        self._opened: dict[Envelope, Signed[Payload] | None] = {}
        self._hear = _listeners([make(self) for make in invariants])

    @property
    def digest(self) -> str:
        """Hash over all events so far."""
        return self._trace.hexdigest()

    def attach(self, name: str, node: Node) -> None:
        """Watch a node that is about to run."""
        heard: set[Envelope] = set()
        standing: list[tuple[Checkpoint, Checkpoint]] = []

        def on_heard(envelope: Envelope) -> None:
            if envelope not in heard:
                heard.add(envelope)
                if (signed := self._open(envelope)) is not None:
                    self._note_late(name, signed)
                    self._tell("on_heard", name, signed)

        def on_vote(vote: Signed[Vote]) -> None:
            self.offences.note(vote)
            self._tell("on_vote", name, vote)
            look()

        def on_block(block: Block, state: State) -> None:
            for vote in block.votes:
                self.offences.note(vote)
                self._tell("on_vote", name, vote)
            seen = self.blocks.setdefault(block.id, Seen(block, state))
            self._note(name, block.id)
            self._tell("on_block", name, seen)
            look()

        def look() -> None:
            tree = node.chain.tree
            now = (tree.justified, tree.final)
            if standing != [now]:
                standing[:] = [now]
                self._note(name, *(point.id for point in now))
                self._tell("on_finality", name, *now)

        before(node._gate, "on_gossip", on_heard)
        before(node.chain, "_on_alarm", lambda _alarm: self._tell("on_alarm", name))
        before(node.peers, "broadcast", partial(self._on_signed, name))
        before(node.peers, "fetch", lambda blob_hash, *_: self._tell("on_fetch", name, blob_hash))
        after(node.chain.tree, "add_vote", on_vote)
        after(node.chain.tree, "add", on_block)

    def on_count(self, name: str, job: Count) -> None:
        """A machine's executor begins to count a model."""
        self.models[blob_hash(job.model)] = job.model
        self._tell("on_count", name, job)

    def on_round(self, number: int) -> None:
        """A round begins."""
        self._tell("on_round", number)

    def on_end(self) -> None:
        """Nothing more will happen."""
        self._tell("on_end")

    def ancestors(self, block_id: bytes) -> Iterable[bytes]:
        """Ids from a block down to genesis."""
        while block_id in self.blocks:
            yield block_id
            block_id = self.blocks[block_id].block.parent
        yield block_id

    def report(self, invariant: str, detail: str) -> None:
        """Keep a breach; `check` raises it, outside of whatever the nodes would catch."""
        at_s = self.scene.now_ms() / 1_000
        self.broken.append(f"{invariant} at {at_s:.3f} s, seed {self.scene.seed}: {detail}")

    def check(self) -> None:
        """Raise `Broken` if an invariant did not hold."""
        if self.broken:
            raise Broken(self.broken[0])

    def _on_signed(self, name: str, envelope: Envelope) -> None:
        if (signed := self._open(envelope)) is not None:
            self._note(name, signed.id)
            self._tell("on_signed", name, signed)

    def _note_late(self, name: str, signed: Signed[Payload]) -> None:
        if isinstance(signed.message, Seal | Key) and name in self.scene.honest:
            due_ms = deadline(self.scene.network, signed.message.round, Phase.LIST)
            if self.scene.now_ms() > due_ms - SLACK_MS:
                self.void.add(signed.message.round)

    def _tell(self, event: str, *what: object) -> None:
        for hear in self._hear[event]:
            hear(*what)

    def _note(self, name: str, *ids: bytes) -> None:
        self._trace.update(f"{self.scene.now_ms()} {name} ".encode() + b"".join(ids))

    def _open(self, envelope: Envelope) -> Signed[Payload] | None:
        if envelope not in self._opened:
            try:
                self._opened[envelope] = open_envelope(envelope, self.scene.network.id)
            except Rejected:
                self._opened[envelope] = None
        return self._opened[envelope]


def _listeners(invariants: Sequence[Invariant]) -> dict[str, list[Callable[..., None]]]:
    """The checks of each event, those left out that do nothing."""
    events = [name for name in vars(Invariant) if name.startswith("on_")]
    return {
        event: [
            getattr(each, event)
            for each in invariants
            if getattr(type(each), event) is not getattr(Invariant, event)
        ]
        for event in events
    }


def before(owner: object, method: str, hear: Callable[..., None]) -> None:
    """Let `hear` be called with the arguments of a method, before it."""
    original = getattr(owner, method)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        hear(*args)
        return original(*args, **kwargs)

    setattr(owner, method, wrapped)


def after(owner: object, method: str, hear: Callable[..., None]) -> None:
    """Let `hear` be called with the arguments of a method, once it has returned."""
    original = getattr(owner, method)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        hear(*args)
        return result

    setattr(owner, method, wrapped)
