"""Coins for nothing, on networks where nothing is at stake."""

from __future__ import annotations

from dataclasses import replace

from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason
from node.chain.hashing import MAX_INT
from node.chain.messages import Faucet


def apply(draft: Draft, context: RoundContext, signed: Signed[Faucet]) -> None:
    """Issue the faucet's amount to the signer. Raises InvalidBlock: FAUCET, FAUCET_DRAWN.

    An account remembers when it drew; keys are free, so this keeps order among the honest alone.
    """
    parameters, era = context.network.parameters, draft.eras.era
    amount = parameters.faucet if parameters.task.insecure else 0
    if amount == 0 or context.network.supply + draft.issued + amount > MAX_INT:
        raise InvalidBlock(Reason.FAUCET, "this network gives no coins away")
    # Era 0 is noted as 1, since 0 is for who never drew.
    if draft.account(signed.signer).faucet_era == era + 1:
        raise InvalidBlock(Reason.FAUCET_DRAWN, f"this account has drawn in era {era}")
    draft.issue(signed.signer, amount)
    drawn = replace(draft.account(signed.signer), faucet_era=era + 1)
    draft.accounts = draft.accounts.set(signed.signer, drawn)
