"""What a check of a manager's word can come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a manager's records don't agree on, or what its miner should know of."""

    NOT_PAID = "not-paid"
    OTHER_COMMITMENT = "other-commitment"
    OTHER_ROOT = "other-root"
    MODEL_WON_ELSEWHERE = "model-won-elsewhere"
    FINDER_DIFFERS = "finder-differs"
    FEE_DIFFERS = "fee-differs"
    NOTICE_MISSING = "notice-missing"
    LOG_MISSING = "log-missing"
    LOG_SHALLOW = "log-shallow"
    LOG_REWRITTEN = "log-rewritten"
    SHARE_MISSING = "share-missing"
    WORK_LOWERED = "work-lowered"
    WORK_BELOW_PRICE = "work-below-price"
    WORK_FORFEITED = "work-forfeited"
    HELD_BACK = "held-back"
    ENTRY_TOO_DEAR = "entry-too-dear"
    PAID_TWICE = "paid-twice"
    LINES_DIFFER = "lines-differ"


@dataclass(frozen=True)
class Finding:
    """One disagreement; `detail` is a sentence for people."""

    kind: Kind
    round: int
    detail: str
