"""The authors' training loop, written from the description of it (nas.md 1.2 to 1.4).

What its speed comes from is kept: modules of PyTorch called one by one, images collated one by one
by a loader, the loss and the hits read after every step, every epoch judged by a quantised pass
over all test images in floating point. Images are in memory, and one process loads them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from nas.data.dataset import Dataset
from nas.designs.genotype import Genotype, Layer
from nas.designs.shapes import HIDDEN, features, layer_shapes
from nas.evaluation.evaluate import input_codes
from nas.networks.float_network import CLASSIFIER_DROPOUT, DROPOUT_RATES
from nas.networks.quantise import INPUT, Grid, signed, unsigned
from nas.networks.windows import pad_same

BATCH = 128
RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 5e-4


def train(design: Genotype, dataset: Dataset, epochs: int, seed: int) -> float:
    """Mean accuracy on the test images after the last five epochs."""
    torch.manual_seed(seed)
    network = _ChildNetwork(design, dataset)
    optimiser = torch.optim.SGD(
        network.parameters(), RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    loaders = {
        split: DataLoader(_in_memory(dataset, split), BATCH, shuffle=split == "train")
        for split in ("train", "test")
    }
    accuracies = []
    for _ in range(epochs):
        network.train()
        _run_epoch(network, loaders["train"], optimiser)
        network.eval()
        with torch.no_grad():
            accuracies.append(_run_epoch(network, loaders["test"], None))
    return sum(accuracies[-5:]) / len(accuracies[-5:])


def _in_memory(dataset: Dataset, split: str) -> TensorDataset:
    images = input_codes(dataset, split, "cpu") * INPUT.step
    return TensorDataset(images, torch.tensor(dataset.split(split).labels, dtype=torch.int64))


def _run_epoch(
    network: _ChildNetwork,
    loader: DataLoader[tuple[torch.Tensor, ...]],
    optimiser: torch.optim.Optimizer | None,
) -> float:
    """Accuracy of one pass, which trains if there is an optimiser."""
    right, seen, total_loss = 0, 0, 0.0
    for images, labels in loader:
        logits = network(images)
        loss = functional.cross_entropy(logits, labels)
        if optimiser is not None:
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        total_loss += loss.item() * len(labels)
        right += int((logits.argmax(1) == labels).sum().item())
        seen += len(labels)
    return right / seen


class _ChildNetwork(nn.Module):
    """In training a floating-point network; in evaluation its numbers are rounded to formats."""

    def __init__(self, design: Genotype, dataset: Dataset) -> None:
        super().__init__()
        self._genes = design.layers
        sizes = layer_shapes(design, dataset.shape)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(
                size.in_channels,
                gene.num_kernels,
                (gene.kernel_height, gene.kernel_width),
                (gene.stride_height, gene.stride_width),
            )
            for gene, size in zip(design.layers, sizes, strict=True)
        )
        self.dropouts = nn.ModuleList(
            nn.Dropout(DROPOUT_RATES[number % len(DROPOUT_RATES)])
            for number in range(len(design.layers))
        )
        self.fc1 = nn.Linear(features(design, dataset.shape), HIDDEN)
        self.dropout = nn.Dropout(CLASSIFIER_DROPOUT)
        self.fc2 = nn.Linear(HIDDEN, dataset.classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [n, classes] of images [n, channels, height, width]."""
        maps = images
        for gene, module, dropout in zip(
            self._genes, self.convolutions, self.dropouts, strict=True
        ):
            maps = dropout(self._layer(gene, module, maps))
        hidden = functional.relu(self.fc1(maps.flatten(1)))
        logits: torch.Tensor = self.fc2(self.dropout(hidden))
        return logits

    def _layer(self, gene: Layer, module: nn.Module, maps: torch.Tensor) -> torch.Tensor:
        weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
        stride = (gene.stride_height, gene.stride_width)
        padded = pad_same(maps, (gene.kernel_height, gene.kernel_width), stride)
        if self.training:
            sums = functional.conv2d(padded, weight, bias, stride)
        else:
            grid = signed(gene.weight_int_bits, gene.weight_frac_bits)
            sums = functional.conv2d(padded, _round(weight, grid), _round(bias, grid), stride)
            sums = _round(sums, unsigned(gene.act_int_bits, gene.act_frac_bits))
        maps = functional.relu(sums)
        if gene.pool_size == 1:
            return maps
        window = (gene.pool_size, gene.pool_size)
        return functional.max_pool2d(pad_same(maps, window, window), gene.pool_size)


def _round(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    rounded = torch.round(values / grid.step) * grid.step
    return rounded.clamp(grid.low * grid.step, grid.high * grid.step)
