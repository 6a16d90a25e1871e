"""Calls everybody to their duty at the deadlines of the node's own clock (consensus H)."""

from typing import Protocol

from node.chain.context import RoundContext
from node.chain.params import RULES_VERSION, version_at
from node.chain.timing import Phase, adoption_time, deadline, phase_at, round_start
from node.clock import Clock
from node.consensus.attester import Attester
from node.consensus.book import Rounds
from node.consensus.chain import Chain
from node.consensus.informer import Informer
from node.consensus.keyholder import KeyHolder
from node.consensus.sealer import Sealer
from node.consensus.submissions import Submissions
from node.consensus.validator import Validator
from node.errors import NetworkRefusedError
from node.publishing.library import TaskLibrary
from node.tasks import TaskOwner


class Producing(Protocol):
    """A producer's duties in a round."""

    async def train(self, round_number: int) -> None:
        """Have a model found and commit it before the end of the train phase."""
        ...

    async def claim(self, round_number: int) -> None:
        """Claim what was committed, if anything."""
        ...


class Clockwork:
    """Plays round after round with the parts that this node has."""

    def __init__(
        self,
        chain: Chain,
        rounds: Rounds,
        submissions: Submissions,
        informer: Informer,
        clock: Clock,
        tasks: TaskOwner,
        validator: Validator | None,
        attester: Attester | None,
        sealer: Sealer | None,
        key_holder: KeyHolder,
        library: TaskLibrary,
        producer: Producing | None,
    ) -> None:
        self._chain = chain
        self._rounds = rounds
        self._submissions = submissions
        self._informer = informer
        self._clock = clock
        self._tasks = tasks
        self._validator = validator
        self._attester = attester
        self._sealer = sealer
        self._key_holder = key_holder
        self._library = library
        self._producer = producer

    async def run(self) -> None:
        """Start each round in a task of its own, so that one that fails stays alone.

        Raises NetworkRefusedError before a round whose rules this release does not know.
        """
        self._tasks.spawn(self._submissions.follow(), name="offer kept transactions")
        self._tasks.spawn(self._join_late(), name="claim after a restart")
        next_round = 0
        while True:
            # Rounds that a suspended machine has slept through are gone.
            next_round = max(next_round, self._first_open_round())
            await self._clock.sleep_until(round_start(self._chain.network, next_round))
            self._check_rules(next_round)
            self._tasks.spawn(self._play(next_round), name=f"round {next_round}")
            next_round += 1

    def _check_rules(self, round_number: int) -> None:
        version = version_at(self._chain.network.parameters, round_number)
        if version > RULES_VERSION:
            raise NetworkRefusedError(
                f"from round {round_number} on the network plays by version {version} of the "
                f"rules, and this release knows {RULES_VERSION}: install a newer one"
            )

    def _first_open_round(self) -> int:
        """The earliest round that can still be joined: one in its train phase, or the next."""
        now = phase_at(self._chain.network, self._clock.now_ms())
        return now.round if now.phase is Phase.TRAIN else now.round + 1

    async def _join_late(self) -> None:
        """Claim what this node committed before a restart: of all duties the only one that does
        not build on what was heard in the round's train phase."""
        now = phase_at(self._chain.network, self._clock.now_ms())
        if self._producer is not None and now.phase in (Phase.LIST, Phase.CLAIM):
            await self._clock.sleep_until(deadline(self._chain.network, now.round, Phase.LIST))
            await self._producer.claim(now.round)

    async def _play(self, round_number: int) -> None:
        self._rounds.forget_before(round_number - 1)
        await self._submissions.follow()
        self._informer.report(round_number)
        self._tasks.spawn(self._adopt_justified(round_number), name=f"adopt {round_number}")
        tasks = self._chain.tree.head().state.tasks.items()
        self._tasks.spawn(self._library.follow(tasks), name="fetch tasks")
        if self._producer is not None:
            self._tasks.spawn(self._producer.train(round_number), name=f"train {round_number}")
        if not await self._reach(round_number, Phase.TRAIN):
            return
        if self._attester is not None:
            await self._attester.sign_list(self._chain.context(round_number))
        context = self._chain.context(round_number)
        self._tasks.spawn(self._key_holder.reveal(context), name=f"open {round_number}")
        if self._sealer is not None:
            self._tasks.spawn(self._sealer.reveal(context), name=f"seal {round_number}")
        if not await self._reach(round_number, Phase.LIST):
            return
        self._rounds.book(round_number).close_secrets(self._chain.context(round_number))
        if self._producer is not None:
            self._tasks.spawn(self._producer.claim(round_number), name=f"claim {round_number}")
        if not await self._reach(round_number, Phase.CLAIM):
            return
        context = self._chain.context(round_number)
        accepted = await self._walk(context)
        if self._attester is None:
            return
        if accepted is None:
            await self._attester.propose_fallback(context)
        if not await self._reach(round_number, Phase.VALIDATE):
            return
        target = accepted or self._attester.choose_fallback(context)
        if target is not None:
            await self._attester.vote(context, target)

    async def _adopt_justified(self, round_number: int) -> None:
        await self._clock.sleep_until(adoption_time(self._chain.network, round_number))
        self._chain.tree.adopt_justified()

    async def _walk(self, context: RoundContext) -> bytes | None:
        """The claim that this node accepts; without all seals in time it takes the votes' word."""
        is_open = self._rounds.book(context.round).opened_in_time(context)
        if self._validator is None or not is_open:
            return None
        return await self._validator.walk(context)

    async def _reach(self, round_number: int, phase: Phase) -> bool:
        """Wait for the end of a phase; False if the next one has passed as well.

        A duty is done in the phase after the deadline or not at all: a list signed late could
        certify a commit made after the claims (consensus B1).
        """
        network = self._chain.network
        await self._clock.sleep_until(deadline(network, round_number, phase))
        return self._clock.now_ms() < deadline(network, round_number, Phase(phase + 1))
