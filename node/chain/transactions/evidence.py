"""Taking the bond of who has signed what nobody may.

That a Claim does not stand can't be seen here. Who votes for the block has judged it
(`node.consensus.importer`).
"""

from __future__ import annotations

from node.chain.bonds import UNBOND_ERAS, BondKind, take
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed, open_envelope
from node.chain.errors import InvalidBlock, Reason
from node.chain.evidence import prove
from node.chain.messages import Evidence
from node.chain.movements import MovementKind
from node.chain.offence import Offence, Proven, Punished

REPORTERS_PART = 20
"""One in so many base units goes to the reporter, the rest is burnt."""


def apply(draft: Draft, context: RoundContext, signed: Signed[Evidence]) -> None:
    """Raises Rejected: a rule of what is shown, EVIDENCE_ROUND, OFFENCE_PUNISHED, NO_BOND."""
    # 1. It is an offence.
    proven = prove([open_envelope(item, context.network.id) for item in signed.message.shown])
    # 2. It comes in time.
    _check_round(draft, proven)
    # 3. It was not punished before.
    if proven.key in draft.punished:
        raise InvalidBlock(
            Reason.OFFENCE_PUNISHED, f"for round {proven.round} the bond was taken from before"
        )
    # 4. Voters can bear to judge so many claims again.
    draft.false_claims += proven.offence is Offence.FALSE_CLAIM
    if draft.false_claims > context.network.parameters.max_walked:
        raise InvalidBlock(Reason.TOO_MANY_COUNTS, f"{draft.false_claims} claims are called false")
    # 5. There is something to take.
    bond = draft.bond(proven.bond)
    if bond is None:
        raise InvalidBlock(Reason.NO_BOND, f"{proven.offender.hex()[:8]} has no such bond")
    # An attester's word is worth its whole bond, a producer's that of one unit.
    is_attesters = proven.bond.kind is BondKind.ATTEST
    left, taken = take(bond, bond.held if is_attesters else context.network.parameters.unit_bond)
    draft.put_bond(proven.bond, left)
    draft.punished = draft.punished.set(proven.key, Punished(proven.round))
    draft.give(MovementKind.REPORTED, signed.signer, taken // REPORTERS_PART)
    draft.burn(taken - taken // REPORTERS_PART)


def _check_round(draft: Draft, proven: Proven) -> None:
    """A false claim must be of the last round, whose bodies and models are still at hand."""
    if proven.offence is Offence.FALSE_CLAIM:
        is_in_time = proven.round == draft.round - 1
    else:
        first_era = draft.eras.era - UNBOND_ERAS
        is_in_time = proven.round <= draft.round and draft.eras.era_of(proven.round) >= first_era
    if not is_in_time:
        raise InvalidBlock(
            Reason.EVIDENCE_ROUND,
            f"of round {proven.round}, too late or too early for {draft.round}",
        )
