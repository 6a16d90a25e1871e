"""Asks the nodes of a demo what they know, once for each look."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

import grpc

from node.demo.report import Evidence
from ponas.v1 import query_service_pb2 as query
from ponas.v1.query_service_pb2_grpc import QueryServiceStub

if TYPE_CHECKING:
    from ponas.v1.query_service_pb2_grpc import QueryServiceAsyncStub

A = TypeVar("A")

_TIMEOUT_S = 3.0
# A proxy of the environment is meant for the web, never for nodes.
_CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0)]


@dataclass(frozen=True)
class Snapshot:
    """What the nodes answered at one moment; what could not be had is as it was seen last."""

    # By node name, without the nodes that gave no answer this time.
    statuses: Mapping[str, query.GetStatusResponse] = field(default_factory=dict)
    # The chain of the observed node, from height 1 on.
    blocks: Sequence[query.GetBlockResponse] = ()
    # By address, in base units, as the observed node holds them.
    balances: Mapping[str, int] = field(default_factory=dict)
    pool: query.GetPoolResponse = field(default_factory=query.GetPoolResponse)
    miners: Sequence[query.MinerView] = ()


@asynccontextmanager
async def connect(
    addresses: Mapping[str, str],
) -> AsyncIterator[dict[str, "QueryServiceAsyncStub"]]:
    """Query stubs by node name, given HOST:PORT by node name; they close with the block."""
    async with AsyncExitStack() as stack:
        stubs = {}
        for name, address in addresses.items():
            channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
            stubs[name] = QueryServiceStub(await stack.enter_async_context(channel))
        yield stubs


class Watcher:
    """Looks at every node's status, one node's chain and balances, and the manager's pool."""

    def __init__(
        self,
        stubs: Mapping[str, "QueryServiceAsyncStub"],
        observed: str,
        manager: str,
        accounts: Sequence[str],
    ) -> None:
        """`observed` and `manager` are names in `stubs`; `accounts` are the members' addresses."""
        self._stubs = stubs
        self._observed = observed
        self._manager = stubs[manager]
        self._accounts = accounts
        self._seen = Snapshot()

    async def look(self) -> Snapshot:
        """Everything once."""
        seen = self._seen
        statuses = await self._statuses()
        blocks = await self._chain(self._observed, statuses, seen.blocks) or seen.blocks
        balances, pool, miners = await asyncio.gather(
            self._balances(blocks),
            _ask(self._manager.GetPool(query.GetPoolRequest(), timeout=_TIMEOUT_S)),
            _ask(self._manager.ListMiners(query.ListMinersRequest(), timeout=_TIMEOUT_S)),
        )
        self._seen = Snapshot(
            statuses=statuses,
            blocks=blocks,
            balances=balances or seen.balances,
            pool=pool or seen.pool,
            miners=miners.miners if miners else seen.miners,
        )
        return self._seen

    async def collect(self, roles: Mapping[str, str]) -> Evidence:
        """What the report is judged from; `roles` are by node name."""
        before, seen = self._seen, await self.look()
        # Balances fit a chain that was the same before and after they were read.
        while before.blocks != seen.blocks:
            before, seen = seen, await self.look()
        chains = await asyncio.gather(*(self._chain(name, seen.statuses) for name in self._stubs))
        return Evidence(
            roles=roles,
            statuses=seen.statuses,
            chains=dict(zip(self._stubs, chains, strict=True)),
            balances=before.balances,
            paid=seen.blocks,
            pool=seen.pool,
        )

    async def _statuses(self) -> dict[str, query.GetStatusResponse]:
        answers = await asyncio.gather(
            *(
                _ask(stub.GetStatus(query.GetStatusRequest(), timeout=_TIMEOUT_S))
                for stub in self._stubs.values()
            )
        )
        return {name: answer for name, answer in zip(self._stubs, answers, strict=True) if answer}

    async def _chain(
        self,
        name: str,
        statuses: Mapping[str, query.GetStatusResponse],
        known: Sequence[query.GetBlockResponse] = (),
    ) -> Sequence[query.GetBlockResponse]:
        """A node's blocks from height 1 to its head; empty if it does not answer."""
        if name not in statuses:
            return ()
        # Final blocks stay as they are; the others may be replaced or become final.
        final = list(takewhile(lambda block: block.final, known))
        calls = [
            self._stubs[name].GetBlock(query.GetBlockRequest(height=height), timeout=_TIMEOUT_S)
            for height in range(len(final) + 1, statuses[name].height + 1)
        ]
        rest = await _ask(asyncio.gather(*calls))
        return () if rest is None else [*final, *rest]

    async def _balances(self, blocks: Sequence[query.GetBlockResponse]) -> dict[str, int]:
        """Balances of the members and of everyone whom these blocks pay; empty if not to be had."""
        paid = {
            line.address for block in blocks for line in (*block.payouts, *block.attester_rewards)
        }
        calls = [
            self._stubs[self._observed].GetAccount(
                query.GetAccountRequest(address=address), timeout=_TIMEOUT_S
            )
            for address in sorted(paid.union(self._accounts))
        ]
        accounts = await _ask(asyncio.gather(*calls)) or ()
        return {account.address: account.balance for account in accounts}


async def _ask(call: Awaitable[A]) -> A | None:
    """The answer, or None if the node gave none: it starts, stops, or is too busy for now."""
    try:
        return await call
    except grpc.RpcError:
        return None
