"""A folder of images goes through publish, mining by real processes, download and verification."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from nas.data.datasets import load
from node.chain.genesis import Endowment, Network, first_bonds, network_to_json
from node.chain.params import FAST
from node.cli.client import main
from node.clock import SystemClock
from node.identity import Identity
from tests.node_process import NodeProcess
from tests.test_app_mining import TIMING, make_identity

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PARAMETERS = replace(FAST, name="tasks", timing=TIMING, max_units=1, max_walked=4)
REWARD = 2 * PARAMETERS.subsidy
STARTUP_MS = 8_000


def write_images(root: Path) -> None:
    """The digits as picture files, as somebody might have them."""
    data = load("digits")
    for part, split, most in (("train", data.train, 1_000), ("test", data.test, 200)):
        for number in range(min(most, len(split.labels))):
            folder = root / part / str(split.labels[number])
            folder.mkdir(parents=True, exist_ok=True)
            pixels = split.images[number, 0].astype(np.uint8) * 15
            Image.fromarray(pixels, "L").save(folder / f"{number}.png")


def write_network(path: Path, publisher: Identity, miner: Identity) -> None:
    network = Network(
        parameters=PARAMETERS,
        genesis_time_ms=SystemClock().now_ms() + STARTUP_MS - TIMING.round_ms,
        bonds=first_bonds(PARAMETERS, {publisher.public_key: 8}, {miner.public_key: 1}),
        accounts=(Endowment(publisher.public_key, 10 * REWARD),),
    )
    path.write_text(network_to_json(network))


async def ponas(*words: str) -> Result:
    """`ponas task` with these words, beside the running nodes."""
    result = await asyncio.to_thread(CliRunner().invoke, main, ["task", *words])
    assert result.exit_code == 0, result.output
    return result


async def test_a_folder_of_images_is_published_won_downloaded_and_verified(tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    file, full_folder = tmp_path / "network.json", tmp_path / "full"
    publisher, miner_key = make_identity(full_folder), make_identity(tmp_path / "miner")
    place = ("--data-dir", str(full_folder), "--network", str(file))
    write_network(file, publisher, miner_key)
    wishes = ("--reward", str(REWARD), "--epochs", "5")
    await ponas("prepare", str(tmp_path / "images"), "digits", *wishes, *place)
    options = ("--network", str(file), "--role")
    with (
        NodeProcess(full_folder, *options, "full") as full,
        NodeProcess(tmp_path / "miner", *options, "miner", "--peer", await full.address()) as miner,
    ):
        await miner.address()
        node = ("--node", await full.address())
        task_id = (await ponas("publish", "digits", "--yes", *place, *node)).output.split()[-1]
        results: list[dict[str, object]] = []
        while not results or not results[-1]["final"]:
            await asyncio.sleep(2)
            listed = CliRunner().invoke(main, ["task", "result", task_id, "--json", *node])
            results = json.loads(listed.stdout)["results"] if listed.exit_code == 0 else []
        await ponas("download", task_id, str(tmp_path / "won"), *place, *node)
        verified = await ponas("verify", task_id, "digits", *place, *node)
        assert miner.events("task_held")
    correct = results[-1]["correct"]
    assert f"{correct} of 200 correct, as claimed" in verified.output
    assert (tmp_path / "won" / "model.bin").stat().st_size > 0
    assert json.loads((tmp_path / "won" / "result.json").read_text())["correct"] == correct
