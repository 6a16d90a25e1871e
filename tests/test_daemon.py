"""The process around a node: signals, exit codes, and what it loads before it must."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from node.cli.daemon import run_daemon
from node.config import Config, Role
from node.errors import ExitCode, ListenError


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


async def _serve_nothing(config: Config, stop: asyncio.Event) -> None:
    assert config.role is Role.FULL


def test_a_node_that_ends_by_itself_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_daemon(["--role", "full"], _serve_nothing) == ExitCode.OK
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_node_in_order(number: signal.Signals) -> None:
    ended: list[str] = []

    async def serve(config: Config, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        ended.append("in order")

    assert run_daemon(["--role", "full"], serve) == ExitCode.OK
    assert ended == ["in order"]


def test_a_second_signal_forces_the_end_but_lets_clean_up_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended: list[str] = []

    async def serve(config: Config, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    assert run_daemon(["--role", "full"], serve) == ExitCode.FORCED
    assert ended == ["cleaned up"]
    assert capsys.readouterr().err.endswith(
        "ponas-node: stopped at once, without an orderly stop\n"
    )


def test_an_operators_failure_is_one_sentence_with_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def serve(config: Config, stop: asyncio.Event) -> None:
        raise ListenError("can't listen on 127.0.0.1:7700: the port is in use")

    assert run_daemon(["--role", "full"], serve) == ExitCode.LISTEN
    assert capsys.readouterr().err == (
        "ponas-node: can't listen on 127.0.0.1:7700: the port is in use\n"
    )


def test_a_fault_of_ours_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def serve(config: Config, stop: asyncio.Event) -> None:
        raise KeyError("tip")

    assert run_daemon(["--role", "full", "--log-format", "json"], serve) == ExitCode.INTERNAL
    log, sentence = capsys.readouterr().err.splitlines()
    assert '"event": "internal_error"' in log
    assert sentence == "ponas-node: internal error: KeyError('tip'); the log has the details"


def _ponas_node(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from node.cli.daemon import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--role", "boss"), 2, "ponas-node: Invalid value for '--role': "),
        (("--role", "full", "--network", "moon"), 3, "ponas-node: --network moon is neither "),
    ],
)
def test_the_command_answers_bad_input_with_one_line_and_its_code(
    arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = _ponas_node(*arguments)
    assert done.returncode == code
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_reading_the_options_loads_nothing_heavy() -> None:
    heavy = ("torch", "sklearn", "grpc", "rocksdict")
    code = f"import sys, node.cli.daemon; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
