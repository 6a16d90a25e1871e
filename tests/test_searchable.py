"""Published tasks at the door: the dear rule is asked last, beside the loop, and of few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

import pytest
from nacl.signing import SigningKey

from node.aside import Aside, inline
from node.chain.envelope import Signed, sign
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.messages import Envelope, Transaction
from node.chain.published.terms import Publish
from node.clock import LoopClock
from node.consensus.book import Rounds
from node.consensus.gossip import ChainGate
from node.consensus.informer import Informer
from node.consensus.mempool import MAX_WASTED
from node.consensus.searchable import MAX_WAITING, SearchableCheck
from node.net.protocol import Gossip
from tests.chain_world import (
    ATTESTERS,
    FEE,
    OUTSIDER,
    PRODUCERS,
    ScriptedDesigns,
    World,
    make_network,
)
from tests.chain_world import PARAMETERS as CHAIN
from tests.desk import Desk
from tests.task_world import SUBSIDY, make_terms

P = ParamSpec("P")
T = TypeVar("T")
REFUSAL = (Reason.TASK_WITNESS, "no such hardware")
TASK_FEE = 10 * FEE
PARAMETERS = replace(CHAIN, subsidy=SUBSIDY, tasks=replace(CHAIN.tasks, min_test_images=20))
"""Tasks of `make_terms` may be queued, and all who have an account can pay for one."""


class Held:
    """Implements `Aside`: nothing is done until it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await self.go.wait()
        return work(*args, **kwargs)


@pytest.fixture
def desk() -> Desk:
    return Desk(World(make_network(PARAMETERS)))


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[Publish]:
    """The tasks that the engine was asked about; it refuses all of them."""
    asked: list[Publish] = []

    def refuse_task(_: ScriptedDesigns, terms: Publish) -> tuple[Reason, str]:
        asked.append(terms)
        return REFUSAL

    monkeypatch.setattr(ScriptedDesigns, "refuse_task", refuse_task)
    return asked


def gate_of(desk: Desk, aside: Aside = inline) -> ChainGate:
    rounds = Rounds()
    unused: Any = None
    informer = Informer(OUTSIDER, desk.chain, rounds, desk.mempool, lambda _: None)
    return ChainGate(
        desk.chain,
        rounds,
        desk.mempool,
        SearchableCheck(desk.chain, desk.mempool, aside),
        unused,
        informer,
        unused,
        unused,
        LoopClock(asyncio.get_running_loop()),
        unused,
        unused,
        unused,
    )


def publish(desk: Desk, key: SigningKey = PRODUCERS[0], **changes: Any) -> Signed[Publish]:
    return sign(make_terms(**{"fee": TASK_FEE, **changes}), key, desk.world.network.id)


async def judge(gate: ChainGate, envelope: Envelope) -> Gossip:
    verdict = gate.on_gossip(envelope)
    return verdict if isinstance(verdict, Gossip) else await verdict


@pytest.mark.parametrize(
    "changes",
    [{"key": OUTSIDER}, {"nonce": 1}, {"fee": 1}, {"reward": 1}, {"reward": 10**12}],
    ids=["no account", "nonce", "fee", "terms", "balance"],
)
async def test_nothing_is_searched_of_what_costs_its_publisher_nothing(
    desk: Desk, searched: list[Publish], changes: dict[str, Any]
) -> None:
    signed = publish(desk, **changes)
    assert gate_of(desk).on_gossip(signed.envelope) is Gossip.DEFER
    with pytest.raises(Rejected):
        await desk.submissions.submit(signed.envelope)
    assert searched == []


async def test_who_sends_a_task_that_can_not_be_searched_is_to_blame(
    desk: Desk, searched: list[Publish]
) -> None:
    with pytest.raises(InvalidBlock) as refused:
        await judge(gate_of(desk), publish(desk).envelope)
    assert refused.value.reason is Reason.TASK_WITNESS
    assert len(searched) == 1
    assert desk.mempool.transactions() == ()


async def test_a_publisher_has_few_tries_in_a_round(desk: Desk, searched: list[Publish]) -> None:
    """Over the query service nobody is blamed, and who has an account could go on for nothing."""
    reasons = []
    for number in range(MAX_WASTED + 2):
        with pytest.raises(Rejected) as refused:
            await desk.submissions.submit(publish(desk, target=16 - number % 2).envelope)
        reasons.append(refused.value.reason)
    assert reasons == [Reason.TASK_WITNESS] * MAX_WASTED + [Reason.SENDER_FULL] * 2
    assert len(searched) == MAX_WASTED


async def test_a_task_that_can_be_searched_is_passed_on(desk: Desk) -> None:
    signed = publish(desk)
    assert await judge(gate_of(desk), signed.envelope) is Gossip.RELAY
    assert desk.mempool.transactions() == (signed,)


async def test_what_the_chain_does_meanwhile_is_heeded(desk: Desk) -> None:
    aside, signed = Held(), publish(desk)
    verdict = gate_of(desk, aside).on_gossip(signed.envelope)
    assert not isinstance(verdict, Gossip)
    judging: asyncio.Future[Gossip] = asyncio.ensure_future(verdict)
    await asyncio.sleep(0)
    await desk.mine(desk.world.transfer(PRODUCERS[0], b"r" * 32, 1, 0, FEE))
    aside.go.set()
    assert await judging is Gossip.DEFER
    assert desk.mempool.transactions() == ()


async def test_few_are_searched_at_a_time(desk: Desk) -> None:
    aside = Held()
    gate, check = gate_of(desk, aside), SearchableCheck(desk.chain, desk.mempool, aside)
    publishers = (*PRODUCERS, *ATTESTERS)
    verdicts = [gate.on_gossip(publish(desk, key).envelope) for key in publishers]
    judging = [asyncio.ensure_future(_verdict(each)) for each in verdicts]
    waiting = [asyncio.ensure_future(check.check(publish(desk))) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Rejected) as refused:
        await check.check(publish(desk))
    assert refused.value.reason is Reason.MEMPOOL_FULL
    aside.go.set()
    await asyncio.gather(*waiting)
    outcomes = await asyncio.gather(*judging)
    assert outcomes.count(Gossip.RELAY) == MAX_WAITING
    assert outcomes.count(Gossip.DEFER) == len(publishers) - MAX_WAITING


async def _verdict(verdict: Gossip | Awaitable[Gossip]) -> Gossip:
    return verdict if isinstance(verdict, Gossip) else await verdict


async def test_a_transfer_is_judged_at_once(desk: Desk) -> None:
    signed: Signed[Transaction] = desk.world.transfer(PRODUCERS[0], b"r" * 32, 1, 0, FEE)
    assert gate_of(desk).on_gossip(signed.envelope) is Gossip.RELAY
