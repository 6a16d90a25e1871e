"""Carrying out training steps: operation by operation, or as one CUDA graph.

A design of `full` takes 6 TFLOP in some 11,000 steps of about 200 small kernels each: eager
PyTorch spends its time on launching them. A graph launches a whole step at once; what happens in a
step (gather, forward, backward, clip, optimiser, metrics) is the same function either way.

Rules of capture that this module keeps:

- A graph lives on the stream of the thread that made it, warmed up there, with memory of its own;
  a stream has one live graph. Graphs that share a stream share cuBLAS's workspace, and the end of
  one breaks the other (pytorch#193402).
- One capture at a time in a process, in mode `thread_local`: the other threads go on.
- Dropout draws from a generator of the training's own, which the graph moves on at each replay
  from wherever it was set.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch

Step = Callable[[torch.Tensor], None]
"""Trains on the images of a batch, given as int64 indices [n]; waits for nothing."""


class Recording(Protocol):
    """What a call does on a device."""

    def replay(self) -> None:
        """Do it."""
        ...

    def close(self) -> None:
        """Give its memory back."""
        ...


Capture = Callable[[Callable[[], None], torch.Generator | None], Recording]
"""Records what a call does on the device, without doing it."""

WARM_UP_STEPS = 3
"""Steps before a capture, in which PyTorch's libraries choose and allocate (its documentation,
"CUDA Graphs").
"""

_ONE_CAPTURE = threading.Lock()


class StepRunner(Protocol):
    """Carries out training steps in the order in which it gets them."""

    def run(self, batch: torch.Tensor) -> None:
        """Train on a batch of indices."""
        ...

    def close(self) -> None:
        """No more steps will follow."""
        ...


MakeRunner = Callable[[Step, int, str, torch.Generator | None], StepRunner]
"""From a step, the size of a full batch, a device and what the step draws noise from."""


class EagerStep:
    """Carries out each step operation by operation."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def run(self, batch: torch.Tensor) -> None:
        """Train on a batch of indices."""
        self._step(batch)

    def close(self) -> None:
        """Nothing to give back."""


class GraphStep:
    """Records the step after a few and replays it from then on.

    Batches of another size than `size` (the rest of an epoch) are carried out eagerly. `noise` is
    the generator that the step draws from, if any.
    """

    def __init__(
        self,
        step: Step,
        size: int,
        device: str,
        noise: torch.Generator | None,
        capture: Capture,
    ) -> None:
        self._step = step
        self._noise = noise
        self._capture = capture
        # A graph reads the addresses that it was recorded with, so batches come to this one.
        self._batch = torch.empty(size, dtype=torch.int64, device=device)
        self._warm_up = WARM_UP_STEPS
        self._recording: Recording | None = None

    def run(self, batch: torch.Tensor) -> None:
        """Train on a batch of indices."""
        if len(batch) != len(self._batch) or self._warm_up > 0:
            self._warm_up -= 1
            self._step(batch)
            return
        self._batch.copy_(batch)
        if self._recording is None:
            self._recording = self._capture(lambda: self._step(self._batch), self._noise)
        self._recording.replay()

    def close(self) -> None:
        """Give the recording's memory back."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None


def step_runner(
    step: Step, size: int, device: str, noise: torch.Generator | None = None
) -> StepRunner:
    """Graphs on CUDA, single operations elsewhere; `size` is that of a full batch."""
    if torch.device(device).type == "cuda":
        return GraphStep(step, size, device, noise, capture_graph)
    return EagerStep(step)


def enter_own_stream(device: str) -> None:
    """On CUDA, have the calling thread compute on a stream of its own from now on.

    PyTorch hands out 32 streams in turn, so up to 32 threads of a process get one each.
    """
    if torch.device(device).type != "cuda":
        return
    if torch.cuda.current_stream(device) == torch.cuda.default_stream(device):
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def compute_repeatably(on: bool = True) -> None:
    """Have CUDA repeat itself bit for bit, on the same device with the same versions; or not.

    For the whole process; what it costs is in docs/benchmarks.
    """
    # Read when cuBLAS starts, by PyTorch before 2.13 only.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Warnings are enough: PyTorch suspects max-pooling, whose windows here never overlap.
    torch.use_deterministic_algorithms(on, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def release_unused_memory() -> None:
    """Give the device back what no tensor holds any more; without a GPU, nothing happens."""
    # PyTorch waits for the device in this, which no capture survives.
    with _ONE_CAPTURE:
        torch.cuda.empty_cache()


class CudaRecording:
    """A CUDA graph with its memory. Closed by hand, not left to the garbage collector.

    The collector could come upon it during the capture of another, which that would not survive.
    """

    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    def replay(self) -> None:
        """Launch it on the thread's own stream."""
        self._graph.replay()

    def close(self) -> None:
        """Wait for the last replay, then free the graph."""
        torch.cuda.current_stream().synchronize()
        with _ONE_CAPTURE:
            self._graph.reset()


def capture_graph(work: Callable[[], None], noise: torch.Generator | None) -> CudaRecording:
    """Record `work` on the thread's own CUDA stream."""
    # Any: without CUDA, PyTorch has neither this method nor its type.
    graph: Any = torch.cuda.CUDAGraph()
    if noise is not None:
        graph.register_generator_state(noise)
    stream = torch.cuda.current_stream()
    with (
        _ONE_CAPTURE,
        torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
    ):
        work()
    return CudaRecording(graph)
