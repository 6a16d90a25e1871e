"""What of a share is paid, by name: who only reads receipts need not load the engine."""

from __future__ import annotations

from enum import StrEnum


class Worth(StrEnum):
    """What of a share is paid, and why not more."""

    FULL = "full"
    UNTRAINED = "untrained"
    REPEATED = "repeated"
    REPEATED_MODEL = "repeated-model"
    REUSED_WEIGHTS = "reused-weights"
    NOT_REPEATABLE = "not-repeatable"
