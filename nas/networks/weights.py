"""Float weights of a network as safetensors, to train on from what somebody else found.

They come from the network, so nothing in them is trusted: size, names, shapes and number types
must be exactly those of the design's own network, and every number finite. No pickle is involved.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

State = Mapping[str, torch.Tensor]
"""Parameters and buffers of a network by name."""

HEADER_BYTES = 1 << 16
"""More than the names and shapes of the deepest network take."""


class WeightsError(ValueError):
    """Bytes that are no weights of the design at hand."""


def pack(network: nn.Module) -> bytes:
    """The state of a network as safetensors bytes."""
    return pack_state(network.state_dict())


def pack_state(state: State) -> bytes:
    """A state as safetensors bytes."""
    # Imported where it is needed: a machine that only measures training does without it.
    import safetensors.torch

    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    )


def state_of(network: nn.Module) -> State:
    """A copy of a network's state on its own device, for which nothing is waited."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def unpack(data: bytes) -> State:
    """The state in safetensors bytes. Raises WeightsError for anything else."""
    import safetensors.torch

    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"the weights are no safetensors: {error}") from error


def restore(network: nn.Module, data: bytes) -> None:
    """Load the state of a network of the same architecture, whose bits may differ.

    Raises WeightsError, and leaves the network as it was, for anything else.
    """
    own = network.state_dict()
    limit = HEADER_BYTES + sum(tensor.nbytes for tensor in own.values())
    if len(data) > limit:
        raise WeightsError(f"the weights are {len(data)} bytes long, above {limit}")
    tensors = unpack(data)
    if tensors.keys() != own.keys():
        unmatched = sorted(tensors.keys() ^ own.keys())
        raise WeightsError(f"the weights are of another design: {unmatched[0]!r} is unmatched")
    for name, tensor in tensors.items():
        _check(name, tensor, own[name])
    network.load_state_dict(tensors)


def _check(name: str, tensor: torch.Tensor, own: torch.Tensor) -> None:
    if tensor.shape != own.shape or tensor.dtype != own.dtype:
        raise WeightsError(
            f"{name} is {tensor.dtype} {list(tensor.shape)} "
            f"instead of {own.dtype} {list(own.shape)}"
        )
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{name} holds a number that is not finite")
    if name.endswith("variance") and (tensor < 0).any():
        raise WeightsError(f"{name} holds a negative variance")
