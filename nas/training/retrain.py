"""Training one chosen design to keep: its model, its float weights, and what they are worth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fpga_model.layer import MAX_MACS
from nas.data import datasets
from nas.data.cache import write_whole
from nas.designs.design import Design, judge
from nas.designs.genotype import Genotype
from nas.designs.genotype_json import genotype_from_json, genotype_to_object
from nas.designs.space import Space
from nas.evaluation import evaluate
from nas.evaluation.model_format import model_length
from nas.execution.cancel import ShouldStop
from nas.jobs import Count, Train, result_key
from nas.networks import weights
from nas.networks.float_network import FloatNetwork
from nas.networks.network import Network
from nas.task import Task
from nas.training.protocol import Protocol
from nas.training.snapshots import OnEpoch
from nas.training.train import train

MODEL_FILE = "model.bin"
WEIGHTS_FILE = "weights.safetensors"
REPORT_FILE = "report.json"


class RetrainError(ValueError):
    """A folder that holds no retrained design, or one of other data."""


@dataclass(frozen=True)
class Retrained:
    """What a training left behind. `report` is ready for JSON and holds the genotype."""

    model: bytes
    weights: bytes
    report: dict[str, Any]


def task_for(
    genotype: Genotype,
    dataset: str,
    protocol: str,
    epochs: int,
    profile: str,
    reward_rule: str | None,
    reward_split: str,
) -> Task:
    """A task whose space is the one design; nobody else has to verify it, so MACs are unbounded.

    Raises TaskError and SpaceError.
    """
    space = Space(tuple(tuple((value,) for value in layer.tokens) for layer in genotype.layers))
    return Task(dataset, space, protocol, epochs, profile, MAX_MACS, reward_rule, reward_split)


def retrain(
    task: Task,
    genotype: Genotype,
    seed: int,
    device: str,
    should_stop: ShouldStop,
    clock: Callable[[], float],
    on_epoch: OnEpoch | None = None,
) -> Retrained:
    """Train a design from scratch and count its test images once, with the model handed out.

    An infeasible design is trained all the same, and the report says why it is one; but formats
    that no model has are refused at once. Raises what `nas.training.train.train` raises,
    ModelFormatError, EvaluationError and DatasetError.
    """
    dataset = datasets.load(task.dataset)
    model_length(genotype, dataset.shape, dataset.classes)
    evaluate.check_activations(genotype)
    job = Train(task, genotype, seed, task.epochs, None)
    trained = train(job, dataset, device, should_stop, clock, on_epoch=on_epoch)
    count = Count(task.dataset, "test", genotype, trained.model)
    counted = evaluate.count(count, dataset, device, should_stop)
    key = result_key(job, dataset.content_hash, device)
    report = genotype_to_object(genotype) | {
        "dataset": task.dataset,
        **dataset.info.sizes_to_object(),
        "key": asdict(key),
        "key_digest": key.digest,
        "reward": {"correct": trained.correct, "images": trained.size},
        "test": {"correct": counted.correct, "images": counted.size},
        "model_hash": hashlib.blake2b(trained.model, digest_size=32).hexdigest(),
        "logits_hash": counted.logits_hash.hex(),
        "hardware": _hardware(judge(genotype, task), task.profile),
        "seconds": round(trained.seconds, 3),
        "torch": torch.__version__,
    }
    return Retrained(trained.model, trained.weights, report)


def save(retrained: Retrained, folder: Path) -> None:
    """Write MODEL_FILE, WEIGHTS_FILE and REPORT_FILE; the report last."""
    write_whole(folder / MODEL_FILE, [retrained.model])
    write_whole(folder / WEIGHTS_FILE, [retrained.weights])
    text = json.dumps(retrained.report, indent=2) + "\n"
    write_whole(folder / REPORT_FILE, [text.encode()])


def read(folder: Path) -> Retrained:
    """Inverse of `save`. Raises RetrainError for a folder that `save` did not fill."""
    try:
        model = (folder / MODEL_FILE).read_bytes()
        floats = (folder / WEIGHTS_FILE).read_bytes()
        report = json.loads((folder / REPORT_FILE).read_text("utf-8"))
        digest = report["model_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RetrainError(f"{folder} holds no retrained design: {error}") from error
    if hashlib.blake2b(model, digest_size=32).hexdigest() != digest:
        raise RetrainError(f"{folder / MODEL_FILE} is not the model of the report beside it")
    return Retrained(model, floats, report)


def genotype_of(retrained: Retrained) -> Genotype:
    """The design. Raises GenotypeError for a report without one."""
    return genotype_from_json(json.dumps(retrained.report))


def torch_state(retrained: Retrained, dataset: datasets.Dataset) -> dict[str, torch.Tensor]:
    """The checked state of `nas.networks.network.Network` or, under `ptq`, of FloatNetwork.

    Raises WeightsError for weights of another design.
    """
    genotype = genotype_of(retrained)
    is_qat = retrained.report["key"]["protocol"] == Protocol.QAT
    make = Network if is_qat else FloatNetwork
    network = make(genotype, dataset.shape, dataset.classes, torch.Generator())
    weights.restore(network, retrained.weights)
    return network.state_dict()


def _hardware(design: Design, profile: str) -> dict[str, Any]:
    return {
        "profile": profile,
        "feasible": design.feasible,
        "detail": design.detail,
        "luts": design.luts,
        "images_per_s": design.images_per_s,
        "macs": design.macs,
    }
