"""Float weights of a network as safetensors, to train on from what somebody else found.

They come from the network, so nothing in them is trusted: size, names, shapes and number types
must be exactly those of the design's own network, and every number finite. No pickle is involved.

Written here by one rule, so that equal states have equal bytes whatever the version of a library:
names in order, float32, a header without blanks but for those that fill it up to a multiple of
8 bytes (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

State = Mapping[str, torch.Tensor]
"""Parameters and buffers of a network by name."""

HEADER_BYTES = 1 << 16
"""More than the names and shapes of the deepest network take."""

STATE_HASH_BYTES = 32

_ALIGNMENT = 8
_NEVER_NEGATIVE = ("variance", "batches")


class WeightsError(ValueError):
    """Bytes that are no weights of the design at hand."""


def pack(network: nn.Module) -> bytes:
    """The state of a network as safetensors bytes."""
    return pack_state(network.state_dict())


def pack_state(state: State) -> bytes:
    """A state of float32 tensors as canonical safetensors bytes. Raises ValueError for others."""
    return b"".join(_encode(state))


def hash_state(state: State) -> bytes:
    """BLAKE2b-256 of the state's canonical bytes. Raises ValueError as `pack_state` does."""
    digest = hashlib.blake2b(digest_size=STATE_HASH_BYTES)
    for part in _encode(state):
        digest.update(part)
    return digest.digest()


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
    network.load_state_dict(unpack_like(network.state_dict(), data))


def unpack_like(own: State, data: bytes) -> State:
    """The state in safetensors bytes, with the names, shapes and types of `own`.

    Raises WeightsError for anything else, and for numbers that are not finite.
    """
    limit = HEADER_BYTES + sum(tensor.nbytes for tensor in own.values())
    if len(data) > limit:
        raise WeightsError(f"the weights are {len(data)} bytes long, above {limit}")
    tensors = unpack(data)
    if tensors.keys() != own.keys():
        unmatched = sorted(tensors.keys() ^ own.keys())
        raise WeightsError(f"the weights are of another design: {unmatched[0]!r} is unmatched")
    for name, tensor in tensors.items():
        _check(name, tensor, own[name])
    return tensors


def _encode(state: State) -> tuple[bytes, memoryview]:
    """Header and numbers."""
    fields, start = {}, 0
    for name in sorted(state):
        tensor = state[name]
        if tensor.dtype != torch.float32:
            raise ValueError(f"{name} is {tensor.dtype} instead of torch.float32")
        end = start + tensor.nbytes
        fields[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    header = json.dumps(fields, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    # Joined on the device: one transfer, and one wait, however many tensors there are.
    joined = torch.cat([state[name].detach().reshape(-1) for name in sorted(state)])
    numbers = np.ascontiguousarray(joined.cpu().numpy(), "<f4")
    return len(header).to_bytes(8, "little") + header, numbers.data.cast("B")


def _check(name: str, tensor: torch.Tensor, own: torch.Tensor) -> None:
    if tensor.shape != own.shape or tensor.dtype != own.dtype:
        raise WeightsError(
            f"{name} is {tensor.dtype} {list(tensor.shape)} "
            f"instead of {own.dtype} {list(own.shape)}"
        )
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{name} holds a number that is not finite")
    if name.endswith(_NEVER_NEGATIVE) and (tensor < 0).any():
        raise WeightsError(f"{name} holds a negative number")
