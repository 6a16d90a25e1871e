"""Attacks and accidents that once worked, each kept as a test of the rule that answers it."""

from itertools import count

import pytest

from node.chain.block import Block, open_block
from node.chain.envelope import sign
from node.chain.errors import SafetyAlarm
from node.chain.hashing import blob_hash
from node.chain.messages import Body, Envelope, Fallback, Kind
from node.chain.proposal import complete
from node.chain.timing import Phase, round_start
from node.store.base import Table
from node.wire import WireBlock
from tests.sim.world import Plan, World
from tests.virtual_time import virtual_time

HASH = bytes(range(32))
ATTESTERS_ALONE = Plan(managers=0, strong=0, weak=0)


def kinds_of_blocks(world: World) -> list[str]:
    """Class names of the headers of full0's chain, oldest first."""
    chain = world["full0"].chain.tree
    entries = chain.chain(chain.head().id)
    return [type(e.block.header.message).__name__ for e in entries if e.block is not None][::-1]


def place_of(world: World, name: str, round_number: int) -> int:
    context = world[name].chain.context(round_number)
    return context.fallback_order().index(world.machines[name].setup.identity.public_key)


@pytest.mark.parametrize("body_hash", [HASH, blob_hash(b"")], ids=["withheld body", "wrong state"])
@virtual_time
async def test_an_invalid_fallback_does_not_keep_others_from_proposing(body_hash: bytes) -> None:
    world = World(seed=1, plan=ATTESTERS_ALONE)
    world.distrust("full3")
    await world.start()
    key = world.machines["full3"].setup.identity.signing_key
    first_places = 0
    for number in range(1, 21):
        await world.clock.sleep_until(round_start(world.network, number) + 1_000)
        place, head = place_of(world, "full3", number), world["full3"].chain.head(number)
        first_places += place == 0
        false = Fallback(number, head.id, place, (), body_hash, bytes(32))
        world["full3"].submit(sign(false, key, world.network.id).envelope)
    await world.until_round(21)
    assert first_places > 0
    assert len(kinds_of_blocks(world)) == 20
    await world.close()


@virtual_time
async def test_nobody_gets_ahead_of_the_clock_by_sync() -> None:
    world = World(seed=2, plan=ATTESTERS_ALONE)
    await world.start()
    await world.until_round(3)
    crook, node = world["full1"].chain, world["full0"]
    key = world.machines["full1"].setup.identity.signing_key
    head = crook.tree.head()
    blocks: list[Block] = []
    for number in range(3, 12):
        parent = head if not blocks else crook.tree.entry(blocks[-1].id)
        context = crook.tree.context_for(parent.id, number)
        place = context.fallback_order().index(bytes(key.verify_key))
        draft = Fallback(number, parent.id, place, (), HASH, HASH)
        header, data = complete(context, parent.state, draft, bytes(key.verify_key), Body(), (), ())
        block = open_block(sign(header, key, world.network.id).envelope, data, world.network.id)
        crook.tree.add(block, crook.apply(block))
        blocks.append(block)
    wire = [WireBlock(block.header.envelope, block.body_bytes) for block in blocks]
    await node._gate.on_blocks(wire, [])
    # Round 3 by the clock; its neighbour is open too.
    assert node.chain.tree.head().state.round == 4
    await world.close()


@virtual_time
async def test_heights_stay_right_when_much_becomes_final_at_once() -> None:
    world = World(seed=3, plan=ATTESTERS_ALONE)
    await world.start()
    await world.until_round(3)
    for name in ("full2", "full3"):
        await world.kill(name)
    await world.until_round(73)
    for name in ("full2", "full3"):
        world.boot(name)
    await world.until_round(79)
    for name in world.up():
        chain = world[name].chain
        assert chain.final_height == chain.tree.entry(chain.tree.final.id).state.height > 70
        ids = [chain.id_at(height) for height in range(chain.final_height + 1)]
        assert [chain.height(i) for i in ids if i is not None] == list(range(len(ids)))
    await world.close()


@virtual_time
async def test_a_machine_that_wakes_up_signs_nothing_of_the_rounds_it_slept_through() -> None:
    world = World(seed=4, plan=Plan(strong=1, weak=0))
    await world.start()
    await world.until_round(3)
    sent: list[int] = []
    broadcast = world["full3"].peers.broadcast

    def record(envelope: Envelope) -> None:
        sent.append(envelope.kind)
        broadcast(envelope)

    world["full3"].peers.broadcast = record  # type: ignore[method-assign]
    world.clock._offset_ms += 300 * world.plan.parameters.timing.round_ms
    world.peace.disturb()
    await world.until_round(305)
    assert sent.count(Kind.LIST) <= 2
    assert Kind.FALLBACK not in sent
    assert kinds_of_blocks(world)[-1] == "Claim"
    await world.close()


@virtual_time
async def test_a_manager_that_comes_back_in_mid_round_wins_that_round() -> None:
    world = World(seed=5, plan=Plan())
    await world.start()
    await world.until_round(2)
    await world.kill("manager0")
    await world.until_round(5)
    world.boot("manager0")
    await world.until_round(6)
    head = world["full0"].chain.tree.head()
    assert head.state.round == 5
    assert kinds_of_blocks(world) == ["Claim", "Fallback", "Fallback", "Fallback", "Claim"]
    await world.close()


@virtual_time
async def test_an_alarm_is_remembered_over_a_restart() -> None:
    world = World(seed=6, plan=ATTESTERS_ALONE)
    await world.start()
    await world.until_round(2)
    world.distrust("full0")
    node = world["full0"]

    def conflict(_vote: object) -> bool:
        raise SafetyAlarm("two blocks are final")

    node.chain.tree.add_vote = conflict  # type: ignore[assignment, method-assign]
    await world.until_round(3)
    running = world.machines["full0"].running
    assert running is not None
    assert isinstance(running.exception(), SafetyAlarm)
    world.machines["full0"].running = None
    await world.kill("full0")
    with pytest.raises(SafetyAlarm, match="two blocks are final"):
        world.boot("full0")
    await world.close()


@virtual_time
async def test_blocks_and_models_that_lost_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.consensus.settling.MODELS_KEPT", 2)
    world = World(seed=7, plan=Plan(strong=1, weak=0, solo=1))
    await world.start()
    await world.until_round(12)
    store = world.machines["solo0"].store
    assert len(list(store.scan(Table.BLOBS))) <= 2 * 4
    # Every round had two claims, and the loser's own node had adopted it.
    final_height = world["solo0"].chain.final_height
    assert len(list(store.scan(Table.BLOCKS))) <= final_height + 2 * 2
    winners = {world["solo0"].chain.id_at(height) for height in range(12)}
    assert len(winners) == 12
    await world.close()


@virtual_time
async def test_an_attester_that_shows_each_peer_another_block_does_not_split_them_for_good() -> (
    None
):
    world = World(seed=6, plan=Plan(full=5, managers=0, strong=0, weak=0, dialled=5))
    world.distrust("full4")
    await world.start()
    for number in count(1):
        await world.until_round(number)
        if place_of(world, "full4", number) == 0:
            break
    node, key = world["full4"], world.machines["full4"].setup.identity.signing_key
    await world.until(number, Phase.CLAIM)
    world.peace.disturb()
    head, context = node.chain.head(number), node.chain.context(number)
    draft = Fallback(number, head.id, 0, (), HASH, HASH)
    for variant, name in enumerate(world.honest):
        body = Body(parent_logits_hash=bytes([variant]) * 32)
        header, data = complete(
            context, head.state, draft, bytes(key.verify_key), body, node.chain.tree.votes(), ()
        )
        node._rounds.shelve(number, data)
        world[name]._gate.on_gossip(sign(header, key, world.network.id).envelope)
    await world.until_round(number + 1)
    assert len({world[name].chain.tree.head().id for name in world.honest}) == 4
    await world.until_round(number + 5)
    assert len({world[name].chain.tree.head().id for name in world.honest}) == 1
    assert world["full0"].chain.tree.final.round == number + 3
    await world.close()
