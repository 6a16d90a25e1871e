"""Calls everybody to their duty at the deadlines of the node's own clock (consensus H)."""

from node.chain.timing import Phase, deadline, phase_at, round_start
from node.clock import Clock
from node.consensus.attester import Attester
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.mempool import Mempool
from node.consensus.producer import Producer
from node.consensus.validator import Validator
from node.tasks import TaskOwner


class Clockwork:
    """Plays round after round with the parts that this node has."""

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        mempool: Mempool,
        clock: Clock,
        tasks: TaskOwner,
        validator: Validator | None,
        attester: Attester | None,
        producer: Producer | None,
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._mempool = mempool
        self._clock = clock
        self._tasks = tasks
        self._validator = validator
        self._attester = attester
        self._producer = producer

    async def run(self) -> None:
        """Start each round in a task of its own, so that one that fails stays alone."""
        now = phase_at(self._chain.network, self._clock.now_ms())
        # A round whose train phase is over has nothing left to join.
        next_round = now.round if now.phase is Phase.TRAIN else now.round + 1
        while True:
            await self._clock.sleep_until(round_start(self._chain.network, next_round))
            self._tasks.spawn(self._play(next_round), name=f"round {next_round}")
            next_round += 1

    async def _play(self, round_number: int) -> None:
        self._rounds.forget_before(round_number - 1)
        self._mempool.drop_applied(self._chain.tree.head().state)
        context = self._chain.context(round_number)
        if self._producer is not None:
            self._tasks.spawn(self._producer.train(context), name=f"train {round_number}")
        await self._until(round_number, Phase.TRAIN)
        if self._attester is not None:
            await self._attester.sign_list(context)
        await self._until(round_number, Phase.LIST)
        if self._producer is not None:
            self._tasks.spawn(self._producer.claim(context), name=f"claim {round_number}")
        await self._until(round_number, Phase.CLAIM)
        accepted = None if self._validator is None else await self._validator.walk(context)
        if self._attester is None:
            return
        if accepted is None:
            await self._attester.propose_fallback(context)
        await self._until(round_number, Phase.VALIDATE)
        target = accepted or await self._attester.adopt_fallback(context)
        if target is not None:
            await self._attester.vote(context, target)

    async def _until(self, round_number: int, phase: Phase) -> None:
        await self._clock.sleep_until(deadline(self._chain.network, round_number, phase))
