"""Settings of the whole suite."""

import os

# Before torch is imported anywhere: one thread a process is fastest for small convolutions.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# Properties are tried on the same examples each time, and time is left to benchmarks.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
