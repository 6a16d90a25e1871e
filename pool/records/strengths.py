"""How strong a miner is; apart from the state, since whoever reads settings needs it too."""

from enum import StrEnum


class Strength(StrEnum):
    """Miner types of the paper (section 3.2.2), and `auto` for a miner that lets us measure."""

    WEAK = "weak"
    STRONG = "strong"
    AUTO = "auto"
