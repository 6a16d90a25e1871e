"""A program in place of `ponas-node`: listens at once, says so, and stays until it is ended.

Its environment says what it does:

    FAKE_FIFO     told "ready" by each node, held open by nodes and workers until they end
    FAKE_ADDRESS  written as the address it listens at
    FAKE_STUBBORN set: ignores SIGTERM
    FAKE_CRASH    role of the node that exits with code 6 instead
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    print("starting", flush=True)
    if os.environ.get("FAKE_CRASH") == options["--role"]:
        print("can't listen: the port is in use", flush=True)
        sys.exit(6)
    fifo = open(os.environ["FAKE_FIFO"], "w")  # noqa: SIM115
    if "FAKE_STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A worker that outlives its node unless it is killed, but not the tests.
    worker = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "signal.alarm(90); signal.pause()"
    )
    subprocess.Popen([sys.executable, "-c", worker], pass_fds=[fifo.fileno()])
    address = Path(options["--data-dir"], "listen")
    address.with_suffix(".new").write_text(os.environ.get("FAKE_ADDRESS", "127.0.0.1:1"))
    address.with_suffix(".new").replace(address)
    fifo.write("ready\n")
    fifo.flush()
    signal.pause()


if __name__ == "__main__":
    main()
