"""Whose commits a block's lists certify, and what each of them pays (consensus B4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.chain.bonds import BondKey, BondKind, take
from node.chain.commits import commit_id
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.lists import certified, fold
from node.chain.messages import Body, CertifiedUnit, Commit, List
from node.chain.movements import MovementKind
from node.chain.params import Parameters


def fold_body(
    context: RoundContext, lists: Iterable[Signed[List]], commits: Iterable[Signed[Commit]]
) -> Body:
    """A body that shows these lists, and the units of the commits that they certify.

    Raises InvalidBlock(UNITS) if one of these is not among `commits`.
    """
    kept = tuple(lists)
    commit_ids, proofs = fold(kept)
    by_id = {commit.id: commit for commit in commits}
    ids = sorted(certified(context, kept))
    if not by_id.keys() >= set(ids):
        raise InvalidBlock(Reason.UNITS, "a certified commit is not here")
    found = [by_id[name] for name in ids]
    units = tuple(CertifiedUnit(c.signer, c.message.unit, c.message.commitment) for c in found)
    return Body(commit_ids=commit_ids, lists=proofs, units=units)


def check_units(context: RoundContext, body: Body, lists: Sequence[Signed[List]]) -> None:
    """Whether a body's units are those that its lists certify, in the order of their ids.

    A quorum's lists speak for the signatures of the commits. Raises InvalidBlock(UNITS).
    """
    if [unit_id(context, unit) for unit in body.units] != sorted(certified(context, lists)):
        raise InvalidBlock(Reason.UNITS, "the units are not those of the certified commits")


def unit_id(context: RoundContext, unit: CertifiedUnit) -> bytes:
    """The id of the Commit that a unit of a body stands for."""
    commit = Commit(context.round, unit.unit, unit.commitment)
    return commit_id(context.network.id, unit.producer, commit)


def charge_units(draft: Draft, parameters: Parameters, units: Iterable[CertifiedUnit]) -> None:
    """Take the fee of each unit: half is burnt, half is the block's signer's.

    From the producer's account if that stays alive, else from its bond, as far as it goes.
    """
    fee = parameters.unit_fee
    for unit in units:
        if draft.account(unit.producer).balance >= fee + parameters.account_deposit:
            draft.charge(unit.producer, fee)
            draft.note(MovementKind.UNIT_FEE, unit.producer, fee)
            continue
        key = BondKey(BondKind.PRODUCE, unit.producer)
        if bond := draft.bond(key):
            left, taken = take(bond, fee)
            draft.put_bond(key, left)
            draft.share_fee(taken)
