"""Golden images, logits and counts: the file changes only by a deliberate run of its tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nas.data.datasets import load
from nas.evaluation.evaluate import count
from nas.jobs import Count
from tools.data_vectors import GENOTYPE, NAME, PATH, compute_data

VECTORS: dict[str, Any] = json.loads(Path(PATH).read_text())
MODEL = bytes.fromhex(VECTORS["model"])


def test_images_and_logits_are_the_golden_ones() -> None:
    assert compute_data(MODEL) == VECTORS


def test_a_node_counts_the_golden_model_as_the_file_says() -> None:
    counted = count(Count(NAME, "test", GENOTYPE, MODEL), load(NAME), "cpu", lambda: False)
    assert counted.correct == VECTORS["correct test images"]
    assert counted.logits_hash.hex() == VECTORS["logits_hash"]
