"""Where figures were measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("ponas", "numpy", "torch", "grpcio", "rocksdict")
_MIB = 1 << 20


@dataclass(frozen=True)
class Machine:
    """What figures depend on beside the code."""

    hardware: Mapping[str, str | int | float]
    versions: Mapping[str, str]


def this_machine() -> Machine:
    """This machine as it is now; `load_1min` counts what else keeps it busy."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        hardware={
            "cpu": cpu_model(Path("/proc/cpuinfo").read_text().splitlines()),
            "cores": os.cpu_count() or 1,
            "memory_mib": pages // _MIB,
            "load_1min": round(os.getloadavg()[0], 2),
        },
        versions={"python": platform.python_version()} | _installed(_PACKAGES),
    )


def cpu_model(lines: Sequence[str]) -> str:
    """The processor's name in the lines of /proc/cpuinfo; its architecture if it has none."""
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _installed(packages: Sequence[str]) -> dict[str, str]:
    """Versions of those packages that are here; a machine that only trains needs few."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
