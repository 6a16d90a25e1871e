"""A small valid chain to break on purpose: keys from seeds, blocks built by the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nacl.signing import SigningKey

from node.chain.block import Block, open_block
from node.chain.codec import decode, encode
from node.chain.commits import commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed, sign
from node.chain.errors import Reason
from node.chain.forkchoice import BlockTree
from node.chain.genesis import Endowment, Network, first_bonds
from node.chain.hashing import blob_hash
from node.chain.messages import (
    Body,
    Claim,
    Commit,
    Fallback,
    List,
    PayoutLine,
    Transaction,
    Transfer,
    Vote,
)
from node.chain.params import FAST, Parameters
from node.chain.proposal import complete
from node.chain.published.terms import Publish
from node.chain.seals import make_seal
from node.chain.state import State
from node.chain.transition import apply_block
from node.chain.units import fold_body

MODEL = b"a model of seven-and-thirty bytes ..."
GENOTYPE = bytes(range(1, 11)) * 3
SALT = b"s" * 32
EMPTY_HASH = b""
ENDOWMENT = 1_000_000_000
"""Base units that each key of the world begins with."""
FEE = 2_000
"""More than enough for a transfer."""


def make_key(seed: int) -> SigningKey:
    """A signing key that is the same in every run."""
    return SigningKey(seed.to_bytes(32, "big"))


def public(key: SigningKey) -> bytes:
    return bytes(key.verify_key)


def by_public_key(keys: Iterable[SigningKey]) -> list[SigningKey]:
    return sorted(keys, key=public)


ATTESTERS = by_public_key(make_key(seed) for seed in range(1, 5))
PRODUCERS = by_public_key(make_key(seed) for seed in range(11, 13))
OUTSIDER = make_key(99)
EVERYBODY = (*ATTESTERS, *PRODUCERS, OUTSIDER)
PAYOUTS = (PayoutLine(b"\x01" * 32, 3), PayoutLine(b"\x02" * 32, 1))


PARAMETERS = replace(FAST, unit_fee=0)
"""Fees of units have tests of their own."""


def make_network(
    parameters: Parameters = PARAMETERS, attesters: int = 4, bond_units: int = 1
) -> Network:
    keys = [public(key) for key in ATTESTERS[:attesters]]
    producers = [public(key) for key in PRODUCERS]
    return Network(
        parameters=parameters,
        genesis_time_ms=1_000_000,
        bonds=first_bonds(parameters, dict.fromkeys(keys, bond_units), dict.fromkeys(producers, 2)),
        accounts=tuple(Endowment(key, ENDOWMENT) for key in sorted(producers + keys)),
    )


@dataclass(frozen=True)
class ScriptedDesigns:
    """Lets every genotype pass but those it was told to refuse."""

    refused: dict[bytes, tuple[Reason, str]] = field(default_factory=dict)

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        return self.refused.get(genotype)

    def refuse_task(self, terms: Publish) -> tuple[Reason, str] | None:
        return self.refused.get(terms.witness)

    def model_length(self, context: RoundContext, genotype: bytes) -> int:
        return len(MODEL)


def unchanged_claim(claim: Claim) -> Claim:
    return claim


def unchanged_body(body: Body) -> Body:
    return body


@dataclass(frozen=True)
class ClaimPlan:
    """How to build a block with a winner; the defaults give a valid one.

    `edit_claim` and `edit_body` come after everything was computed; the header is
    signed after them and names the edited body.
    """

    producer: SigningKey = PRODUCERS[0]
    unit: int = 0
    genotype: bytes = GENOTYPE
    correct: int = 200
    payouts: tuple[PayoutLine, ...] = PAYOUTS
    committed_payouts: tuple[PayoutLine, ...] | None = None
    listers: Sequence[SigningKey] = tuple(ATTESTERS)
    others: tuple[Signed[Commit], ...] = ()
    secrets: tuple[bytes, ...] = ()
    incumbent_correct: int = 0
    votes: tuple[Signed[Vote], ...] = ()
    transactions: tuple[Signed[Transaction], ...] = ()
    edit_claim: Callable[[Claim], Claim] = unchanged_claim
    edit_body: Callable[[Body], Body] = unchanged_body


class World:
    """A block tree with the keys of everyone in it."""

    def __init__(self, network: Network | None = None) -> None:
        self.network = network or make_network()
        self.tree = BlockTree(self.network)
        self.designs = ScriptedDesigns()

    @property
    def genesis(self) -> bytes:
        return self.network.genesis_id

    def context(self, parent: bytes, round_number: int) -> RoundContext:
        return self.tree.context_for(parent, round_number)

    def claim_block(self, parent: bytes, round_number: int, plan: ClaimPlan | None = None) -> Block:
        plan = plan or ClaimPlan()
        context = self.context(parent, round_number)
        lines = plan.payouts if plan.committed_payouts is None else plan.committed_payouts
        draft = Claim(
            round=round_number,
            parent=parent,
            unit=plan.unit,
            genotype=plan.genotype,
            model_hash=blob_hash(MODEL),
            payout_root=compute_payout_root(lines),
            salt=SALT,
            correct=plan.correct,
            secrets=tuple(self.seal(context, sealer) for sealer in context.sealers) + plan.secrets,
            body_hash=EMPTY_HASH,
            state_root=EMPTY_HASH,
            incumbent_correct=plan.incumbent_correct,
        )
        commit = self.commit(context, draft, plan.producer)
        ids = tuple(sorted({commit.id, *(other.id for other in plan.others)}))
        lists = [self.list(key, round_number, ids) for key in plan.listers]
        body = replace(fold_body(context, lists, [commit, *plan.others]), payouts=plan.payouts)
        signer = public(plan.producer)
        state = self.tree.entry(parent).state
        header, body_bytes = complete(
            context, state, draft, signer, body, plan.votes, plan.transactions
        )
        return self._finish(header, body_bytes, plan)

    def _finish(self, header: Claim, body_bytes: bytes, plan: ClaimPlan) -> Block:
        header, body_bytes = edit_body(header, body_bytes, plan.edit_body)
        signed = sign(plan.edit_claim(header), plan.producer, self.network.id)
        return open_block(signed.envelope, body_bytes, self.network.id)

    def fallback_block(
        self,
        parent: bytes,
        round_number: int,
        place: int = 0,
        votes: tuple[Signed[Vote], ...] = (),
        transactions: tuple[Signed[Transaction], ...] = (),
        edit: Callable[[Fallback], Fallback] = lambda fallback: fallback,
        change_body: Callable[[Body], Body] = unchanged_body,
        signer: SigningKey | None = None,
        missing: tuple[bytes, ...] = (),
        listers: Sequence[SigningKey] = (),
        body: Body | None = None,
    ) -> Block:
        context = self.context(parent, round_number)
        attester = context.fallback_order()[place]
        key = signer or next(key for key in EVERYBODY if public(key) == attester)
        draft = Fallback(round_number, parent, place, missing, EMPTY_HASH, EMPTY_HASH)
        if body is None:
            lists = [self.list(lister, round_number, ()) for lister in listers]
            body = fold_body(context, lists, ())
        state = self.tree.entry(parent).state
        header, body_bytes = complete(context, state, draft, public(key), body, votes, transactions)
        header, body_bytes = edit_body(header, body_bytes, change_body)
        signed = sign(edit(header), key, self.network.id)
        return open_block(signed.envelope, body_bytes, self.network.id)

    def commit(self, context: RoundContext, claim: Claim, key: SigningKey) -> Signed[Commit]:
        return sign(commit_of(context, claim, public(key)), key, self.network.id)

    def list(self, key: SigningKey, round_number: int, ids: tuple[bytes, ...]) -> Signed[List]:
        return sign(List(round_number, ids), key, self.network.id)

    def seal(self, context: RoundContext, sealer: bytes) -> bytes:
        """The preimage that an attester of the world reveals in a round."""
        key = next(key for key in ATTESTERS if public(key) == sealer)
        chain = context.state.seals.get(sealer)
        assert chain is not None
        return make_seal(key, self.network.id, chain.start_round, context.round)

    def apply(self, block: Block) -> State:
        """Judge a block on the tree without adding it."""
        context = self.context(block.parent, block.round)
        return apply_block(context, self.tree.entry(block.parent).state, block, self.designs)

    def add(self, block: Block) -> Block:
        self.tree.add(block, self.apply(block))
        return block

    def vote(self, key: SigningKey, target: bytes, **changes: object) -> Signed[Vote]:
        """An honest vote for a block of the tree, or with some fields changed."""
        source = self.tree.source_for(target)
        target_round = self.tree.entry(target).state.round
        vote = Vote(source.round, source.id, target_round, target, b"", b"")
        return sign(replace(vote, **changes), key, self.network.id)  # type: ignore[arg-type]

    def votes(self, target: bytes, keys: Iterable[SigningKey]) -> tuple[Signed[Vote], ...]:
        return tuple(self.vote(key, target) for key in keys)

    def transfer(
        self, key: SigningKey, recipient: bytes, amount: int, nonce: int, fee: int = FEE
    ) -> Signed[Transfer]:
        return sign(Transfer(recipient, amount, nonce, fee), key, self.network.id)


H = TypeVar("H", Claim, Fallback)


def edit_body(header: H, body_bytes: bytes, edit: Callable[[Body], Body]) -> tuple[H, bytes]:
    """Change the body and let the header name the changed one."""
    edited = encode(edit(decode(Body, body_bytes)))
    return replace(header, body_hash=blob_hash(edited)), edited
