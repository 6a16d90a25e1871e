"""What an evaluated design is worth: work that the manager computes and nobody claims.

One unit of work is one multiply-accumulate of one image in the forward pass. Paying computed work
answers the inflation of shares (consensus F3); paying by the speed of a design's class, and
audits, come with the pool's own issue.
"""

from __future__ import annotations

from nas.data.datasets import DatasetInfo
from nas.designs.design import Design
from nas.designs.genotype import Genotype
from nas.jobs import SEED_BOUND
from node.chain.hashing import blake, u64


def work_of(design: Design, info: DatasetInfo, epochs: int, is_repeat: bool) -> int:
    """Multiply-accumulates of training a design for `epochs` new epochs.

    Nothing for a design that is infeasible or dead, which needs no training, nor for a repeat of a
    (genotype, training seed) that the pool has already paid.
    """
    if not design.feasible or design.dead or is_repeat:
        return 0
    return design.macs * info.train * epochs


def share_key(genotype: Genotype, training_seed: int) -> bytes:
    """What must be new for a result to be paid, as 32 bytes."""
    if not 0 <= training_seed < SEED_BOUND:
        raise ValueError(f"training seed {training_seed} is outside 0 to 2**63 - 1")
    return blake("ponas/pool/share", genotype.to_bytes(), u64(training_seed))
