"""What the first block of an era does beside its own business (consensus A3, A5, A7)."""

from __future__ import annotations

from dataclasses import replace

from node.chain.bonds import UNBOND_ERAS, BondKey, BondKind, release
from node.chain.draft import Draft
from node.chain.eras import Candidate, Eras, draw_seats
from node.chain.movements import MovementKind

_ATTEST = bytes((BondKind.ATTEST,))


def change_era(draft: Draft, before: Eras, max_weight: int) -> None:
    """Note who was absent, pay what is unbonded, forget old offences, draw the next seats.

    `before` are the eras of the block's parent; nothing happens within an era.
    """
    if draft.eras.era == before.era:
        return
    _count_absence(draft, before)
    _release(draft)
    _forget_offences(draft)
    if draft.eras.draws(draft.round):
        seats = draw_seats(
            (
                Candidate(key[1:], bond.amount, bond.absent_eras)
                for key, bond in draft.bonds.items()
                if key.startswith(_ATTEST)
            ),
            max_weight,
        )
        # Without a single bond the seats stay: nobody else could make a block.
        draft.eras = replace(draft.eras, next=seats if seats.rows else draft.eras.current)
    _forget_chains(draft)


def _count_absence(draft: Draft, ended: Eras) -> None:
    """Only seats count: who has none can't have voted."""
    absentees = set(ended.absentees())
    for attester in ended.current.weights:
        key = BondKey(BondKind.ATTEST, attester)
        if bond := draft.bond(key):
            absent_eras = bond.absent_eras + 1 if attester in absentees else 0
            draft.put_bond(key, replace(bond, absent_eras=absent_eras))


def _release(draft: Draft) -> None:
    due = [
        (key, bond)
        for key, bond in draft.bonds.items()
        if any(entry.release_era <= draft.eras.era for entry in bond.unbonding)
    ]
    for key, bond in due:
        left, paid = release(bond, draft.eras.era)
        draft.put_bond(BondKey.from_bytes(key), left)
        draft.give(MovementKind.UNBONDED, bond.owner, paid)


def _forget_chains(draft: Draft) -> None:
    """Seals of who has neither bond nor seat; while a seat lasts, its bar has to."""
    seated = draft.eras.current.weights.keys() | draft.eras.next.weights.keys()
    for attester, _ in list(draft.seals.items()):
        is_bonded = draft.bond(BondKey(BondKind.ATTEST, attester)) is not None
        if not is_bonded and attester not in seated:
            draft.seals = draft.seals.delete(attester)


def _forget_offences(draft: Draft) -> None:
    """What is too old for evidence can't be punished again."""
    for key, record in list(draft.punished.items()):
        if draft.eras.era_of(record.round) + UNBOND_ERAS < draft.eras.era:
            draft.punished = draft.punished.delete(key)
