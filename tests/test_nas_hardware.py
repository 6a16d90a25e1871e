"""A genotype's hardware, and the verdicts of profiles on designs of the paper's space."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

from fpga_model.device import judge_network
from fpga_model.profile import PAPER, profile_named
from nas.designs.genotype import Genotype, Layer
from nas.designs.hardware import hardware
from nas.designs.shapes import InputShape, conv_layers
from nas.designs.space import preset

CIFAR = InputShape(3, 32, 32)
GENOTYPE = Genotype((Layer(3, 5, 24, 1, 2, 2, 3, 4, 2, 5), Layer(1, 3, 8, 2, 1, 1, 1, 6, 4, 0)))


def test_stages_know_the_map_they_read_and_the_pooling_behind() -> None:
    network = hardware(GENOTYPE, InputShape(3, 9, 8), 10)
    assert network.convolutions == conv_layers(GENOTYPE, InputShape(3, 9, 8))
    assert [stage.in_width for stage in network.stages] == [8, 2]
    assert [stage.pool_size for stage in network.stages] == [2, 1]
    assert [stage.pooled_width for stage in network.stages] == [2, 2]


def test_the_classifier_has_the_formats_of_exact_evaluation() -> None:
    hidden, logits = hardware(GENOTYPE, InputShape(3, 9, 8), 10).dense
    assert (hidden.in_channels, hidden.out_channels) == (48, 256)
    assert (logits.in_channels, logits.out_channels) == (256, 10)
    assert (hidden.act_bits, hidden.in_frac_bits, hidden.weight_bits) == (7, 6, 24)
    assert (hidden.out_bits, hidden.out_frac_bits) == (16, 10)
    assert (logits.act_bits, logits.in_frac_bits) == (16, 10)
    # Logits are the sums themselves.
    assert (logits.out_bits, logits.out_frac_bits) == (logits.accumulator_bits, 30)


def test_the_papers_verdicts_never_change() -> None:
    # Consensus rests on them: made before there were device profiles.
    rng, space = random.Random(20), preset("full")
    digest = hashlib.blake2b(digest_size=16)
    for _ in range(500):
        verdict = judge_network(hardware(space.sample(rng), CIFAR, 10), PAPER)
        groups = verdict.estimate and [
            [(tile.in_lanes, tile.out_lanes, tile.luts, tile.cycles) for tile in group.tiles]
            for group in verdict.estimate.groups
        ]
        reason = verdict.reason and verdict.reason.value
        digest.update(repr((verdict.feasible, reason, verdict.detail, groups)).encode())
    assert digest.hexdigest() == "478cbeb26241694efe88217cae536b98"


def test_the_fast_profile_refuses_designs_of_the_papers_space_and_the_paper_none() -> None:
    rng, space, fast = random.Random(3), preset("full"), profile_named("xc7z020-fast")
    reasons: Counter[str] = Counter()
    for _ in range(100):
        genotype = space.sample(rng)
        if any(0 in (layer.act_bits, layer.weight_bits) for layer in genotype.layers):
            continue
        network = hardware(genotype, CIFAR, 10)
        assert judge_network(network, PAPER).feasible
        verdict = judge_network(network, fast)
        reasons[verdict.reason.value if verdict.reason else "feasible"] += 1
    assert reasons == {"feasible": 65, "throughput": 4, "luts": 1}
