"""What server and miners of a measurement agree on."""

from __future__ import annotations

from node.chain.params import DEVNET
from node.consensus.designs import NasDesigns

NETWORK_ID = bytes(32)
TASK = NasDesigns(DEVNET).standing

WHOLE_MS = 3_600_000
"""A train phase that outlasts every measurement."""
