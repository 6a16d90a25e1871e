"""The rules of a round whose test images are sealed (consensus B1, D11, E1, H).

Sealers reveal once lists of a quorum are out, so that all commitments are fixed by then. All seals
together give the test images. A block without a winner names those who withheld theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.chain.bonds import BondKey, BondKind, take
from node.chain.context import RoundContext
from node.chain.draft import Draft
from node.chain.envelope import Signed
from node.chain.errors import InvalidBlock, Reason, Rejected
from node.chain.lists import is_ascending
from node.chain.messages import Claim, Fallback, List, Seal, Vote
from node.chain.seals import registered


def check_seal(context: RoundContext, signed: Signed[Seal]) -> None:
    """Whether a Seal is one of the round. Raises Rejected: WRONG_ROUND, NOT_SEALER or SEAL."""
    if signed.message.round != context.round:
        raise Rejected(Reason.WRONG_ROUND, f"a seal of round {signed.message.round}")
    if signed.signer not in context.sealers:
        raise Rejected(Reason.NOT_SEALER, f"{signed.signer.hex()[:8]} does not seal the round")
    if not _opens(context, signed.signer, signed.message.preimage):
        raise Rejected(Reason.SEAL, "not the preimage of what the attester has registered")


def check_secrets(context: RoundContext, secrets: Sequence[bytes]) -> None:
    """Whether a claim carries what opens the test images. Raises InvalidBlock(SECRETS)."""
    # 1. One secret of each sealer, in the order of their keys; none where nothing is sealed.
    if len(secrets) != len(context.sealers):
        raise InvalidBlock(
            Reason.SECRETS, f"{len(secrets)} secrets of {len(context.sealers)} sealers"
        )
    # 2. A sealed task that nobody can seal in this round has no winner.
    if not secrets and context.network.parameters.seals:
        raise InvalidBlock(Reason.SECRETS, "no attester can seal the round")
    # 3. Each is its sealer's seal of the round.
    for sealer, secret in zip(context.sealers, secrets, strict=True):
        if not _opens(context, sealer, secret):
            raise InvalidBlock(Reason.SECRETS, f"not the seal of {sealer.hex()[:8]}")


def check_missing(context: RoundContext, fallback: Fallback, lists: Sequence[Signed[List]]) -> None:
    """Whether a fallback may name these as missing.

    Raises InvalidBlock: MISSING, MISSING_UNPROVED.
    That they are missing is for voters to judge, each by what it held in time.
    """
    missing = fallback.missing
    # 1. The missing are sealers of the round, each once.
    if not is_ascending(missing) or not set(missing) <= set(context.sealers):
        raise InvalidBlock(Reason.MISSING, "missing are sealers of the round, ascending by key")
    # 2. They should have revealed: lists of a quorum were out.
    if not context.is_quorum(signed.signer for signed in lists):
        raise InvalidBlock(Reason.MISSING_UNPROVED, "without lists of a quorum none may reveal")


def settle_seals(draft: Draft, context: RoundContext, header: Claim | Fallback) -> None:
    """Note the seals that a claim reveals; fine the sealers that a fallback names, and bar them.

    The fine is taken from the bond and burnt (consensus E1).
    """
    if context.paid is not None:
        return
    if isinstance(header, Claim):
        for sealer, seal in zip(context.sealers, header.secrets, strict=True):
            known, drawn = draft.seals.get(sealer), context.state.seals.get(sealer)
            # It may have registered another chain since it was drawn.
            if known and drawn and known.start_round == drawn.start_round:
                draft.seals = draft.seals.set(sealer, known.advanced(seal, header.round))
        return
    era_rounds = context.network.parameters.era_rounds
    for sealer in header.missing:
        if known := draft.seals.get(sealer):
            barred = known.barred(header.round + era_rounds)
            draft.seals = draft.seals.set(sealer, barred)
        _fine(draft, sealer, context.seal_fine)


def note_chains(draft: Draft, votes: Iterable[Signed[Vote]]) -> None:
    """Register the chains that the included votes bring."""
    for vote in votes:
        for end in vote.message.seal_chain:
            chain = registered(draft.seals.get(vote.signer), end, vote.message.round)
            draft.seals = draft.seals.set(vote.signer, chain)


def _fine(draft: Draft, sealer: bytes, amount: int) -> None:
    key = BondKey(BondKind.ATTEST, sealer)
    if bond := draft.bond(key):
        left, taken = take(bond, amount)
        draft.put_bond(key, left)
        draft.burn(taken)


def _opens(context: RoundContext, sealer: bytes, seal: bytes) -> bool:
    chain = context.state.seals.get(sealer)
    return chain is not None and chain.opens(seal, context.round)
