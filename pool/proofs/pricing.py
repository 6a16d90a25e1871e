"""The most that an entry of the share log is worth, by the task of its round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nas.data.dataset import DatasetInfo
from nas.designs.genotype import Genotype, GenotypeError
from nas.designs.shapes import macs_per_image
from pool.proofs.entries import MostWork
from pool.proofs.sharelog import Share
from pool.rules.prices import price_of


@dataclass(frozen=True)
class Training:
    """What designs of a round are trained on and for how long; see `nas.task.Task`."""

    info: DatasetInfo
    epochs: int
    max_mac_images: int


def most_work(training: Training, share: Share) -> int:
    """The full price of a share's training, in the unit of `pool.rules.prices`; 0 for a genotype
    that nobody may train. What is credited may be less (`pool.rules.worth`, `pool.rules.pace`)."""
    info = training.info
    try:
        macs = macs_per_image(Genotype.from_bytes(share.genotype), info.shape, info.classes)
    except GenotypeError:
        return 0
    if macs * info.test > training.max_mac_images:
        return 0
    return price_of(macs) * info.train * min(share.epochs, training.epochs)


def pricing(trainings: Mapping[int, Training]) -> MostWork:
    """What bounds entries of the rounds whose training is known, for `pool.proofs.entries`."""

    def most(round_number: int, share: Share) -> int | None:
        training = trainings.get(round_number)
        return None if training is None else most_work(training, share)

    return most
