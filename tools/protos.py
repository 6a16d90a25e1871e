"""Regenerates the Python code of protos/ponas/v1, which is committed beside its sources.

`python tools/protos.py` writes it in place; `--check` generates into a temporary folder
and fails if that differs from what is committed (the drift test of `make check`).
"""

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent.parent / "protos"
PACKAGE = Path("ponas/v1")
# Installed beside this Python, wherever PATH points.
PROGRAMS = Path(sys.executable).parent
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(output: Path) -> None:
    """Writes messages, stubs and type hints of every .proto file below `output`."""
    sources = sorted(str(path) for path in (PROTOS / PACKAGE).glob("*.proto"))
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"--python_out={output}",
            f"--grpc_python_out={output}",
            f"--mypy_out={output}",
            f"--mypy_grpc_out={output}",
            *(f"--plugin={name}={PROGRAMS / name}" for name in PLUGINS),
            *sources,
        ]
    )
    if code != 0:
        sys.exit(code)


def drifted() -> list[str]:
    """Names of generated files that differ from the committed ones, either way."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, committed = Path(folder) / PACKAGE, PROTOS / PACKAGE
        names = {path.name for root in (fresh, committed) for path in root.glob("*_pb2*")}
        _, different, missing = filecmp.cmpfiles(fresh, committed, sorted(names), shallow=False)
        return sorted(different + missing)


def main() -> None:
    """Command line: regenerate, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the committed code is stale")
    if not parser.parse_args().check:
        generate(PROTOS)
    elif stale := drifted():
        sys.exit(f"stale generated code: {', '.join(stale)}; run `python tools/protos.py`")


if __name__ == "__main__":
    main()
