"""The text form of a checkpoint: ROUND:ID."""

import re

from node.chain.state import Checkpoint

_FORM = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})", re.IGNORECASE)


def parse_checkpoint(text: str) -> Checkpoint:
    """A final block as `ponas status` shows it.

    Raises:
        ValueError: it is none.
    """
    if not (match := _FORM.fullmatch(text)):
        raise ValueError(f"{text!r} is not ROUND:ID with an id of 64 hexadecimal digits")
    return Checkpoint(int(match[1]), bytes.fromhex(match[2]))


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """What `parse_checkpoint` reads."""
    return f"{checkpoint.round}:{checkpoint.id.hex()}"
