"""What a publisher checks of a result: the same count that the chain's voters made."""

from __future__ import annotations

from nas.data import datasets, published
from nas.designs.genotype import Genotype
from nas.evaluation.evaluate import count
from nas.jobs import Count
from node.chain.hashing import blob_hash
from node.chain.messages import Claim
from node.chain.published.sealing import open_shard, shard_key
from node.publishing.engine import shard_data
from node.publishing.errors import PublishingError
from node.publishing.prepare import Prepared


def recount(prepared: Prepared, secret: bytes, shard: int, claim: Claim, model: bytes) -> int:
    """Correct test images of a winner's model, counted exactly from the publisher's own shard.

    Raises PublishingError for another model or key than the claim's, and what the evaluation and
    the shard raise.
    """
    key = shard_key(secret, shard)
    if claim.secrets != (key,):
        raise PublishingError(f"the block of round {claim.round} was not won with this shard's key")
    if blob_hash(model) != claim.model_hash:
        raise PublishingError("this is not the model that the block names")
    data = shard_data(prepared.terms, shard)
    published.keep(data, open_shard(prepared.terms.shards[shard], prepared.ciphers[shard], key))
    job = Count(data.name, "test", Genotype.from_bytes(claim.genotype), model)
    return count(job, datasets.load(data.name), "cpu", lambda: False).correct
