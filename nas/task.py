"""A task: what a searcher, a trainer and a verifier must know about the search at hand."""

from __future__ import annotations

from dataclasses import dataclass

from fpga_model.layer import MAX_MACS
from nas.space import Space

# How a design is trained and quantised; rewards of different protocols are never compared.
PROTOCOLS = ("qat",)


class TaskError(ValueError):
    """Values that are no task."""


@dataclass(frozen=True)
class Task:
    """The search at hand.

    `dataset` is a name of `nas.datasets`, `profile` one of `fpga_model.profile`. `epochs` is the
    training a design gets. `max_mac_images` bounds the exact evaluation that every verifier must
    do: multiply-accumulates per image, classifier included, times the images of the test split.

    Raises TaskError for an unknown protocol, epochs below 1, or a bound outside 1 to 2**48.
    """

    dataset: str
    space: Space
    protocol: str
    epochs: int
    profile: str
    max_mac_images: int

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise TaskError(
                f"no protocol is called {self.protocol!r}; there are {', '.join(PROTOCOLS)}"
            )
        if self.epochs < 1:
            raise TaskError(f"a task needs at least 1 epoch, not {self.epochs}")
        # Beyond MAX_MACS the hardware model could not price what the bound admits.
        if not 1 <= self.max_mac_images <= MAX_MACS:
            raise TaskError(f"max_mac_images must be 1 to {MAX_MACS}, not {self.max_mac_images}")
