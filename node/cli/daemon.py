"""`ponas-node`: settings in, one node until a signal, one sentence and an exit code out."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

import structlog

from node.cli.options import PROGRAM, parse_options
from node.config import Config
from node.errors import ExitCode, NodeError
from node.log import configure_logging

# Runs a node until the event is set, then stops it in order. Failures an operator can act on are
# raised as NodeError.
Serve = Callable[[Config, asyncio.Event], Awaitable[None]]

_log = structlog.get_logger("daemon")


def main() -> None:
    """Console script `ponas-node`."""
    sys.exit(run_daemon(sys.argv[1:], _serve_node))


async def _serve_node(config: Config, stop: asyncio.Event) -> None:
    # gRPC's C++ core writes to stderr what the node says better itself; unless asked to, not here.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Not at the top: a wrong option is answered without loading gRPC and RocksDB first.
    from node.app import run

    await run(config, stop)


def run_daemon(arguments: Sequence[str], serve: Serve) -> ExitCode:
    """Parse the command line and serve until SIGINT or SIGTERM; a second one forces the end.

    Prints one sentence on stderr for every exit code but OK.
    """
    try:
        config = parse_options(arguments)
        if config is not None:
            configure_logging(config.log_format, config.log_level, sys.stderr)
            asyncio.run(_serve_until_signalled(config, serve))
    except NodeError as error:
        return _fail(error.exit_code, str(error))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return _fail(ExitCode.FORCED, "stopped at once, without an orderly stop")
    except Exception as error:
        _log.exception("internal_error")
        return _fail(ExitCode.INTERNAL, f"internal error: {error!r}; the log has the details")
    return ExitCode.OK


def _fail(code: ExitCode, sentence: str) -> ExitCode:
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return code


async def _serve_until_signalled(config: Config, serve: Serve) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    serving = asyncio.current_task()

    def on_signal(number: signal.Signals) -> None:
        if not stop.is_set():
            _log.info("stopping", signal=number.name)
            stop.set()
        elif serving is not None:
            # Cancelling still runs clean-up, so that no worker process is left behind.
            serving.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    await serve(config, stop)
