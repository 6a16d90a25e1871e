"""The objective rules of a valid block (consensus H), each with a reason of its own.

Left to the caller: what depends on its clock, and the count of correct images,
which needs the model (`check_model`) and its evaluation (`node.chain.counting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.chain.commits import check_unit, commit_id, commit_of, compute_payout_root
from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import MAX_INT, blob_hash
from node.chain.lists import certified, is_ascending, unfold
from node.chain.messages import Body, Claim, Fallback, PayoutLine, Transaction
from node.chain.published.play import check_paid_claim, check_withheld
from node.chain.published.terms import Publish
from node.chain.sealing import check_missing, check_secrets
from node.chain.units import check_units


class DesignRules(Protocol):
    """What the chain has to know about designs, from the side that knows the search space."""

    def refuse(self, context: RoundContext, genotype: bytes) -> tuple[Reason, str] | None:
        """Why a genotype can't win the round, or None.

        Reasons: GENOTYPE_MALFORMED, OUTSIDE_SPACE (of the round), INFEASIBLE (FPGA
        model), MAC_BOUND. Must be a pure function in integers.
        """

    def refuse_task(self, terms: Publish) -> tuple[Reason, str] | None:
        """Why the search engine can't serve a published task, or None.

        Reasons: TASK_ENGINE, TASK_WITNESS. Must be a pure function in integers.
        """

    def model_length(self, context: RoundContext, genotype: bytes) -> int:
        """Bytes of the canonical model of a genotype that `refuse` lets pass."""


def check_claim(context: RoundContext, claim: Claim, producer: bytes, body: Body) -> None:
    """Whether a claim may head a block with this body, by the cheap rules. Raises Rejected."""
    least, size = context.min_correct, context.test_images
    # 1. The producer holds the unit in this round.
    check_unit(context, producer, claim.unit)
    # 2. At least thrice chance, so that constant designs can't win an empty round, and the target.
    if claim.correct < least:
        raise InvalidBlock(Reason.BELOW_FLOOR, f"{claim.correct} correct, the floor is {least}")
    # 3. Not more than there are.
    if claim.correct > size:
        raise InvalidBlock(Reason.CORRECT_ABOVE_SIZE, f"{claim.correct} correct of {size}")
    # 4. What opened the test images: the key of a published task's shard, or the seals of all
    # sealers. Only a published task has a model that won before.
    if context.paid is not None:
        check_paid_claim(context.paid, claim)
    else:
        check_secrets(context, claim.secrets)
        if claim.incumbent_correct:
            raise InvalidBlock(Reason.INCUMBENT, "the standing task has no incumbent")
    # 5. The payout lines are in their one form and the ones that were committed.
    _check_payouts(body.payouts)
    if compute_payout_root(body.payouts) != claim.payout_root:
        raise InvalidBlock(Reason.PAYOUT_ROOT, "the payout lines are not the committed ones")


def check_winner(
    context: RoundContext, claim: Claim, producer: bytes, body: Body, designs: DesignRules
) -> None:
    """Whether a claim that `check_claim` let pass may win, by the dear rules. Raises Rejected."""
    # 1. The design fits the round's space and the FPGA, and is cheap enough to check.
    if refusal := designs.refuse(context, claim.genotype):
        raise InvalidBlock(*refusal)
    # 2. The commitment recomputes, a quorum listed it, and it pays with all that one listed.
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
    # 3. Who is named as missing a key or a seal was to reveal it.
    if not fallback.missing:
        if body.commit_ids or body.lists or body.units:
            raise InvalidBlock(Reason.FALLBACK_BODY, "lists with nobody who misses a secret")
        return
    lists = unfold(context, body)
    if context.paid is not None:
        check_withheld(context, context.paid, fallback, lists)
    else:
        check_missing(context, fallback, lists)
    # 4. All that a quorum listed pay.
    check_units(context, body, lists)


def check_searchable(signed: Signed[Transaction], designs: DesignRules) -> None:
    """Whether the engine can serve the task that a transaction publishes, if it is one that does.

    Raises InvalidBlock: TASK_ENGINE, TASK_WITNESS. Depends on nothing but the transaction.
    """
    if isinstance(signed.message, Publish) and (refusal := designs.refuse_task(signed.message)):
        raise InvalidBlock(*refusal)


def check_model(context: RoundContext, claim: Claim, model: bytes, designs: DesignRules) -> None:
    """Whether these are the committed model bytes. Raises InvalidBlock."""
    expected = designs.model_length(context, claim.genotype)
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
    check_units(context, body, lists)
