"""What a block does to accounts that its body does not show: for people, no rule reads it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class MovementKind(StrEnum):
    """Why base units came to an account or left it."""

    REFUNDED = "refunded"
    """What a published task had locked came back."""
    COMPENSATED = "compensated"
    """For a certified unit in a round whose key was withheld."""
    UNBONDED = "unbonded"
    REPORTED = "reported"
    """For evidence that was taken."""
    FEES = "fees"
    """The part of the block's signer."""
    UNIT_FEE = "unit-fee"
    """Paid for a certified unit."""
    PUBLISH_FEE = "publish-fee"
    """Burnt for the place and the data of a published task."""
    TASK_BOND = "task-bond"
    """Deposited for a suspended task."""
    SWEPT = "swept"
    """Burnt with an account that fell below the deposit."""


class Movement(NamedTuple):
    """Base units of an account in one block; the kind says in which direction they went."""

    kind: MovementKind
    address: bytes
    amount: int
