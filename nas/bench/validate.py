"""How many images full nodes evaluate for the claims of a round, by kind of liar (consensus D3).

Labels are drawn so that the models are as accurate as said, without any training: those of the
honest model follow its own answers but for an exact part of the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from nas.bench.designs import by_macs, full_task, never, random_designs
from nas.bench.figures import Figure
from nas.data import datasets
from nas.data.dataset import Dataset, Split
from nas.designs.genotype import Genotype
from nas.evaluation.evaluate import input_codes, logits
from nas.evaluation.model_format import pack, unpack
from nas.evaluation.verify import Standing, verify
from nas.jobs import Count, Counted, Verify
from nas.networks.float_network import FloatNetwork

WRONG_PERCENT = 7
"""Images of a hundred that the honest model gets wrong."""

BOLD_PERCENT = 99

Answers = npt.NDArray[np.bool_]
"""Which images a model classifies correctly."""


@dataclass(frozen=True)
class _Candidate:
    """A model with what it gets right."""

    genotype: Genotype
    model: bytes
    answers: Answers

    @property
    def correct(self) -> int:
        return int(self.answers.sum())


@dataclass(frozen=True)
class _Claim:
    candidate: _Candidate
    claimed: int


@dataclass(frozen=True)
class _Walk:
    """Images evaluated for the claims of a round, and at least necessary."""

    evaluated: int
    bound: int


def _bold(_: _Candidate, random: Sequence[_Candidate], claims: int, images: int) -> list[_Claim]:
    return [
        _Claim(random[number % len(random)], images * BOLD_PERCENT // 100)
        for number in range(claims)
    ]


def _uniform(good: _Candidate, _: Sequence[_Candidate], claims: int, images: int) -> list[_Claim]:
    step = (images - good.correct) / claims
    return [_Claim(good, images - round(step * number)) for number in range(claims)]


def _shifted(by: int) -> Profile:
    def profile(good: _Candidate, _: Sequence[_Candidate], claims: int, __: int) -> list[_Claim]:
        return [_Claim(good, good.correct + by)] * claims

    return profile


Profile = Callable[[_Candidate, Sequence[_Candidate], int, int], list[_Claim]]
"""Claims, best first, of the honest model and of random ones: so many, among so many images."""

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "bold": _bold,
        "uniform": _uniform,
        "subtle": _shifted(1),
        "understated": _shifted(-1),
        "honest tie": _shifted(0),
    }
)


def measure_validate(dataset: str, walked: int, seed: int) -> Figure:
    """Full evaluations that the worst of five kinds of liars costs, of at most `walked` models.

    Each kind sends one claim more than are walked. The figure tells how far the images evaluated
    exceed what any checker has to evaluate that goes through them in their order.
    """
    task = full_task(dataset, "ptq", epochs=1)
    designs = by_macs(task, random_designs(task, 16, seed))[-4:]
    images, good, random = _cast(datasets.load(dataset), designs, seed)
    size = len(images.test.labels)
    walks = {
        name: _walk(profile(good, random, walked + 1, size)[:walked], images)
        for name, profile in PROFILES.items()
    }
    spread = ", ".join(
        f"{name} {walk.evaluated / size:.3g} ({walk.evaluated / walk.bound - 1:+.1%})"
        for name, walk in walks.items()
    )
    return Figure(
        name="validate",
        value=max(walk.evaluated for walk in walks.values()) / size,
        unit="evaluations",
        n=sum(walk.evaluated for walk in walks.values()),
        seed=seed,
        spread=f"evaluations a round (and images beyond the least possible): {spread}",
        floor=f"{walked} claims of one too many or too few are clear only at their last images",
    )


def _walk(claims: Sequence[_Claim], images: Dataset) -> _Walk:
    """Evaluate claims until one stands."""
    evaluated = bound = 0
    for claim in claims:
        count = Count(images.name, "test", claim.candidate.genotype, claim.candidate.model)
        found = verify(Verify(count, claim.claimed), images, "cpu", never)
        bound += _least_images(claim)
        if isinstance(found, Counted):
            return _Walk(evaluated + found.size, bound)
        evaluated += found.evaluated
    return _Walk(evaluated, bound)


def _least_images(claim: _Claim) -> int:
    """Images after which a claim falls if they come one by one; all if it stands."""
    answers = claim.candidate.answers
    standing = Standing(len(answers), claim.claimed)
    for right in answers:
        if standing.is_refuted:
            break
        standing = standing.after(1, int(right))
    return standing.seen


def _cast(
    images: Dataset, designs: Sequence[Genotype], seed: int
) -> tuple[Dataset, _Candidate, list[_Candidate]]:
    """The data with labels of which the first design's model gets the stated part right, that
    model, and the others, which are right by chance."""
    models = [_start_model(design, images, seed) for design in designs]
    codes = input_codes(images, "test", "cpu")
    answers = [
        logits(unpack(model, design, images.shape, images.classes), design, codes, never).argmax(1)
        for model, design in zip(models, designs, strict=True)
    ]
    labels, rng = answers[0].astype(np.uint8), np.random.default_rng(seed)
    wrong = rng.choice(len(labels), len(labels) * WRONG_PERCENT // 100, replace=False)
    labels[wrong] = (labels[wrong] + 1) % images.classes
    good, *random = (
        _Candidate(design, model, found == labels)
        for design, model, found in zip(designs, models, answers, strict=True)
    )
    splits = dict(images.splits) | {"test": Split(images.test.images, labels)}
    return replace(images, splits=splits), good, random


def _start_model(design: Genotype, images: Dataset, seed: int) -> bytes:
    generator = torch.Generator().manual_seed(seed)
    network = FloatNetwork(design, images.shape, images.classes, generator).eval()
    return pack(network.export(design), design, images.shape, images.classes)
