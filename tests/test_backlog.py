"""What is followed on a quorum's word is checked behind, and nothing is signed before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from node.aside import Aside, inline
from node.chain.block import Block, read_block
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected, SafetyAlarm
from node.chain.messages import Body, Claim, Envelope, Fallback, Vote
from node.chain.params import FAST
from node.chain.timing import round_start
from node.chain.transition import follow_block
from node.clock import LoopClock
from node.consensus.backlog import OVERHEAD_BYTES, QUIET_S, Backlog
from node.consensus.blobs import Blobs
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.counter import Counter
from node.consensus.dissent import Dissent
from node.consensus.gossip import ChainGate
from node.consensus.importer import Importer
from node.consensus.informer import Informer
from node.consensus.intake import Intake
from node.consensus.mempool import Mempool
from node.consensus.searchable import SearchableCheck
from node.publishing.library import TaskLibrary
from node.publishing.shelf import MemoryShelf
from node.store.base import Table
from node.store.memory import MemoryStore
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from node.wire import WireBlock
from tests.chain_world import (
    ATTESTERS,
    OUTSIDER,
    PRODUCERS,
    ClaimPlan,
    ScriptedDesigns,
    World,
    edit_body,
    make_network,
    public,
    unchanged_body,
)
from tests.sim.world import Plan
from tests.sim.world import World as Simulated
from tests.virtual_time import virtual_time

QUORUM = ATTESTERS[:3]


@dataclass
class Follower:
    """A node's gate on an empty chain, with the blocks of `world` to sync."""

    world: World = field(default_factory=World)
    designs: ScriptedDesigns = field(default_factory=ScriptedDesigns)
    store: MemoryStore = field(default_factory=MemoryStore)
    alarms: list[SafetyAlarm] = field(default_factory=list)
    tasks: TaskOwner = field(default_factory=TaskOwner)

    def __post_init__(self) -> None:
        network, writer = self.world.network, InlineWriter(self.store)
        clock = LoopClock(asyncio.get_running_loop(), round_start(network, 1_000))
        self.chain = Chain(
            network, self.designs, self.store, writer, self.tasks, inline, self.alarms.append
        )
        rounds, mempool = Rounds(), Mempool()
        library = TaskLibrary(self.store, writer, _nobody, MemoryShelf())
        designs: Any = self.designs
        blobs = Blobs(self.chain, rounds, designs, _nobody, clock)
        counter = Counter(self.chain, rounds, designs, library, blobs, None)
        importer = Importer(self.chain, rounds, designs, blobs, counter, inline, clock)
        self.gate = ChainGate(
            chain=self.chain,
            rounds=rounds,
            mempool=mempool,
            searchable=SearchableCheck(self.chain, mempool, inline),
            intake=Intake(self.chain, rounds, importer, inline, clock, self.tasks, _ignore),
            informer=Informer(OUTSIDER, self.chain, rounds, mempool, _ignore),
            dissent=Dissent(self.chain, clock),
            library=library,
            clock=clock,
            tasks=self.tasks,
            on_commit=_ignore,
            holds_back=lambda: False,
        )

    async def sync(self, blocks: list[Block], *votes: Signed[Vote]) -> bool:
        wire = [WireBlock(block.header.envelope, block.body_bytes) for block in blocks]
        return await self.gate.on_blocks(wire, [vote.envelope for vote in votes])

    async def check(self) -> None:
        """Let the backlog be worked off."""
        checking = asyncio.ensure_future(self.chain.backlog.run(inline))
        while len(self.chain.backlog) and not self.alarms:
            await asyncio.sleep(QUIET_S)
        checking.cancel()


def _ignore(*_: object) -> None: ...


async def _nobody(blob_hash: bytes, max_bytes: int, _: Envelope | None = None) -> bytes:
    raise LookupError(blob_hash.hex())


def grow(world: World, length: int, plan: ClaimPlan | None = None) -> list[Block]:
    """Won blocks of rounds 1 to `length`, each with a quorum's votes for the one before it.

    The `plan` is that of the second, which may break a rule that is left for later.
    """
    blocks: list[Block] = []
    parent = world.genesis
    for number in range(1, length + 1):
        votes = world.votes(parent, QUORUM) if blocks else ()
        chosen = plan if plan is not None and number == 2 else ClaimPlan()
        header, body = draft_block(world, parent, number, replace(chosen, votes=votes))
        block = read_block(header, body, world.network.id)
        context = world.context(parent, number)
        world.tree.add(block, follow_block(context, world.tree.entry(parent).state, block))
        blocks.append(block)
        parent = block.id
    return blocks


def draft_block(
    world: World, parent: bytes, number: int, plan: ClaimPlan
) -> tuple[Envelope, bytes]:
    """A signed header and its body, which may be forged."""
    block = world.claim_block(parent, number, replace(plan, edit_body=unchanged_body))
    assert isinstance(block.header.message, Claim)
    header, body = edit_body(block.header.message, block.body_bytes, plan.edit_body)
    return sign(header, plan.producer, world.network.id).envelope, body


def forged(envelope: Envelope) -> Envelope:
    return replace(envelope, signature=bytes(64))


def forged_vote(body: Body) -> Body:
    return replace(body, votes=(forged(body.votes[0]), *body.votes[1:]))


def forged_transaction(body: Body) -> Body:
    return replace(body, transactions=tuple(map(forged, body.transactions)))


def forged_list(body: Body) -> Body:
    return replace(body, lists=(replace(body.lists[0], signature=bytes(64)), *body.lists[1:]))


@virtual_time
async def test_a_chain_that_a_quorum_votes_for_is_followed_at_once_and_checked_behind() -> None:
    follower = Follower()
    world = follower.world
    blocks = grow(world, 5)
    assert await follower.sync(blocks, *world.votes(blocks[-1].id, QUORUM))
    assert follower.chain.tree.head().id == blocks[-1].id
    assert follower.chain.tree.final.round == 4
    assert follower.chain.backlog.reason == "5 blocks are still to be checked"
    await follower.check()
    assert follower.chain.backlog.reason == ""
    assert follower.alarms == []


@virtual_time
async def test_checks_wait_until_no_more_blocks_come() -> None:
    follower = Follower()
    world = follower.world
    first, second = grow(world, 2)
    backlog = follower.chain.backlog
    checking = asyncio.ensure_future(backlog.run(inline))
    await follower.sync([first], *world.votes(first.id, QUORUM))
    await asyncio.sleep(QUIET_S * 3 / 4)
    await follower.sync([second], *world.votes(second.id, QUORUM))
    await asyncio.sleep(QUIET_S * 3 / 4)
    assert len(backlog) == 2
    await asyncio.sleep(QUIET_S)
    assert len(backlog) == 0
    checking.cancel()


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (ClaimPlan(edit_body=forged_vote), Reason.BAD_SIGNATURE),
        (
            ClaimPlan(
                edit_body=forged_transaction,
                transactions=(World().transfer(PRODUCERS[0], public(OUTSIDER), 10**6, 0),),
            ),
            Reason.BAD_SIGNATURE,
        ),
        (ClaimPlan(edit_body=forged_list), Reason.BAD_SIGNATURE),
        (ClaimPlan(listers=ATTESTERS[:2]), Reason.NOT_CERTIFIED),
        (ClaimPlan(genotype=b"dear"), Reason.MAC_BOUND),
    ],
    ids=["vote", "transaction", "list", "no quorum of lists", "design"],
)
@virtual_time
async def test_what_a_quorum_wrongly_votes_for_stops_the_node(
    plan: ClaimPlan, reason: Reason
) -> None:
    follower = Follower(designs=ScriptedDesigns({b"dear": (Reason.MAC_BOUND, "too many")}))
    world = follower.world
    blocks = grow(world, 3, plan)
    assert await follower.sync(blocks, *world.votes(blocks[-1].id, QUORUM))
    assert follower.alarms == []
    await follower.check()
    (alarm,) = follower.alarms
    assert blocks[1].id.hex() in str(alarm)
    assert str(reason) in str(alarm)
    assert follower.chain.backlog.reason == "the chain breaks a rule"
    with pytest.raises(SafetyAlarm):
        Chain(
            world.network,
            follower.designs,
            follower.store,
            InlineWriter(follower.store),
            follower.tasks,
            inline,
            follower.alarms.append,
        )


@virtual_time
async def test_rules_of_state_are_never_left_for_later() -> None:
    follower = Follower()
    world = follower.world
    first, second = grow(world, 2)
    assert isinstance(second.header.message, Claim)
    false = replace(second.header.message, state_root=bytes(32))
    header = sign(false, PRODUCERS[0], world.network.id)
    block = read_block(header.envelope, second.body_bytes, world.network.id)
    vote = replace(world.vote(QUORUM[0], second.id).message, target=block.id)
    votes = (sign(vote, key, world.network.id) for key in QUORUM)
    with pytest.raises(InvalidBlock) as refused:
        await follower.sync([first, block], *votes)
    assert refused.value.reason is Reason.STATE_ROOT
    assert follower.chain.tree.head().id == first.id
    # The first is in the store as well.
    assert [key[8:] for key, _ in follower.store.scan(Table.BLOCKS)] == [first.id]


@virtual_time
async def test_without_a_quorum_nothing_is_left_for_later() -> None:
    follower = Follower()
    world = follower.world
    transfer = world.transfer(PRODUCERS[0], public(OUTSIDER), 10**6, 0)
    block = world.fallback_block(world.genesis, 1, transactions=(transfer,))
    assert isinstance(block.header.message, Fallback)
    header, body = edit_body(block.header.message, block.body_bytes, forged_transaction)
    key = next(key for key in ATTESTERS if public(key) == block.header.signer)
    signed = sign(header, key, world.network.id)
    with pytest.raises(Rejected) as refused:
        await follower.gate.on_blocks([WireBlock(signed.envelope, body)], [])
    assert refused.value.reason is Reason.BAD_SIGNATURE
    assert follower.chain.tree.head().id == world.genesis


@virtual_time
async def test_a_false_vote_at_the_top_vouches_for_nothing() -> None:
    follower = Follower()
    world = follower.world
    # The votes in the second block are all there is for the first.
    blocks = grow(world, 2, ClaimPlan(edit_body=forged_vote))
    with pytest.raises(Rejected) as refused:
        await follower.sync(blocks)
    assert refused.value.reason is Reason.BAD_SIGNATURE
    assert follower.chain.tree.head().id == world.genesis


@virtual_time
async def test_the_backlog_is_bounded_and_gives_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.consensus.backlog.MAX_BYTES", 2 * OVERHEAD_BYTES)
    follower = Follower()
    world = follower.world
    first, second = grow(world, 2)
    await follower.sync([first], *world.votes(first.id, QUORUM))
    assert follower.chain.backlog.reason == "1 blocks are still to be checked"
    backlog = follower.chain.backlog
    await backlog.room()
    backlog.add(world.context(first.id, 2), second)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await backlog.room()
    await follower.check()
    await backlog.room()


@virtual_time
async def test_a_snapshot_waits_until_what_is_below_it_is_checked() -> None:
    follower = Follower(World(make_network(replace(FAST, era_rounds=4))))
    world = follower.world
    blocks = grow(world, 7)
    await follower.sync(blocks, *world.votes(blocks[-1].id, QUORUM))
    assert follower.chain.tree.final.round == 6
    assert follower.chain.snapshots() == []
    await follower.check()
    await asyncio.sleep(0)
    (snapshot,) = follower.chain.snapshots()
    assert snapshot.checkpoint.id == blocks[3].id
    again = Chain(
        world.network,
        follower.designs,
        follower.store,
        InlineWriter(follower.store),
        follower.tasks,
        inline,
        follower.alarms.append,
    )
    assert again.tree.head().id == blocks[-1].id


@pytest.mark.parametrize("is_checked", [True, False])
@virtual_time
async def test_an_attester_signs_nothing_before_its_chain_is_checked(
    is_checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Simulated(1, Plan(full=4, managers=0, strong=0, weak=0))
    await world.start()
    await world.until_round(2)
    await world.kill("full3")
    await world.until_round(6)
    if not is_checked:
        monkeypatch.setattr(Backlog, "run", _never)
    world.boot("full3")
    await world.until_round(8)
    assert (world["full3"].chain.backlog.reason == "") == is_checked
    assert world["full3"].chain.tree.head().state.round == 7
    assert (world.key("full3") in world["full0"]._rounds.book(7).lists) == is_checked
    await world.close()


async def _never(_backlog: Backlog, _aside: Aside) -> None:
    await asyncio.Event().wait()
