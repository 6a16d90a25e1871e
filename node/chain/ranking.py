"""The order in which attesters look at the claims of a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from node.chain.context import RoundContext
from node.chain.envelope import Signed
from node.chain.hashing import u64
from node.chain.messages import Claim


def rank(context: RoundContext, claims: Iterable[Signed[Claim]]) -> list[Signed[Claim]]:
    """Sort claims by correct images, most first; ties by a hash nobody can grind.

    The tie hash covers beacon and round beside the secrets, which are empty under an
    insecure task: without them one key would win every tie. A producer with two
    different claims in the round is left out altogether (consensus D5).
    """
    unique = {claim.id: claim for claim in claims}.values()
    claims_of = Counter(claim.signer for claim in unique)
    return sorted(
        (claim for claim in unique if claims_of[claim.signer] == 1),
        key=lambda claim: (-claim.message.correct, _tie_hash(context, claim)),
    )


def is_ahead(context: RoundContext, claim: Signed[Claim], other: Signed[Claim]) -> bool:
    """Whether a claim ranks before that of another producer."""
    ranked = rank(context, (claim, other))
    return len(ranked) == 2 and ranked[0].id == claim.id


def choose_walked(
    context: RoundContext, claims: Iterable[Signed[Claim]], head: bytes
) -> list[Signed[Claim]]:
    """The claims that an attester may evaluate: the V best of those that build on its head."""
    ranked = (claim for claim in rank(context, claims) if claim.message.parent == head)
    return list(islice(ranked, context.network.parameters.max_walked))


def _tie_hash(context: RoundContext, claim: Signed[Claim]) -> bytes:
    secrets = sorted(claim.message.secrets)
    return context.draw("ponas/tie", claim.signer, u64(claim.message.unit), *secrets)
