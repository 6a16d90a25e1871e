"""The best model so far, on disk from the moment it is known."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from nas.data.cache import write_whole
from nas.data.dataset import DatasetInfo
from nas.designs.genotype_json import genotype_to_object
from nas.jobs import Trained
from nas.searching.trial import Outcome, Trial

MODEL, WEIGHTS, GENOTYPE = "best.model", "best.safetensors", "best.json"


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The trained trial with the highest reward, the earliest among equals."""
    trained = [trial for trial in trials if trial.outcome is Outcome.TRAINED]
    return max(trained, key=_rank, default=None)


class Winner:
    """Keeps in `folder` the model of the best trial: canonical bytes, float weights, genotype.

    `best` is the best trial of earlier runs. Files are written before the journal knows of the
    trial: after a crash in between, the trial is made again and the same files with it.
    """

    def __init__(self, folder: Path, best: Trial | None) -> None:
        self._folder = folder
        self._best = best

    @property
    def best(self) -> Trial | None:
        """The trial whose model is kept; its turn in the journal may still have to come."""
        return self._best

    def offer(self, trial: Trial, trained: Trained, info: DatasetInfo) -> None:
        """Keep the trial's model, trained on `info`'s data, if it is the best.

        Raises OSError from the disk.
        """
        if self._best is not None and _rank(trial) <= _rank(self._best):
            return
        self._best = trial
        write_whole(self._folder / MODEL, [trained.model])
        write_whole(self._folder / WEIGHTS, [trained.weights])
        content = genotype_to_object(trial.genotype) | info.sizes_to_object()
        content["trial"] = trial.to_object()
        write_whole(self._folder / GENOTYPE, [json.dumps(content, indent=2).encode() + b"\n"])


def _rank(trial: Trial) -> tuple[float, int]:
    return trial.reward, -trial.episode
