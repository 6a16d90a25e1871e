"""A pool's records over some rounds, honest unless a test changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from node.chain.commits import commit_id, compute_payout_root
from node.chain.hashing import blake, u64
from node.chain.messages import Claim, Commit, PayoutLine, PayoutNotice, Receipt
from pool.proofs.logaudit import Log
from pool.proofs.openpage import OpenPage, close_page, with_forfeit, with_share
from pool.proofs.receipts import make_notices, make_receipt
from pool.proofs.sharelog import FIRST_PAGE, Held, Page, Share, Terms, open_page
from pool.proofs.verification import WonBlock
from pool.records.tables import persistent
from pool.rules.audits import Suspicion
from pool.rules.payout import payout_lines
from pool.rules.window import RoundWork, forfeit, window, withheld, work_by_address
from tests.pool_world import NETWORK_ID, public

MANAGER = public("manager")
UNIT = 3


def share(miner: str, episode: int = 0, work: int = 100, round_number: int = 1) -> Share:
    """A result with a model of its own, paid to the miner's own address."""
    model_hash = blake("test/model", miner.encode(), u64(round_number), u64(episode))
    return Share(
        miner=public(miner),
        address=public(miner),
        assignment=round_number,
        episode=episode,
        genotype=bytes(range(1, 31)),
        training_seed=int.from_bytes(model_hash[:7], "little"),
        epochs=10,
        correct=300,
        size=360,
        model_hash=model_hash,
        work=work,
    )


def claim(round_number: int, lines: tuple[PayoutLine, ...], body_hash: bytes = bytes(32)) -> Claim:
    """The claim of a block with these lines, of a model that no miner here has made."""
    return Claim(
        round=round_number,
        parent=bytes(32),
        unit=UNIT,
        genotype=bytes(range(1, 31)),
        model_hash=bytes(32),
        payout_root=compute_payout_root(lines),
        salt=bytes(32),
        correct=300,
        secrets=(),
        body_hash=body_hash,
        state_root=bytes(32),
    )


@dataclass
class PoolRecords:
    """What a manager and its miners hold after some rounds, and what the chain says."""

    fee_permille: int = 10
    finder: str = "finder"
    rounds: list[RoundWork] = field(default_factory=list)
    pages: dict[bytes, bytes] = field(default_factory=dict)
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)
    notices: dict[str, list[PayoutNotice]] = field(default_factory=dict)
    blocks: dict[int, WonBlock] = field(default_factory=dict)
    open: OpenPage = field(default_factory=OpenPage)

    def play(
        self,
        number: int,
        work: dict[str, list[int]],
        caught: tuple[str, ...] = (),
        producer: bytes = MANAGER,
        held: Mapping[str, int] = MappingProxyType({}),
    ) -> tuple[PayoutLine, ...]:
        """A round in which miners deliver shares of so much work, and `caught` ones forfeit.

        The pool commits, and `producer` wins. Of `held` miners so many of the round's newest shares
        are held back.
        """
        for miner, units in work.items():
            for episode, one in enumerate(units):
                self._enter(number, miner, share(miner, episode, one, number))
        earned = {public(miner) * 2: sum(units) for miner, units in work.items() if sum(units)}
        self.rounds.append(RoundWork.of(number, persistent(earned)))
        for miner in caught:
            self.open = with_forfeit(self.open, public(miner), "count-differs")
            self.rounds = list(forfeit(self.rounds, public(miner)))
        left_out = {public(miner) * 2: sum(work[miner][-count:]) for miner, count in held.items()}
        paid = work_by_address(window(withheld(self.rounds, {number: left_out})))
        lines = payout_lines(paid, public(self.finder), MANAGER, self.fee_permille)
        terms = Terms(public(self.finder), MANAGER, self.fee_permille)
        entries = tuple(Held(public(miner), count) for miner, count in held.items())
        share_log = self._close(number, terms, entries)
        commitment = blake("test/commitment", u64(number))
        notices = make_notices(number, commitment, share_log, lines)
        for miner in self.receipts:
            if public(miner) in notices:
                self.notices.setdefault(miner, []).append(notices[public(miner)])
        id_ = commit_id(NETWORK_ID, MANAGER, Commit(number, UNIT, commitment))
        self.blocks[number] = WonBlock(producer, claim(number, lines), (id_,), lines)
        return lines

    def log(self, share_log: bytes) -> Log:
        """The pages from the first one to the one with this hash."""
        pages: list[Page] = []
        while share_log != FIRST_PAGE:
            if share_log not in self.pages:
                return Log(tuple(pages), share_log)
            pages.insert(0, open_page(self.pages[share_log], share_log))
            share_log = pages[0].before
        return Log(tuple(pages))

    def logs(self, miner: str) -> dict[bytes, Log]:
        """The logs of all notices of a miner."""
        return {n.share_log: self.log(n.share_log) for n in self.notices.get(miner, [])}

    def change_block(self, number: int, **changes: object) -> None:
        """Let the chain say something else of a round."""
        self.blocks[number] = replace(self.blocks[number], **changes)  # type: ignore[arg-type]

    def change_claim(self, number: int, **changes: object) -> None:
        """Let the winner's claim say something else."""
        changed = replace(self.blocks[number].claim, **changes)  # type: ignore[arg-type]
        self.change_block(number, claim=changed)

    def _enter(self, number: int, miner: str, entry: Share) -> None:
        self.receipts.setdefault(miner, []).append(
            make_receipt(number, entry, False, Suspicion.TOO_FAST)
        )
        if self.open.is_full:
            self._close(number)
        self.open = with_share(self.open, entry)

    def _close(self, number: int, terms: Terms | None = None, held: tuple[Held, ...] = ()) -> bytes:
        hash_, data, self.open = close_page(self.open, MANAGER, number, terms, held)
        self.pages[hash_] = data
        return hash_
