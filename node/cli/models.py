"""`ponas retrain` and `ponas export`: from a design to a model. What they need is imported then."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpga_model.profile import PROFILES
from nas.jobs import SEED_BOUND
from nas.task import PROTOCOLS
from nas.training.protocol import REWARD_SPLITS, Protocol, RewardRule

if TYPE_CHECKING:
    from nas.data.dataset import Dataset
    from nas.training.retrain import Retrained


@click.command()
@click.argument("genotype_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--data",
    "dataset",
    default="digits",
    show_default=True,
    help="Data set: digits, cifar10, mnist, folder:PATH or arrays:FILE.npz.",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default=Protocol.QAT.value,
    show_default=True,
    help="How the design is trained: qat rounds in training, ptq after it, compat as the authors.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=30, show_default=True, help="Passes over the data."
)
@click.option(
    "--reward",
    "reward_rule",
    type=click.Choice([rule.value for rule in RewardRule]),
    help="Rule for the reward; by default that of the protocol.",
)
@click.option(
    "--split",
    "reward_split",
    type=click.Choice(REWARD_SPLITS),
    default="validation",
    show_default=True,
    help="Images that the reward counts; test only to reproduce the authors.",
)
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="paper",
    show_default=True,
    help="Hardware limits that the report judges by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, SEED_BOUND - 1),
    default=0,
    show_default=True,
    help="All that is random comes from it.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda[:n].")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for model.bin, weights.safetensors and report.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def retrain(
    genotype_file: Path,
    dataset: str,
    protocol: str,
    epochs: int,
    reward_rule: str | None,
    reward_split: str,
    profile: str,
    seed: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    """Train the design in GENOTYPE_FILE and keep the model.

    The file is JSON: {"layers": [{"kernel_height": 3, ...}, ...]}, each layer with its ten
    hyperparameters by name. Test images are counted once, at the end, whatever the reward counts.
    """
    import torch

    from nas.designs.genotype_json import genotype_from_json
    from nas.execution.device import resolve_device
    from nas.training import retrain as retraining
    from node.cli.progress import best_so_far

    # As in a search's workers, so that the same seed gives the same bytes.
    torch.set_num_threads(1)
    try:
        device = resolve_device(device)
        genotype = genotype_from_json(genotype_file.read_text("utf-8"))
        task = retraining.task_for(
            genotype, dataset, protocol, epochs, profile, reward_rule, reward_split
        )
        with best_so_far(epochs, is_shown=not as_json) as advance:
            found = retraining.retrain(
                task, genotype, seed, device, lambda: False, time.perf_counter, advance
            )
        retraining.save(found, out)
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(f"{error}.") from None
    if as_json:
        click.echo(json.dumps(found.report))
        return
    report = found.report
    if not report["hardware"]["feasible"]:
        click.echo(f"Infeasible under {profile}: {report['hardware']['detail']}.", err=True)
    for what, part in ((f"reward ({reward_split})", "reward"), ("test", "test")):
        correct, images = report[part]["correct"], report[part]["images"]
        click.echo(f"{what}: {correct} of {images} images, {correct / images:.2%}")
    click.echo(f"{report['seconds']:.1f} s; model {report['model_hash'][:16]} in {out}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--images",
    type=click.IntRange(1),
    help="Test images to compare on; by default all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def export(folder: Path, images: int | None, as_json: bool) -> None:
    """Write model.onnx and state.pt beside the model that `ponas retrain` left in FOLDER.

    model.bin is the canonical form and stays. The ONNX model is run by onnxruntime and compared
    with the exact evaluation image by image: while float32 holds every sum of the convolutions,
    no logit may differ; otherwise the images that do are counted.
    """
    import torch

    from nas.training import retrain as retraining

    torch.set_num_threads(1)
    try:
        found = retraining.read(folder)
        dataset = _dataset_of(found.report)
        torch.save(retraining.torch_state(found, dataset), folder / "state.pt")
        comparison = _export_onnx(found, dataset, folder, images)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is missing: pip install 'ponas[onnx]'.") from None
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(f"{error}.") from None
    if as_json:
        click.echo(json.dumps(comparison))
    else:
        click.echo(f"wrote {folder / 'model.onnx'} and {folder / 'state.pt'}")
        bound = "holds" if comparison["float32_exact"] else "does not hold"
        click.echo(
            f"{comparison['differing']} of {comparison['images']} images differ; "
            f"the float32 bound {bound}"
        )
    if comparison["float32_exact"] and comparison["differing"]:
        raise click.ClickException("onnxruntime differs although float32 holds every sum.")


def _dataset_of(report: dict[str, Any]) -> Dataset:
    """The very data that the design was trained on. Raises ValueError for a report without."""
    from nas.data import datasets

    try:
        name, key = report["dataset"], report["key"]
        pin, _ = key["data"], Protocol(key["protocol"])
        plain = name.removesuffix(f"@{pin}")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the report does not say how the design was trained: {error}") from error
    return datasets.load(f"{plain}@{pin}")


def _export_onnx(
    found: Retrained, dataset: Dataset, folder: Path, images: int | None
) -> dict[str, int | bool]:
    from nas.evaluation import evaluate, onnx_model
    from nas.evaluation.model_format import unpack
    from nas.training import retrain as retraining

    genotype = retraining.genotype_of(found)
    model = unpack(found.model, genotype, dataset.shape, dataset.classes)
    data = onnx_model.to_onnx(model, genotype, dataset)
    (folder / "model.onnx").write_bytes(data)
    pixels = dataset.test.images[:images]
    codes = evaluate.input_codes(dataset, "test", "cpu")[:images]
    exact = evaluate.logits(model, genotype, codes, lambda: False)
    found_logits = onnx_model.run_onnx(data, pixels)
    return {
        "images": len(pixels),
        "differing": onnx_model.differing_images(found_logits, exact),
        "float32_exact": onnx_model.convolutions_are_exact(model, genotype),
    }
