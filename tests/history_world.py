"""Chains that grow by chance: any transactions, any votes, any fork among the newest blocks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from nacl.signing import SigningKey

from node.chain.block import Block
from node.chain.envelope import Signed, sign
from node.chain.errors import Rejected
from node.chain.finality import Link, Watermark, advance, is_safe_to_sign, link_of
from node.chain.hashing import MAX_INT
from node.chain.messages import (
    AddBond,
    Evidence,
    Faucet,
    List,
    PayoutLine,
    Transaction,
    Transfer,
    Unbond,
    Vote,
)
from node.chain.params import FAST
from node.chain.published.queue import make_bitmap
from node.chain.published.sealing import shard_key
from node.chain.published.terms import Cancel, Publish, Rebond
from node.chain.state import State
from tests.chain_world import (
    ATTESTERS,
    FEE,
    OUTSIDER,
    PRODUCERS,
    ClaimPlan,
    World,
    make_network,
    public,
)
from tests.task_world import LIMITS, SECRET, make_shards, make_terms

PARAMETERS = replace(
    FAST,
    era_rounds=4,
    subsidy=10_000_000,
    halving_rounds=5,
    unit_bond=10_000_000,
    faucet=3_000_000,
    tasks=LIMITS,
)
NETWORK = make_network(PARAMETERS)
DEPOSIT = PARAMETERS.account_deposit
KEYS = (*ATTESTERS, *PRODUCERS, OUTSIDER)
UNSTEADY = (ATTESTERS[0], OUTSIDER, PRODUCERS[1])
"""Who unbonds and breaks rules; the others keep the chain going."""
ADDRESSES = [*map(public, KEYS), b"\x01" * 32, b"\x02" * 32]
SHARDS = make_shards(3)

Draw = Callable[[State, SigningKey, random.Random], Transaction]
"""A transaction of a key that may stand in a state; nonce and fee come later."""


def _transfer(state: State, key: SigningKey, rng: random.Random) -> Transfer:
    balance = state.account(public(key)).balance
    amounts = [
        0,
        1,
        DEPOSIT - 1,
        DEPOSIT,
        2 * DEPOSIT,
        balance // 2,
        max(0, balance - FEE),
        balance,
        MAX_INT,
    ]
    amount = rng.choice(amounts)
    return Transfer(rng.choice(ADDRESSES), amount, 0, 0)


def _faucet(state: State, key: SigningKey, rng: random.Random) -> Faucet:
    return Faucet(0, 0)


def _publish(state: State, key: SigningKey, rng: random.Random) -> Publish:
    shards = SHARDS[: rng.randint(1, 3)]
    reward = rng.choice([0, 2 * PARAMETERS.subsidy, 2 * PARAMETERS.subsidy, MAX_INT])
    return make_terms(shards=shards, reward=reward)


def _cancel(state: State, key: SigningKey, rng: random.Random) -> Cancel:
    return Cancel(0, 0, _task(state, rng))


def _rebond(state: State, key: SigningKey, rng: random.Random) -> Rebond:
    return Rebond(0, 0, _task(state, rng))


def _add_bond(state: State, key: SigningKey, rng: random.Random) -> AddBond:
    owner = rng.choice([public(key), public(key), ADDRESSES[-1]])
    amount = rng.choice([0, 1, PARAMETERS.unit_bond, 3 * PARAMETERS.unit_bond, MAX_INT])
    return AddBond(rng.choice([1, 1, 2, 2, 3]), owner, amount, 0, 0)


def _unbond(state: State, key: SigningKey, rng: random.Random) -> Unbond:
    identity = rng.choice([public(key), *map(public, UNSTEADY)])
    amount = rng.choice([0, 1, PARAMETERS.unit_bond, MAX_INT])
    return Unbond(rng.choice([1, 2, 3]), identity, amount, 0, 0)


def _evidence(state: State, key: SigningKey, rng: random.Random) -> Evidence:
    """Two lists of one round by somebody, or twice the same."""
    offender, ids = rng.choice(UNSTEADY), rng.choices([b"a" * 32, b"b" * 32], k=2)
    lists = {sign(List(state.round, (listed,)), offender, NETWORK.id) for listed in ids}
    shown = tuple(signed.envelope for signed in sorted(lists, key=lambda signed: signed.id))
    return Evidence(shown, 0, 0)


def _task(state: State, rng: random.Random) -> bytes:
    return rng.choice([*(task for task, _ in state.tasks.items()), b"?" * 32])


DRAWS: dict[type[Transaction], Draw] = {
    Transfer: _transfer,
    AddBond: _add_bond,
    Unbond: _unbond,
    Evidence: _evidence,
    Faucet: _faucet,
    Publish: _publish,
    Cancel: _cancel,
    Rebond: _rebond,
}
"""One line for each kind of transaction; a test sees that none is left out."""


class History(World):
    """All blocks that came to be, in their order; genesis is not among them."""

    def __init__(self) -> None:
        super().__init__(NETWORK)
        self.blocks: list[Block] = []
        self._signed: dict[SigningKey, Link] = {}

    def grow(self, rng: random.Random) -> State | None:
        """Try to add a block to one of the newest; its state, or None if no block could be."""
        parents = [self.genesis, *(block.id for block in self.blocks)][-3:]
        parent = rng.choice([*parents, parents[-1], parents[-1]])
        state = self.tree.entry(parent).state
        number = state.round + rng.randint(1, 3)
        transactions = self._transactions(state, rng)
        voters = rng.sample(KEYS, rng.randint(0, len(KEYS)))
        drawn = [self._vote(parent, key) for key in voters if parent != self.genesis]
        votes = tuple(vote for vote in drawn if vote is not None)
        plan = ClaimPlan(
            producer=rng.choice(PRODUCERS),
            payouts=self._lines(rng),
            votes=votes,
            transactions=transactions,
        )
        attempts: list[Callable[[], Block]] = [
            lambda: self._claim(parent, number, plan),
            lambda: self._fallback(parent, number, plan),
            lambda: self._withheld(parent, number, plan),
        ]
        first = rng.randint(0, 2)
        for attempt in attempts[first:] + attempts[:first]:
            try:
                block = self.add(attempt())
            except Rejected:
                continue
            self.blocks.append(block)
            return self.tree.entry(block.id).state
        return None

    def _vote(self, target: bytes, key: SigningKey) -> Signed[Vote] | None:
        """A vote of an attester that holds the data of the first tasks in the queue.

        None if it has signed what forbids it: liars could make two blocks final.
        """
        vote = self.vote(key, target, tasks_held=make_bitmap((0, 1, 2)))
        link = link_of(vote.message)
        last = self._signed.setdefault(key, link)
        if link == last or is_safe_to_sign(advance(Watermark(), last), link):
            self._signed[key] = link
            return vote
        return None

    def _transactions(self, state: State, rng: random.Random) -> tuple[Signed[Transaction], ...]:
        made, used = [], Counter[bytes]()
        # Who has a task in the queue may cancel it, and is drawn more often.
        publishers = [k for k in KEYS for t in state.tasks.values() if t.publisher == public(k)]
        for draw in rng.choices(list(DRAWS.values()), k=rng.randint(0, 6)):
            key = rng.choice([*KEYS, *publishers * 5])
            nonce = state.account(public(key)).nonce + used[public(key)]
            fee = rng.choice([*range(20_000, 20_008), 0, MAX_INT])
            message = replace(draw(state, key, rng), nonce=nonce, fee=fee)
            used[public(key)] += 1
            made.append(sign(message, key, self.network.id))
        return tuple(made)

    def _lines(self, rng: random.Random) -> tuple[PayoutLine, ...]:
        weights = [rng.randint(1, MAX_INT // 4) for _ in range(rng.randint(1, 3))]
        return tuple(PayoutLine(bytes([i]) * 32, weight) for i, weight in enumerate(weights, 1))

    def _claim(self, parent: bytes, number: int, plan: ClaimPlan) -> Block:
        """A claim with the key of the round's shard, if it is a round of a published task."""
        paid = self.context(parent, number).paid
        plan = replace(plan, listers=self._attesting(parent, number))
        if paid is not None:
            secret = shard_key(SECRET, SHARDS.index(paid.sealed))
            plan = replace(plan, correct=16, secrets=(secret,), incumbent_correct=15)
            if paid.record.incumbent is None:
                plan = replace(plan, incumbent_correct=0)
        return self.claim_block(parent, number, plan)

    def _withheld(self, parent: bytes, number: int, plan: ClaimPlan) -> Block:
        """A fallback that names the key of the round's shard."""
        paid = self.context(parent, number).paid
        missing = () if paid is None else (paid.sealed.key,)
        return self._fallback(parent, number, plan, missing, self._attesting(parent, number))

    def _fallback(
        self,
        parent: bytes,
        number: int,
        plan: ClaimPlan,
        missing: tuple[bytes, ...] = (),
        listers: Sequence[SigningKey] = (),
    ) -> Block:
        signer = self._attesting(parent, number)[0]
        return self.fallback_block(
            parent,
            number,
            0,
            plan.votes,
            plan.transactions,
            signer=signer,
            missing=missing,
            listers=listers,
        )

    def _attesting(self, parent: bytes, number: int) -> list[SigningKey]:
        """The attesters of a round in the order in which they fall back."""
        by_address = {public(key): key for key in KEYS}
        return [by_address[a] for a in self.context(parent, number).fallback_order()]
