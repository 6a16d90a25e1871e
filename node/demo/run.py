"""Runs a demo from the first process to the report."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nacl.utils import random as random_bytes
from rich.console import Console
from rich.live import Live

from node.chain.genesis import Network, network_to_json
from node.chain.params import Parameters
from node.chain.timing import round_start
from node.clock import Clock
from node.demo import layout
from node.demo.processes import DemoError, Launch, Processes
from node.demo.report import Report, is_complete, judge
from node.demo.view import Names, news, render, render_report
from node.demo.watch import Snapshot, Watcher, connect
from node.keyfile import create_identity

T = TypeVar("T")

_LISTEN_LIMIT_MS = 60_000
_POLL_MS = 100
_LOOK_EVERY_MS = 1_000
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Demo:
    """What to run: until `wanted` blocks are won, with `program` as the command of a node.

    The data folder stays if `keep` is set, and when something failed.
    """

    wanted: int
    keep: bool
    parameters: Parameters
    program: Sequence[str]
    clock: Clock
    console: Console


def run_demo(demo: Demo) -> Report | None:
    """Run a whole network and judge it; None if a signal stopped it.

    No process is left behind, whatever happens.

    Raises:
        DemoError: a node ended by itself, or did not start.
    """
    root = Path(tempfile.mkdtemp(prefix="ponas-demo-"))
    is_kept = True
    try:
        report = asyncio.run(_until_signal(_play(demo, root)))
        is_kept = demo.keep or not report.ok
    except asyncio.CancelledError:
        is_kept = demo.keep
        return None
    finally:
        if is_kept:
            demo.console.print(f"Keys, chains and logs are in {root}", soft_wrap=True)
        else:
            shutil.rmtree(root)
    return report


async def _until_signal(work: Coroutine[Any, Any, T]) -> T:
    """Cancel the work when the user or the system asks for an end."""
    task = asyncio.ensure_future(work)
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _play(demo: Demo, root: Path) -> Report:
    network, names = _prepare(demo, root)
    # Settings for other nodes must not leak into these.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PONAS_")}
    with Processes(environment) as processes, _screen(demo, names, network) as show:
        addresses = await _start(demo, root, processes)
        async with connect(addresses) as stubs:
            accounts = [name for name in names if name.startswith("pn")]
            watcher = Watcher(stubs, layout.FIRST.name, layout.MANAGER.name, accounts)
            await _follow(demo, watcher, network, processes, show)
            evidence = await watcher.collect({m.name: m.role for m in layout.MEMBERS})
    report = judge(evidence, demo.wanted, demo.parameters.subsidy)
    demo.console.print(render_report(report, names))
    return report


def _prepare(demo: Demo, root: Path) -> tuple[Network, Names]:
    """Make keys and genesis; the names are those of the members by address and by public key."""
    public_keys = {}
    names: dict[str, str] = {}
    for member in layout.MEMBERS:
        folder = layout.data_folder(root, member)
        folder.path.mkdir(mode=0o700)
        identity = create_identity(folder.key_file, None, random_bytes)
        public_keys[member.name] = identity.public_key
        names |= {identity.address: member.name, identity.public_key.hex(): member.name}
    network = layout.make_network(demo.parameters, public_keys, demo.clock.now_ms())
    layout.network_file(root).write_text(network_to_json(network))
    return network, names


@contextmanager
def _screen(
    demo: Demo, names: Names, network: Network
) -> Iterator[Callable[[Snapshot, Snapshot], None]]:
    """Shows the step from one look to the next: live in a terminal, line by line elsewhere."""
    if not demo.console.is_terminal:

        def print_news(before: Snapshot, after: Snapshot) -> None:
            for line in news(before, after, names):
                demo.console.print(line, soft_wrap=True, highlight=False)

        yield print_news
        return
    view = render(Snapshot(), names, network, demo.clock.now_ms())
    with Live(view, console=demo.console, auto_refresh=False) as live:
        yield lambda _, after: live.update(
            render(after, names, network, demo.clock.now_ms()), refresh=True
        )


async def _start(demo: Demo, root: Path, processes: Processes) -> dict[str, str]:
    """Start all nodes, those first that others dial; returns HOST:PORT by node name."""
    addresses: dict[str, str] = {}
    for group in layout.START_ORDER:
        for member in group:
            command = [*demo.program, *layout.options(member, root, addresses)]
            processes.start(Launch(member.name, command, layout.log_file(root, member)))
        for member in group:
            file = layout.data_folder(root, member).address_file
            limit_ms = demo.clock.now_ms() + _LISTEN_LIMIT_MS
            while not file.exists():
                processes.check()
                if demo.clock.now_ms() > limit_ms:
                    raise DemoError(f"{member.name} does not listen, long after its start.")
                await demo.clock.sleep_until(demo.clock.now_ms() + _POLL_MS)
            addresses[member.name] = file.read_text().strip()
    return addresses


async def _follow(
    demo: Demo,
    watcher: Watcher,
    network: Network,
    processes: Processes,
    show: Callable[[Snapshot, Snapshot], None],
) -> None:
    """Show what happens until the wanted blocks are won, or had twice the rounds they need."""
    limit_ms = round_start(network, 2 * demo.wanted + 2)
    names = [member.name for member in layout.MEMBERS]
    seen = Snapshot()
    while not is_complete(names, seen.statuses, seen.blocks, demo.wanted):
        if demo.clock.now_ms() > limit_ms:
            return
        await demo.clock.sleep_until(demo.clock.now_ms() + _LOOK_EVERY_MS)
        processes.check()
        before, seen = seen, await watcher.look()
        show(before, seen)
