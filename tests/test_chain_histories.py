"""What holds in every state of every history: value (I1), numbers (I19), replay (I18)."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.chain.block import Block, open_block
from node.chain.codec import decode, encode
from node.chain.draft import Draft
from node.chain.envelope import sign
from node.chain.errors import Reason, Rejected
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.messages import TRANSACTIONS, Body, Claim, Fallback
from node.chain.state import TABLES, VOTE_WINDOW, State, compute_held, compute_root
from node.chain.table import Table
from node.chain.transition import state_after
from tests.chain_world import ATTESTERS, PRODUCERS, World, public
from tests.history_world import DEPOSIT, DRAWS, NETWORK, History

BLOCKS = 40
SEEDS = st.integers(0, 2**32)


def check_value(world: World, state: State) -> None:
    """I1: nothing is made or lost but what is issued and burnt."""
    assert compute_held(state) + state.burnt == world.network.supply + state.issued


def check_numbers(state: State) -> None:
    """I19: every integer is one that an object may hold, every record has one form."""
    for name in TABLES:
        table: Table[Any] = getattr(state, name)
        for _, record in table.items():
            assert decode(type(record), encode(record)) == record
            assert 0 <= record.held <= MAX_INT
    assert all(account.balance >= DEPOSIT for account in state.accounts.values())
    assert all(0 <= total <= MAX_INT for total in (state.issued, state.burnt, state.height))
    assert len(state.ancestors) <= VOTE_WINDOW


def grown(seed: int) -> History:
    """A history of which every state was checked."""
    history, rng = History(), random.Random(seed)
    for _ in range(BLOCKS):
        state = history.grow(rng)
        if state is not None:
            check_value(history, state)
            check_numbers(state)
    return history


@settings(max_examples=10)
@given(SEEDS)
def test_value_and_numbers_hold_in_every_history(seed: int) -> None:
    history = grown(seed)
    assert len(history.blocks) > BLOCKS // 2


@settings(max_examples=4)
@given(SEEDS)
def test_a_history_replays_from_its_bytes_to_the_same_states(seed: int) -> None:
    history = grown(seed)
    again = World(NETWORK)
    for block in history.blocks:
        opened = open_block(block.header.envelope, block.body_bytes, again.network.id)
        again.add(opened)
        state = again.tree.entry(block.id).state
        assert compute_root(state) == compute_root(history.tree.entry(block.id).state)
        for name in TABLES:
            table: Table[Any] = getattr(state, name)
            assert Table(table.items()).root == table.root


def test_histories_are_of_all_kinds() -> None:
    """Else they would show nothing of the kinds that are missing."""
    assert set(DRAWS) == set(TRANSACTIONS.values())
    wanted = {kind.__name__ for kind in DRAWS} - {"Rebond"} | {"won", "fallback", "paid", "fork"}
    missing, seed = wanted, 0
    while missing:
        assert seed < 40, f"no history has {missing}"
        missing, seed = missing - seen_in(grown(seed)), seed + 1


def seen_in(history: History) -> set[str]:
    """What happened in a history: kinds of transactions, and of rounds."""
    parents = {block.parent for block in history.blocks}
    seen = {"fork"} if len(parents) < len(history.blocks) else set()
    for block in history.blocks:
        seen |= {type(signed.message).__name__ for signed in block.transactions}
        seen.add("fallback" if block.is_fallback else "won")
        if not block.is_fallback and history.context(block.parent, block.round).paid is not None:
            seen.add("paid")
    return seen


def test_a_unit_that_is_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that must trip I1."""
    credit = Draft.credit
    monkeypatch.setattr(
        Draft, "credit", lambda self, address, amount: credit(self, address, max(0, amount - 1))
    )
    with pytest.raises(AssertionError):
        grown(1)


HISTORY = grown(seed=1)
KEYS = {public(key): key for key in (*ATTESTERS, *PRODUCERS)}
EXTREMES = st.sampled_from([0, 1, 2**31, 2**32 - 1, MAX_INT])


def judge(block: Block, header: Claim | Fallback, body: bytes) -> None:
    """Apply what somebody who computes the right hashes put into the place of a block.

    It is refused with a reason, or everything holds after it.
    """
    key = KEYS[block.header.signer]
    try:
        opened = _sealed(replace(header, body_hash=blob_hash(body)), body, key)
        HISTORY.apply(opened)
    except Rejected as refused:
        # Of all rules the root of the state is the last.
        if refused.reason is not Reason.STATE_ROOT:
            return
    parts, parent = opened.header, HISTORY.tree.entry(opened.parent).state
    context = HISTORY.context(opened.parent, opened.round)
    state = state_after(
        context,
        parent,
        parts.message,
        parts.signer,
        opened.body,
        opened.votes,
        opened.transactions,
    )
    check_value(HISTORY, state)
    check_numbers(state)
    rooted = replace(parts.message, state_root=compute_root(state))
    HISTORY.apply(_sealed(rooted, body, key))


def _sealed(header: Claim | Fallback, body: bytes, key: SigningKey) -> Block:
    return open_block(sign(header, key, HISTORY.network.id).envelope, body, HISTORY.network.id)


@settings(max_examples=200)
@given(st.sampled_from(HISTORY.blocks), st.data())
def test_a_body_of_any_bytes_is_refused_or_keeps_value(block: Block, data: st.DataObject) -> None:
    changed = bytearray(block.body_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    judge(block, block.header.message, bytes(changed))


@settings(max_examples=200)
@given(st.sampled_from(HISTORY.blocks), st.data())
def test_a_header_of_any_values_is_refused_or_keeps_value(
    block: Block, data: st.DataObject
) -> None:
    header = block.header.message
    for field in data.draw(st.lists(st.sampled_from(fields(header)), min_size=1, max_size=3)):
        value = getattr(header, field.name)
        hashes = st.binary(min_size=32, max_size=32)
        drawn: st.SearchStrategy[Any] = {
            int: EXTREMES,
            bytes: hashes | st.sampled_from([other.id for other in HISTORY.blocks]),
            tuple: st.lists(hashes, max_size=3).map(tuple),
        }[type(value)]
        header = replace(header, **{field.name: data.draw(drawn)})
    judge(block, header, block.body_bytes)


@settings(max_examples=150)
@given(st.sampled_from(HISTORY.blocks), st.data())
def test_a_body_of_other_parts_is_refused_or_keeps_value(block: Block, data: st.DataObject) -> None:
    """Parts of one block in another: lists, votes, lines and transactions that were signed once."""
    body = block.body
    for field in data.draw(st.lists(st.sampled_from(fields(Body)), min_size=1, max_size=3)):
        other = data.draw(st.sampled_from(HISTORY.blocks)).body
        value = getattr(other, field.name)
        if isinstance(value, tuple):
            value = tuple(data.draw(st.permutations(value + getattr(body, field.name))))
            value = value[: data.draw(st.integers(0, len(value)))]
        body = replace(body, **{field.name: value})
    judge(block, block.header.message, encode(body))
