"""The terms of a task in the words of the search engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from nas.data.published import PublishedData
from nas.designs.design import Design, judge
from nas.designs.genotype import Genotype, GenotypeError
from nas.designs.shapes import InputShape
from nas.designs.space import Space
from nas.task import Task
from node.chain.errors import Reason
from node.chain.published.terms import Publish

TRIES = 10_000
"""Designs drawn in search of feasible ones."""


def training_data(terms: Publish) -> PublishedData:
    """The images that a task is trained on."""
    return PublishedData(
        training=terms.training,
        shape=InputShape(len(terms.channels), terms.height, terms.width),
        classes=terms.classes,
        train=terms.train_images,
        validation=terms.validation_images,
        test=terms.test_images,
        scales=tuple((channel.mean, channel.deviation) for channel in terms.channels),
    )


def shard_data(terms: Publish, shard: int) -> PublishedData:
    """The images of an opened test shard."""
    return replace(training_data(terms), shard=terms.shards[shard].plain)


def task_of(terms: Publish, max_mac_images: int) -> Task:
    """The search that a task asks for. Raises ValueError for terms that the engine can't serve."""
    return Task(
        dataset=training_data(terms).name,
        space=Space.uniform(terms.layers, [tuple(each.values) for each in terms.ranges]),
        protocol=terms.protocol.decode("ascii"),
        epochs=terms.epochs,
        profile=terms.profile.decode("ascii"),
        max_mac_images=max_mac_images,
    )


def draw_designs(task: Task) -> Iterator[Design]:
    """Feasible designs of the task's space that are not dead, the same at each call.

    Ends after TRIES draws, most of which may have been of others.
    """
    rng = random.Random(0)
    for _ in range(TRIES):
        design = judge(task.space.sample(rng), task)
        if design.feasible and not design.dead:
            yield design


def refuse_terms(terms: Publish, max_mac_images: int) -> tuple[Reason, str] | None:
    """Why the engine can't serve a task, or None: TASK_ENGINE for a space, profile or protocol that
    it does not know, TASK_WITNESS for a witness that is no feasible design (consensus C7)."""
    try:
        task = task_of(terms, max_mac_images)
        verdict = judge(Genotype.from_bytes(terms.witness), task)
    except GenotypeError as error:
        return Reason.TASK_WITNESS, str(error)
    except ValueError as error:
        return Reason.TASK_ENGINE, str(error)
    if verdict.dead:
        return Reason.TASK_WITNESS, "the witness has the same output for every image"
    if verdict.reason is not None:
        return Reason.TASK_WITNESS, verdict.detail
    return None
