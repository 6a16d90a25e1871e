"""What a node lets in from its peers, and what it says of the rest."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from node.chain.block import open_header, read_header
from node.chain.bonds import BondKind
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected, SafetyAlarm
from node.chain.messages import (
    AddBond,
    Body,
    Claim,
    Commit,
    Envelope,
    Fallback,
    List,
    Payload,
    PoolRegistration,
    Transfer,
    Vote,
)
from node.chain.params import FAST
from node.chain.proposal import complete
from node.chain.timing import Phase
from node.consensus import settling
from node.net.protocol import Gossip, Header, Refusal, Refused
from node.wire import WireBlock
from tests.chain_world import FEE
from tests.sim.customers import send
from tests.sim.world import Plan, World
from tests.virtual_time import run_virtual, virtual_time

NOW = 3
"""The round in which the messages arrive, in its train phase."""

STRANGER = SigningKey(bytes(31) + b"\x07")
HASH = bytes(range(32))


def commit(round_number: int = NOW, unit: int = 0, content: bytes = HASH) -> Commit:
    return Commit(round_number, unit, content)


def vote(round_number: int) -> Vote:
    return Vote(0, HASH, round_number, HASH, b"", b"")


def fallback() -> Fallback:
    return Fallback(NOW, HASH, 0, (), HASH, HASH)


def claim() -> Claim:
    return Claim(NOW, HASH, 0, b"\x01", HASH, HASH, HASH, 200, (), HASH, HASH)


def at_once(verdict: Gossip | Awaitable[Gossip]) -> Gossip:
    """The verdict on what takes no time to judge."""
    assert isinstance(verdict, Gossip)
    return verdict


async def answer(signer: str | None, *messages: Payload) -> Gossip | Reason:
    """What full0 says to the last of these messages, signed by a machine or by a stranger."""
    world = World(seed=1, plan=Plan(strong=1, weak=0))
    await world.start()
    await world.until_round(NOW)
    await world.clock.sleep_until(world.clock.now_ms() + 1_000)
    key = STRANGER
    if signer is not None:
        key = world.machines[signer].setup.identity.signing_key
        world.distrust(signer)
    outcome: Gossip | Reason = Gossip.DROP
    for message in messages:
        signed: Signed[Payload] = sign(message, key, world.network.id)
        try:
            outcome = at_once(world["full0"]._gate.on_gossip(signed.envelope))
        except Rejected as error:
            outcome = error.reason
    await world.close()
    return outcome


@pytest.mark.parametrize(
    ("signer", "message", "expected"),
    [
        ("manager0", commit(), Gossip.RELAY),
        ("full1", List(NOW, ()), Gossip.RELAY),
        ("manager0", claim(), Gossip.RELAY),
        ("full1", fallback(), Gossip.RELAY),
        ("full1", vote(NOW), Gossip.RELAY),
        # Who may not.
        (None, commit(), Reason.NO_UNIT),
        ("manager0", commit(unit=1), Reason.NO_UNIT),
        (None, claim(), Reason.NO_UNIT),
        (None, List(NOW, ()), Reason.NOT_ATTESTER),
        (None, fallback(), Reason.NOT_ATTESTER),
        (None, vote(NOW), Gossip.DROP),
        # What is malformed.
        ("full1", List(NOW, (HASH, bytes(32))), Reason.LIST_ORDER),
        ("strong0", PoolRegistration(HASH, HASH, 1, HASH), Reason.WRONG_KIND),
        # When: the clock's round and its neighbours.
        ("manager0", commit(NOW + 1), Gossip.RELAY),
        ("manager0", commit(NOW - 2), Gossip.DROP),
        ("manager0", commit(NOW + 2), Gossip.DEFER),
        ("full1", vote(NOW + 2), Gossip.DEFER),
        ("full1", vote(0), Gossip.DROP),
    ],
)
def test_a_message(signer: str | None, message: Payload, expected: Gossip | Reason) -> None:
    assert run_virtual(answer(signer, message)) == expected


@pytest.mark.parametrize(
    ("signer", "first", "second"),
    [
        ("manager0", commit(), commit(content=bytes(32))),
        ("full1", List(NOW, ()), List(NOW, (HASH,))),
        ("full1", fallback(), replace(fallback(), parent=bytes(32))),
    ],
)
def test_of_two_messages_where_one_is_due_the_second_is_dropped(
    signer: str, first: Payload, second: Payload
) -> None:
    assert run_virtual(answer(signer, first, second)) == Gossip.DROP


def test_an_attesters_variants_of_a_vote_do_not_spread() -> None:
    variants = [replace(vote(NOW), tasks_held=bytes([i])) for i in range(1, 4)]
    assert run_virtual(answer("full1", *variants[:2])) == Gossip.RELAY
    assert run_virtual(answer("full1", *variants)) == Gossip.DROP


def test_a_second_claim_travels_on_as_proof_and_a_third_does_not() -> None:
    second, third = replace(claim(), correct=201), replace(claim(), correct=202)
    assert run_virtual(answer("manager0", claim(), second)) == Gossip.RELAY
    assert run_virtual(answer("manager0", claim(), second, third)) == Gossip.DROP


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: (1, 0), Gossip.RELAY),
        (lambda _: (0, 0), Gossip.DEFER),
        (lambda balance: (balance - FEE + 1, 0), Gossip.DEFER),
        (lambda balance: (balance - FEE, 0), Gossip.RELAY),
        (lambda _: (1, 1), Gossip.DEFER),
    ],
)
def test_a_transfer_waits_only_if_it_can_ever_be_paid(
    change: Callable[[int], tuple[int, int]], expected: Gossip
) -> None:
    async def run() -> Gossip:
        world = World(seed=2, plan=Plan(strong=1, weak=0))
        await world.start()
        await world.until_round(NOW)
        payer = world.machines["strong0"].setup.identity
        account = world["full0"].views.ledger.account(payer.address, None)
        amount, ahead = change(account.balance)
        nonce = account.nonce + ahead
        transfer = sign(Transfer(HASH, amount, nonce, FEE), payer.signing_key, world.network.id)
        outcome = world["full0"]._gate.on_gossip(transfer.envelope)
        again = world["full0"]._gate.on_gossip(transfer.envelope)
        assert again is Gossip.DEFER
        await world.close()
        return at_once(outcome)

    assert run_virtual(run()) == expected


@virtual_time
async def test_of_an_attesters_unbacked_blocks_in_a_round_sync_takes_one() -> None:
    world = World(seed=5, plan=Plan(strong=1, weak=0))
    await world.start()
    await world.until_round(2)
    crook, node = world["full1"], world["full0"]
    context, parent = crook.chain.context(1), crook.chain.tree.entry(world.network.genesis_id)
    key = world.machines["full1"].setup.identity.signing_key
    place = context.fallback_order().index(bytes(key.verify_key))
    blocks = []
    for number in range(3):
        draft = Fallback(1, parent.id, place, (), HASH, HASH)
        body = Body(parent_logits_hash=bytes([number]) * 32)
        header, data = complete(context, parent.state, draft, bytes(key.verify_key), body, (), ())
        blocks.append(WireBlock(sign(header, key, world.network.id).envelope, data))
    # While more blocks are on their way, votes for it may be among them.
    assert not await node._gate.on_blocks(blocks[:1], [], more_follow=True)
    learnt = [await node._gate.on_blocks([block], []) for block in blocks]
    assert learnt == [True, False, False]
    await world.close()


@virtual_time
async def test_bodies_below_the_final_block_are_asked_for_only_if_a_quorum_votes() -> None:
    world = World(seed=5, plan=Plan(strong=0, weak=0))
    await world.start()
    await world.until_round(6)
    node, network_id = world["full0"], world.network.id
    tree = node.chain.tree
    assert tree.final.round > 1
    key = world.machines["full1"].setup.identity.signing_key

    def branch(signer: SigningKey) -> list[Header]:
        first = sign(Fallback(1, world.network.genesis_id, 0, (), HASH, HASH), signer, network_id)
        second = sign(Fallback(6, first.id, 0, (), HASH, HASH), signer, network_id)
        return [open_header(each.envelope, network_id) for each in (first, second)]

    for signer in (STRANGER, key):
        with pytest.raises(Refused) as refused:
            await node._gate.missing(branch(signer), ())
        assert refused.value.reason is Refusal.LOST_BRANCH
    attesters = [each.setup.identity.signing_key for each in world.machines.values()]
    ballot = Vote(0, world.network.genesis_id, 6, branch(key)[1].id, b"", b"")
    votes = [sign(ballot, attester, network_id).envelope for attester in attesters]
    assert await node._gate.missing(branch(key), votes) == branch(key)
    # Votes make no attester of a stranger.
    ballot = replace(ballot, target=branch(STRANGER)[1].id)
    votes = [sign(ballot, attester, network_id).envelope for attester in attesters]
    with pytest.raises(InvalidBlock) as invalid:
        await node._gate.missing(branch(STRANGER), votes)
    assert invalid.value.reason is Reason.NOT_ATTESTER
    await world.close()


@virtual_time
async def test_a_wrong_vote_is_no_fault_of_who_lacks_its_target() -> None:
    world = World(seed=6, plan=Plan(mints=1, managers=0, strong=0, weak=0))
    await world.start()
    await world.until_round(2)
    send(world, "mint0", AddBond(BondKind.ATTEST, world.key("mint0"), FAST.unit_bond, 0, 0))
    await world.until_round(4)
    world.distrust("mint0", "full1")
    world.cut(["full1"])
    await world.until_round(6)
    passes_on, knows = world["full1"], world["full0"]
    target = knows.chain.tree.head()
    true = knows.chain.tree.source_for(target.id)
    right = Vote(true.round, true.id, target.state.round, target.id, b"", b"")
    # A bond without a seat yet, and a seat.
    for name, ballot in (("mint0", right), ("full1", replace(right, source=HASH))):
        key = world.machines[name].setup.identity.signing_key
        envelope = sign(ballot, key, world.network.id).envelope
        assert at_once(passes_on._gate.on_gossip(envelope)) is Gossip.RELAY
        assert at_once(knows._gate.on_gossip(envelope)) is Gossip.DROP
    await world.close()


@virtual_time
async def test_missing_headers_have_to_be_signed() -> None:
    world = World(seed=5, plan=Plan(strong=0, weak=0))
    await world.start()
    await world.until_round(4)
    node, network_id = world["full0"], world.network.id
    key = world.machines["full1"].setup.identity.signing_key
    known, _ = node._gate.headers_after([world.network.genesis_id], 9)
    head_round, head = node._gate.head()
    new = sign(Fallback(head_round + 1, head, 0, (), HASH, HASH), key, network_id).envelope

    async def missing(*envelopes: Envelope) -> list[Envelope]:
        headers = [read_header(each, network_id) for each in envelopes]
        return [each.envelope for each in await node._gate.missing(headers, ())]

    assert await missing(*known, new) == [new]
    forged = [replace(each, signature=bytes(64)) for each in (*known, new)]
    assert await missing(*forged[:-1], new) == [new]
    with pytest.raises(Rejected) as refused:
        await missing(*known, forged[-1])
    assert refused.value.reason is Reason.BAD_SIGNATURE
    await world.close()


@virtual_time
async def test_a_split_for_good_stops_the_node() -> None:
    world = World(seed=3, plan=Plan())
    await world.start()
    await world.until_round(2)
    world.distrust("full0")
    node, running = world["full0"], world.machines["full0"].running

    def conflict(_vote: object) -> bool:
        raise SafetyAlarm("two blocks are final")

    node.chain.tree.add_vote = conflict  # type: ignore[assignment, method-assign]
    await world.until_round(3)
    assert running is not None
    with pytest.raises(SafetyAlarm, match="two blocks are final"):
        running.result()
    world.machines["full0"].running = None
    await world.close()


@virtual_time
async def test_models_are_served_for_a_while_after_their_block_is_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling, "MODELS_KEPT", 2)
    world = World(seed=4, plan=Plan(strong=1, weak=0))
    await world.start()
    await world.until(9, Phase.TRAIN)
    chain = world["full0"].chain
    held = []
    for height in range(1, 9):
        block_id = chain.id_at(height)
        block = chain.block(block_id) if block_id else None
        assert block is not None
        assert isinstance(block.header.message, Claim)
        held.append(chain.blob(block.header.message.model_hash) is not None)
    # Heights 1 to 8, of which 7 are final: the last two final ones and what is above are kept.
    assert held == [False] * 5 + [True] * 3
    await world.close()
