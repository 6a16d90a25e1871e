"""Each mutated rule of finality and of what is signed trips its own invariant, and only then."""

import asyncio

import pytest

from node.chain import eras as eras_module
from node.chain.finality import Tally
from node.chain.messages import Envelope, Kind
from node.chain.timing import Phase
from node.consensus.signed_before import SignedBefore
from node.tasks import spawn
from tests.sim.puppets import Puppet, Stage
from tests.sim.trial import broken_by
from tests.sim.watch import before
from tests.sim.world import Plan, World

FOUR = Plan(full=4, managers=0, strong=0, weak=0, mints=1)
THREE = Plan(full=3, managers=0, strong=0, weak=0, mints=2)
TILTED = Plan(full=3, weights=(4, 3, 3), managers=0, strong=0, weak=0, mints=1)


def puppets(plan: Plan) -> dict[str, Puppet]:
    return {f"full{number}": Puppet() for number in range(plan.full)}


async def two_finals_by_single_votes(world: World) -> None:
    """Consensus A1: votes that an offender hides make a second block look final."""
    await world.until_round(2)
    stage, genesis = Stage(world, "full0"), world.network.genesis_id
    one, other = stage.block(genesis, 1), stage.block(genesis, 1, place=1)
    await stage.show("mint0", one, other)
    stage.tell("mint0", stage.vote(one), "full0")
    stage.tell("mint0", stage.vote(other), "full1", "full2")
    await world.until_round(3)
    child = stage.block(other.id, 2)
    await stage.show("mint0", child)
    stage.tell("mint0", stage.vote(child), "full0", "full1", "full2")
    stage.tell("mint0", stage.vote(one), "full2")


def single_vote_finality(self: Tally) -> None:
    self.justified |= self._reached()
    self.final |= self.justified


def test_single_signature_finality_breaks_i2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(two_finals_by_single_votes, TILTED, puppets(TILTED)) == set()
    monkeypatch.setattr(Tally, "_settle", single_vote_finality)
    assert "I2" in broken_by(two_finals_by_single_votes, TILTED, puppets(TILTED))


async def two_finals_over_gaps(world: World) -> None:
    """Consensus A2: links over gaps on two branches, none of which is an offence with another."""
    await world.until_round(4)
    stage, genesis = Stage(world, "full0"), world.network.genesis_id
    everybody = ("full0", "full1", "full2", "full3")
    branch, other = stage.block(genesis, 1), stage.block(genesis, 2)
    top = stage.block(branch.id, 3, votes=[stage.vote(branch)])
    other_top = stage.block(other.id, 4, votes=[stage.vote(other)])
    await stage.show("mint0", branch, other, top, other_top)
    for block in (branch, other, top, other_top):
        stage.tell("mint0", stage.vote(block), *everybody)


def gap_finality(self: Tally) -> None:
    while fresh := self._reached() - self.justified:
        self.justified |= fresh
    self.final |= {link.source for link in self._quorum_links if link.source in self.justified}


def test_finality_over_a_gap_breaks_i2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(two_finals_over_gaps, FOUR, puppets(FOUR)) == set()
    monkeypatch.setattr(Tally, "_settle", gap_finality)
    assert "I2" in broken_by(two_finals_over_gaps, FOUR, puppets(FOUR))


async def split_by_a_third(world: World) -> None:
    """Exactly a third votes for both of two blocks, the others for one each."""
    await world.until_round(2)
    stage, genesis = Stage(world, "full0"), world.network.genesis_id
    world.cut(["mint0"])
    for place in (0, 1):
        block = stage.block(genesis, 1, place=place)
        await stage.show(f"mint{place}", block)
        stage.tell(f"mint{place}", stage.vote(block), f"full{place}", "full2")


def at_least_two_thirds(weight: int, total: int) -> bool:
    return 3 * weight >= 2 * total


def test_a_quorum_of_exactly_two_thirds_breaks_i3(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_by(split_by_a_third, THREE, puppets(THREE)) == set()
    monkeypatch.setattr(eras_module, "is_quorum", at_least_two_thirds)
    assert "I3" in broken_by(split_by_a_third, THREE, puppets(THREE))


async def crash_while_listing(world: World) -> None:
    """An attester dies as soon as its list is out, and wakes up alone with a clock set back."""
    crashed = asyncio.Event()
    await world.until(1, Phase.CONFIRM)

    def on_signed(envelope: Envelope) -> None:
        if envelope.kind == Kind.LIST:
            crashed.set()

    before(world["full1"].peers, "broadcast", on_signed)
    await crashed.wait()
    await world.clock.sleep_until(world.now_ms() + 1)
    await world.kill("full1")
    world.cut(["full1"])
    world.machines["full1"].skew_ms = -2_000
    world.boot("full1")
    await world.until_round(3)


def test_signing_before_the_sync_breaks_i9(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(full=4, managers=0, strong=0, weak=0, mints=1, disk_ms=(20, 20))
    assert broken_by(crash_while_listing, plan) == set()
    allows = SignedBefore.allows_list

    async def allows_at_once(self: SignedBefore, round_number: int) -> bool:
        spawn(allows(self, round_number), name="sync later")
        return round_number > self._list_round

    monkeypatch.setattr(SignedBefore, "allows_list", allows_at_once)
    assert "I9" in broken_by(crash_while_listing, plan)
