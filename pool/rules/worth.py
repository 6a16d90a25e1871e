"""What of an evaluated design is paid: work that the manager computes and nobody claims.

Zero for what needs no training or was paid before; the evaluation alone for float weights re-used
under other bits and for a training that nothing shows (consensus F3).
"""

from __future__ import annotations

import msgspec

from nas.data.dataset import DatasetInfo
from nas.designs.design import Design
from nas.designs.genotype import Genotype
from nas.jobs import SEED_BOUND
from nas.training.protocol import Protocol
from node.chain.hashing import blake, u64
from pool.records.seen import Seen
from pool.rules.prices import EVALUATION_PARTS, price_of
from pool.rules.worths import Worth as Worth


class ShareKeys(msgspec.Struct, frozen=True, gc=False):
    """What must be new for a share to be paid, 32 bytes each.

    `training` names genotype, seed and protocol, `model` is the model's hash. `weights` names what
    the float weights of `ptq` and `compat` follow from, which leave out the bits; None under
    `qat`, whose training sees them.
    """

    training: bytes
    model: bytes
    weights: bytes | None

    @property
    def trainings(self) -> tuple[bytes, ...]:
        """What is remembered, beside its model, of a share that was paid."""
        return (self.training,) if self.weights is None else (self.training, self.weights)


def share_keys(
    genotype: Genotype, training_seed: int, protocol: Protocol, epochs: int, model_hash: bytes
) -> ShareKeys:
    """The keys of a trained design. Raises ValueError for a seed outside 0 to 2**63 - 1."""
    if not 0 <= training_seed < SEED_BOUND:
        raise ValueError(f"training seed {training_seed} is outside 0 to 2**63 - 1")
    how = (u64(training_seed), protocol.encode(), u64(epochs))
    weights = None
    if protocol is not Protocol.QAT:
        architecture = bytes(value for layer in genotype.architecture for value in layer)
        weights = blake("ponas/pool/share/weights", architecture, *how)
    training = blake("ponas/pool/share", genotype.to_bytes(), *how)
    return ShareKeys(training, model_hash, weights)


def worth_of(
    design: Design, epochs: int, keys: ShareKeys, paid: Seen, is_repeatable: bool
) -> Worth:
    """What of a share is paid; `paid` are the shares that were paid before.

    `epochs` are new ones, 0 for a candidate that failed or needed no training. `is_repeatable` is
    False for a share near chance whose training this manager can't repeat, because it computes in
    another precision: then nothing shows that it was trained.
    """
    if epochs == 0 or not design.feasible or design.dead:
        return Worth.UNTRAINED
    if keys.training in paid.trainings:
        return Worth.REPEATED
    if paid.has_model(keys.model):
        return Worth.REPEATED_MODEL
    if keys.weights is not None and keys.weights in paid.trainings:
        return Worth.REUSED_WEIGHTS
    return Worth.FULL if is_repeatable else Worth.NOT_REPEATABLE


def work_of(worth: Worth, design: Design, info: DatasetInfo, epochs: int) -> int:
    """Work of a share in reference nanoseconds, before its miner's pace bounds it.

    Re-used float weights and a training that can't be shown pay the evaluation after each epoch.
    """
    price = price_of(design.macs)
    match worth:
        case Worth.FULL:
            return price * info.train * epochs
        case Worth.REUSED_WEIGHTS | Worth.NOT_REPEATABLE:
            return price * info.validation * epochs // EVALUATION_PARTS
    return 0
