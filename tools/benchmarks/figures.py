from nas.bench.figures import *  # noqa: F403
from nas.bench.figures import Clock as Clock
