"""Seeds within a training: what is random in an epoch follows from job and number alone.

So an epoch can be repeated without those before it, which is what an audit does.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum


class Draw(StrEnum):
    """What is drawn: the images' order and moves, or what the network draws (dropout)."""

    IMAGES = "images"
    NOISE = "noise"


def epoch_seed(seed: int, epoch: int, draw: Draw) -> int:
    """A seed in [0, 2**63): BLAKE2b over `seed` in [0, 2**63), `epoch` (from 0) and the draw.

    Raises OverflowError for numbers out of range.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"ponas epoch seed")
    digest.update(seed.to_bytes(8, "little") + epoch.to_bytes(4, "little") + draw.encode())
    return int.from_bytes(digest.digest(), "little") >> 1
