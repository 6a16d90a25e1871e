"""What a search is, apart from how long it goes on and who computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fpga_model.layer import MAX_MACS
from nas.data.datasets import content_hash
from nas.designs.space import Space, space_to_object
from nas.task import Task
from nas.training.protocol import EDITION


@dataclass(frozen=True)
class Plan:
    """The same plan gives the same trials on the same kind of device.

    `dataset` is a name of `nas.data.datasets`, `strategy` one of `nas.strategies.registry`,
    `profile` one of `fpga_model.profile`; a design is trained for `epochs` under `protocol`;
    everything random comes from `seed`, in [0, 2**63). `device` is `cpu` or `cuda[:n]`.
    """

    dataset: str
    space: Space
    strategy: str
    epochs: int
    profile: str
    protocol: str
    seed: int
    device: str

    @property
    def task(self) -> Task:
        """The search as its workers see it; nobody else has to verify it, so MACs are unbounded.

        Raises TaskError for an unknown protocol or less than one epoch.
        """
        return Task(self.dataset, self.space, self.protocol, self.epochs, self.profile, MAX_MACS)

    def to_object(self) -> dict[str, Any]:
        """For JSON, with the hash of the data and the edition of the protocol's rules.

        Raises DatasetError for data that is not there.
        """
        return {
            "dataset": self.dataset,
            "dataset_hash": content_hash(self.dataset),
            "space": space_to_object(self.space),
            "strategy": self.strategy,
            "epochs": self.epochs,
            "profile": self.profile,
            "protocol": self.protocol,
            "edition": EDITION,
            "seed": self.seed,
            "device": self.device,
        }
