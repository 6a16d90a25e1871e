"""The objective rules of a valid block (consensus H), each with a reason of its own.

Left to the caller: what depends on its clock, and the count of correct images,
which needs the model (`check_model`) and its evaluation (`node.chain.counting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.chain.commits import check_unit, commit_id, commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.lists import certified, is_ascending, unfold
from node.chain.messages import Body, Claim, Fallback, PayoutLine
from node.chain.sealing import check_missing, check_secrets


class DesignRules(Protocol):
    """What the chain has to know about designs, from the side that knows the search space."""

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        """Why a genotype can't win the round, or None.

        Reasons: GENOTYPE_MALFORMED, OUTSIDE_SPACE (of the round), INFEASIBLE (FPGA
        model), MAC_BOUND. Must be a pure function in integers.
        """

    def model_length(self, genotype: bytes) -> int:
        """Bytes of the canonical model of a genotype that `refuse` lets pass."""


def check_claim(
    context: RoundContext, claim: Claim, producer: bytes, body: Body, designs: DesignRules
) -> None:
    """Whether a claim may head a block with this body, cheap rules first. Raises Rejected."""
    task = context.network.parameters.task
    # 1. The producer holds the unit in this round.
    check_unit(context, producer, claim.unit)
    # 2. At least thrice chance: constant designs can't win an empty round.
    if claim.correct < task.min_correct:
        raise InvalidBlock(
            Reason.BELOW_FLOOR, f"{claim.correct} correct, the floor is {task.min_correct}"
        )
    # 3. Not more than there are.
    if claim.correct > task.test_size:
        raise InvalidBlock(
            Reason.CORRECT_ABOVE_SIZE, f"{claim.correct} correct of {task.test_size}"
        )
    # 4. What opened the test images: the seals of all sealers.
    check_secrets(context, claim.secrets)
    # 5. The payout lines are in their one form and the ones that were committed.
    _check_payouts(body.payouts)
    if compute_payout_root(body.payouts) != claim.payout_root:
        raise InvalidBlock(Reason.PAYOUT_ROOT, "the payout lines are not the committed ones")
    # 6. The design fits the round's space and the FPGA, and is cheap enough to check.
    if refusal := designs.refuse(context, claim.genotype):
        raise InvalidBlock(*refusal)
    # 7. The commitment recomputes and a quorum listed it.
    _check_certified(context, claim, producer, body)


def check_fallback(context: RoundContext, fallback: Fallback, attester: bytes, body: Body) -> None:
    """Whether a fallback may head a block with this body. Raises Rejected."""
    # 1. The signer attests and states its own place.
    order = context.fallback_order()
    if attester not in order:
        raise InvalidBlock(Reason.NOT_ATTESTER, f"{attester.hex()[:8]} does not attest")
    if order.index(attester) != fallback.order:
        raise InvalidBlock(
            Reason.FALLBACK_ORDER, f"place {fallback.order} is not {attester.hex()[:8]}'s"
        )
    # 2. Nobody won, so there is nobody to pay.
    if body.payouts:
        raise InvalidBlock(Reason.FALLBACK_BODY, "a fallback carries no payouts")
    # 3. Who is named as missing a seal was to reveal it.
    check_missing(context, fallback, body)


def check_model(claim: Claim, model: bytes, designs: DesignRules) -> None:
    """Whether these are the committed model bytes. Raises InvalidBlock."""
    expected = designs.model_length(claim.genotype)
    if len(model) != expected:
        raise InvalidBlock(Reason.MODEL_LENGTH, f"{len(model)} bytes, the genotype has {expected}")
    if blob_hash(model) != claim.model_hash:
        raise InvalidBlock(Reason.MODEL_HASH, "the model is not the committed one")


def _check_payouts(lines: Sequence[PayoutLine]) -> None:
    if not lines:
        raise InvalidBlock(Reason.PAYOUT_EMPTY, "nobody is paid")
    if not is_ascending([line.address for line in lines]):
        raise InvalidBlock(Reason.PAYOUT_ORDER, "payout lines must ascend by address, each once")
    if min(line.weight for line in lines) < 1 or sum(line.weight for line in lines) > MAX_INT:
        raise InvalidBlock(Reason.PAYOUT_WEIGHT, "weights are positive, their sum below 2**63")


def _check_certified(context: RoundContext, claim: Claim, producer: bytes, body: Body) -> None:
    lists = unfold(context, body)
    own_id = commit_id(context.network.id, producer, commit_of(context, claim, producer))
    if own_id not in body.commit_ids:
        raise InvalidBlock(
            Reason.COMMITMENT_NOT_LISTED, "no list names the commitment of these fields"
        )
    if own_id not in certified(context, lists):
        raise InvalidBlock(Reason.NOT_CERTIFIED, "the lists that name it are no quorum")
