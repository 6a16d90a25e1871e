"""Steering a miner over the socket in its folder, by the commands an operator has."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from node.cli.client import main
from node.control import controlling
from node.errors import ExitCode
from node.folder import DataFolder
from pool.miner.miner import MinerStatus

WORKING = MinerStatus("works on assignment 3 of round 2", False, False, "a:1", 4)
PAUSED = replace(WORKING, activity="idle: paused by its operator", is_idle=True, is_paused=True)


class FakeMiner:
    """A miner that is at once where it is sent."""

    def __init__(self) -> None:
        self.status = WORKING

    def pause(self) -> None:
        self.status = PAUSED

    def resume(self) -> None:
        self.status = WORKING


def say(folder: Path, *words: str) -> Result:
    """What `ponas miner` answers about the miner in a folder."""
    return CliRunner().invoke(main, ["miner", *words, "--data-dir", str(folder)])


async def conversation(
    miner: FakeMiner, folder: Path, words: Sequence[Sequence[str]]
) -> list[Result]:
    async with controlling(miner, DataFolder(folder).control_socket):
        return [await asyncio.to_thread(say, folder, *each) for each in words]


async def test_a_miner_is_paused_and_resumed(tmp_path: Path) -> None:
    miner = FakeMiner()
    words = (["pause"], ["status", "--json"], ["resume"], ["status"])

    paused, seen, resumed, working = await conversation(miner, tmp_path, words)

    assert "paused by its operator" in paused.output
    assert json.loads(seen.output) == {
        "activity": PAUSED.activity,
        "idle": True,
        "paused": True,
        "pool": "a:1",
        "unacknowledged": 4,
    }
    assert WORKING.activity in working.output
    codes = [result.exit_code for result in (paused, seen, resumed, working)]
    assert codes == [0, 1, 0, 0], "only the status of an idle miner fails"


async def test_the_socket_is_its_owners_alone_and_goes_with_the_miner(tmp_path: Path) -> None:
    socket = DataFolder(tmp_path).control_socket
    socket.touch()  # as a crash leaves one
    async with controlling(FakeMiner(), socket):
        assert socket.is_socket()
        assert socket.stat().st_mode & 0o777 == 0o600
    assert not socket.exists()


async def test_a_folder_with_too_long_a_name_is_mined_in_without_control(tmp_path: Path) -> None:
    socket = tmp_path / ("n" * 100) / "control"
    with capture_logs() as logs:
        async with controlling(FakeMiner(), socket):
            assert not socket.exists()
    assert [log["event"] for log in logs] == ["no_control"]


async def test_other_nodes_have_no_control(tmp_path: Path) -> None:
    socket = DataFolder(tmp_path).control_socket
    async with controlling(None, socket):
        assert not socket.exists()


@pytest.mark.parametrize("leftover", [False, True])
def test_where_no_miner_runs_the_command_says_so(tmp_path: Path, leftover: bool) -> None:
    if leftover:
        DataFolder(tmp_path).control_socket.touch()

    result = say(tmp_path, "status")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "does not answer" in result.output if leftover else "No miner runs in" in result.output
