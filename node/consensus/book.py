"""What a node has heard for the rounds at hand."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from node.chain.context import RoundContext
from node.chain.counting import CountVerdict
from node.chain.envelope import Signed
from node.chain.errors import Reason
from node.chain.hashing import blob_hash
from node.chain.messages import Claim, Commit, Fallback, List

K = TypeVar("K")
V = TypeVar("V")


@dataclass
class RoundBook:
    """The messages of one round, each admitted at most once per signer.

    Bounded by the units and attesters of the network: only their messages are admitted.
    `opened` are secrets by their names (`RoundContext.secret_names`), `spoilt` those that open
    nothing. `in_time` are the names of those that were here when they were due, `were_due` says
    whether lists of a quorum were. `incumbent_correct` is what the last winner's model counts on a
    published task's shard, once it was counted. `verdicts` says how this node judged a claim:
    "valid", or why not; `counts` whether those that it evaluated hold and `logits` the hashes of
    their logits, so that no model is evaluated twice. `recounts` are the claims of the round before
    that were evaluated because a block of this round calls them false. `refusals` are the rules
    that blocks of the round break, by their ids, so that none is judged twice. `fetched_ahead` are
    the claims whose body and model were asked for before the walk.
    """

    round: int
    commits: dict[tuple[bytes, int], Signed[Commit]] = field(default_factory=dict)
    lists: dict[bytes, Signed[List]] = field(default_factory=dict)
    claims: dict[bytes, Signed[Claim]] = field(default_factory=dict)
    fallbacks: dict[bytes, Signed[Fallback]] = field(default_factory=dict)
    opened: dict[bytes, bytes] = field(default_factory=dict)
    spoilt: set[bytes] = field(default_factory=set)
    in_time: frozenset[bytes] = frozenset()
    were_due: bool = False
    incumbent_correct: int | None = None
    equivocators: set[bytes] = field(default_factory=set)
    verdicts: dict[bytes, str] = field(default_factory=dict)
    counts: dict[bytes, CountVerdict] = field(default_factory=dict)
    logits: dict[bytes, bytes] = field(default_factory=dict)
    recounts: int = 0
    fetched_ahead: int = 0
    refusals: dict[bytes, tuple[Reason, str]] = field(default_factory=dict)

    def add_commit(self, commit: Signed[Commit]) -> bool:
        """Keep the first commit of a unit; there is no replacement (consensus B5)."""
        return _add_first(self.commits, (commit.signer, commit.message.unit), commit)

    def add_list(self, listed: Signed[List]) -> bool:
        """Keep the first list of an attester; of two either may count (consensus B2)."""
        return _add_first(self.lists, listed.signer, listed)

    def add_claim(self, claim: Signed[Claim]) -> bool:
        """Keep the claim of a producer; a second, different one bars both (consensus D5)."""
        if _add_first(self.claims, claim.signer, claim):
            return True
        if self.claims[claim.signer].id == claim.id or claim.signer in self.equivocators:
            return False
        # The proof travels on, so that everybody bars the same producer.
        self.equivocators.add(claim.signer)
        return True

    def add_fallback(self, fallback: Signed[Fallback]) -> bool:
        """Keep the first fallback block of an attester."""
        return _add_first(self.fallbacks, fallback.signer, fallback)

    def add_secret(self, name: bytes, secret: bytes) -> bool:
        """Keep what opens the test images, or a part of it: of each name there is just one."""
        return _add_first(self.opened, name, secret)

    def spoil(self, name: bytes) -> None:
        """A key that does not open what it should is as good as withheld."""
        self.spoilt.add(name)

    def close_secrets(self, context: RoundContext) -> None:
        """Note what is here at the moment at which secrets are due."""
        self.in_time = frozenset(self.opened.keys() - self.spoilt)
        self.were_due = context.is_quorum(self.lists)

    def opened_in_time(self, context: RoundContext) -> bool:
        """Whether all secrets were here when they were due. Else no claim is to be voted for: one
        that came late may have been told to a friend alone (consensus D11)."""
        return self.in_time.issuperset(context.secret_names)

    def secrets(self, context: RoundContext) -> tuple[bytes, ...] | None:
        """The secrets in the order in which a claim has them.

        None while one is missing, or if a sealed round has no sealers.
        """
        names = context.secret_names
        if (context.is_sealed and not names) or not set(names) <= self.opened.keys() - self.spoilt:
            return None
        return tuple(self.opened[name] for name in names)

    def missing(self, context: RoundContext) -> tuple[bytes, ...]:
        """What was not revealed in time although lists of a quorum were out."""
        late = tuple(name for name in context.secret_names if name not in self.in_time)
        return late if self.were_due else ()

    def contradicts(self, context: RoundContext, missing: Iterable[bytes]) -> bool:
        """Whether a fallback block blames for what was revealed in time or not due without lists,
        or passes over what was not revealed at all."""
        named = set(missing)
        silent = set(context.secret_names) - (self.opened.keys() - self.spoilt)
        if not self.were_due:
            return bool(named)
        return bool(named & self.in_time) or not silent <= named

    def eligible_claims(self) -> list[Signed[Claim]]:
        """Claims of producers that made just one."""
        return [c for signer, c in self.claims.items() if signer not in self.equivocators]


class Rounds:
    """Books and blobs of the rounds near the clock's; older ones are forgotten.

    The blobs are bodies and models of claims of this node's own or that it has fetched, so that
    it can serve them on.
    """

    def __init__(self) -> None:
        self._books: dict[int, RoundBook] = {}
        self._blobs: dict[int, dict[bytes, bytes]] = {}

    def book(self, round_number: int) -> RoundBook:
        """The book of a round; the caller keeps to rounds near its clock's."""
        return self._books.setdefault(round_number, RoundBook(round_number))

    def known(self, round_number: int) -> RoundBook | None:
        """The book of a round, if there is one."""
        return self._books.get(round_number)

    def header(self, block_id: bytes) -> Signed[Claim] | Signed[Fallback] | None:
        """The claim or fallback with this id."""
        for book in self._books.values():
            headers: list[Signed[Claim] | Signed[Fallback]] = [
                *book.claims.values(),
                *book.fallbacks.values(),
            ]
            if header := next((h for h in headers if h.id == block_id), None):
                return header
        return None

    def count_verdict(self, claim_id: bytes) -> CountVerdict | None:
        """What this node found when it evaluated a claim of this round or the last; None if it
        did not."""
        found = (book.counts.get(claim_id) for book in self._books.values())
        return next((verdict for verdict in found if verdict is not None), None)

    def shelve(self, round_number: int, blob: bytes) -> None:
        """Serve a blob while the round is near."""
        self._blobs.setdefault(round_number, {})[blob_hash(blob)] = blob

    def blob(self, wanted: bytes) -> bytes | None:
        """A shelved blob by its hash."""
        return next((blobs[wanted] for blobs in self._blobs.values() if wanted in blobs), None)

    def forget_before(self, round_number: int) -> None:
        """Drop what is of earlier rounds."""
        self._books = {r: book for r, book in self._books.items() if r >= round_number}
        self._blobs = {r: blobs for r, blobs in self._blobs.items() if r >= round_number}


def _add_first(table: dict[K, V], key: K, value: V) -> bool:
    return table.setdefault(key, value) is value
