"""What came of one episode."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nas.designs.design import Design
from nas.designs.genotype import Genotype, GenotypeError
from nas.jobs import Trained


class TrialError(ValueError):
    """An object that is no trial."""


class Outcome(StrEnum):
    """How a trial ended."""

    TRAINED = "trained"
    DEAD = "dead"
    """Feasible, but its output is the same for every image: earns chance untrained."""
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True)
class Trial:
    """One episode, counted from 0. `correct` of `size` images are right; `reward` is in [0, 1].

    `detail` says why there was no training or no result, in one sentence. `repeats` is the earlier
    episode whose result this one takes over, because the search proposed the same design again.
    `epochs` were trained here and now, in `seconds`; `macs`, `luts` and `images_per_s` are those of
    `nas.designs.design`. `model_hash` (BLAKE2b-256) is empty without a training.
    """

    episode: int
    genotype: Genotype
    training_seed: int
    outcome: Outcome
    detail: str
    reward: float
    correct: int
    size: int
    epochs: int
    macs: int
    luts: int
    images_per_s: int
    model_hash: str
    repeats: int | None
    seconds: float

    def again(self, episode: int) -> Trial:
        """This result for a later episode that proposed the same design."""
        return dataclasses.replace(self, episode=episode, repeats=self.episode, epochs=0, seconds=0)

    def to_object(self) -> dict[str, Any]:
        """For JSON: the fields, the genotype as hexadecimal bytes."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"genotype": self.genotype.to_bytes().hex(), "outcome": str(self.outcome)}


def trial_from_object(fields: Any) -> Trial:
    """Inverse of `Trial.to_object`. Raises TrialError for anything else."""
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(("genotype", "outcome", "detail", "model_hash"), (str,)),
        **dict.fromkeys(("episode", "training_seed", "correct", "size", "epochs"), (int,)),
        **dict.fromkeys(("macs", "luts", "images_per_s"), (int,)),
        "repeats": (int, type(None)),
        **dict.fromkeys(("reward", "seconds"), (int, float)),
    }
    if not isinstance(fields, dict) or set(fields) != set(kinds):
        raise TrialError("a trial has other fields")
    for name, kind in kinds.items():
        if not isinstance(fields[name], kind) or isinstance(fields[name], bool):
            raise TrialError(f"{name} is {fields[name]!r}")
    if not 0 <= fields["correct"] <= fields["size"] or fields["size"] == 0:
        raise TrialError(f"{fields['correct']} of {fields['size']} images cannot be correct")
    if not 0 <= fields["reward"] <= 1:
        raise TrialError(f"reward {fields['reward']} is outside 0 to 1")
    try:
        genotype = Genotype.from_bytes(bytes.fromhex(fields["genotype"]))
        outcome = Outcome(fields["outcome"])
    except (GenotypeError, ValueError) as error:
        raise TrialError(str(error)) from None
    return Trial(**(fields | {"genotype": genotype, "outcome": outcome}))


def untrained(episode: int, design: Design, seed: int, correct: int, size: int) -> Trial:
    """A trial that the verdict on its design decided."""
    outcome = Outcome.DEAD if design.feasible else Outcome.INFEASIBLE
    detail = "its output is the same for every image" if design.feasible else design.detail
    return _trial(episode, design, seed, outcome, detail, correct, size)


def failed(episode: int, design: Design, seed: int, reason: str, size: int) -> Trial:
    """A trial whose training had no result; it earns nothing."""
    return _trial(episode, design, seed, Outcome.FAILED, reason, 0, size)


def trained(episode: int, design: Design, seed: int, found: Trained) -> Trial:
    """A trial with the result of its training."""
    blank = _trial(episode, design, seed, Outcome.TRAINED, "", found.correct, found.size)
    model_hash = hashlib.blake2b(found.model, digest_size=32).hexdigest()
    return dataclasses.replace(
        blank, epochs=found.epochs, model_hash=model_hash, seconds=round(found.seconds, 3)
    )


def _trial(
    episode: int, design: Design, seed: int, outcome: Outcome, detail: str, correct: int, size: int
) -> Trial:
    return Trial(
        episode=episode,
        genotype=design.genotype,
        training_seed=seed,
        outcome=outcome,
        detail=detail,
        reward=correct / size,
        correct=correct,
        size=size,
        epochs=0,
        macs=design.macs,
        luts=design.luts,
        images_per_s=design.images_per_s,
        model_hash="",
        repeats=None,
        seconds=0.0,
    )
