"""Steering a node over the socket in its folder, by the commands an operator has."""

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


def never(subject: str) -> bool:
    """Of a node that has banned nobody."""
    return False


def say(folder: Path, *words: str) -> Result:
    """What `ponas miner` answers about the miner in a folder."""
    return CliRunner().invoke(main, ["miner", *words, "--data-dir", str(folder)])


async def conversation(
    miner: FakeMiner, folder: Path, words: Sequence[Sequence[str]]
) -> list[Result]:
    async with controlling(miner, never, DataFolder(folder).control_socket):
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
    async with controlling(FakeMiner(), never, socket):
        assert socket.is_socket()
        assert socket.stat().st_mode & 0o777 == 0o600
    assert not socket.exists()


async def test_a_folder_with_too_long_a_name_is_mined_in_without_control(tmp_path: Path) -> None:
    socket = tmp_path / ("n" * 100) / "control"
    with capture_logs() as logs:
        async with controlling(FakeMiner(), never, socket):
            assert not socket.exists()
    assert [log["event"] for log in logs] == ["no_control"]


async def test_a_node_that_does_not_mine_says_so(tmp_path: Path) -> None:
    async with controlling(None, never, DataFolder(tmp_path).control_socket):
        answers = [
            await asyncio.to_thread(say, tmp_path, word) for word in ("pause", "resume", "status")
        ]
    assert [answer.exit_code for answer in answers] == [1, 1, 1]
    assert all("This node does not mine." in answer.output for answer in answers)


async def test_who_is_banned_is_listened_to_again(tmp_path: Path) -> None:
    def unban(*words: str) -> Result:
        command = ["peers", "unban", *words, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(main, command)

    banned = {"203.0.113.9"}

    def lift(subject: str) -> bool:
        known = subject in banned
        banned.discard(subject)
        return known

    async with controlling(None, lift, DataFolder(tmp_path).control_socket):
        lifted = await asyncio.to_thread(unban, "203.0.113.9")
        again = await asyncio.to_thread(unban, "203.0.113.9")
        shown = await asyncio.to_thread(unban, "203.0.113.9", "--json")
    assert (lifted.exit_code, again.exit_code, shown.exit_code) == (0, 1, 1)
    assert "no longer banned" in lifted.output
    assert "is not banned" in again.output
    assert json.loads(shown.stdout) == {"lifted": False}
    assert unban("203.0.113.9").exit_code == ExitCode.UNREACHABLE


@pytest.mark.parametrize("leftover", [False, True])
def test_where_no_miner_runs_the_command_says_so(tmp_path: Path, leftover: bool) -> None:
    if leftover:
        DataFolder(tmp_path).control_socket.touch()

    result = say(tmp_path, "status")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "does not answer" in result.output if leftover else "No node runs in" in result.output
