"""What a training takes on the reference core: the unit that all work of a pool is counted in.

One unit of work is a nanosecond of one reference core. Multiply-accumulates alone would pay a large
design up to fifty times better than a small one for the same time, since small ones are bound by
their steps (consensus F3). So the price of a training image is read from a measured table.
"""

from __future__ import annotations

from bisect import bisect_right

PRICES = (
    (4_096, 51_000),
    (16_384, 77_000),
    (65_536, 130_000),
    (262_144, 210_000),
    (1_048_576, 500_000),
    (4_194_304, 1_100_000),
    (16_777_216, 4_000_000),
)
"""Multiply-accumulates of a design an image, nanoseconds a training image and epoch.

Medians of `qat` training on one core, docs/benchmarks/work-prices.md. Between two classes the
price is interpolated, above the last it goes on as steep, below the first it stays: no step that a
design could be made to sit on.
"""

_SIZES = tuple(macs for macs, _ in PRICES)

EVALUATION_PARTS = 3
"""An evaluated image is a third of a training image: forward, without the two passes back."""


def price_of(macs: int) -> int:
    """Nanoseconds that the reference core trains an image of a design, by PRICES."""
    at = bisect_right(_SIZES, macs)
    if at == 0:
        return PRICES[0][1]
    at = min(at, len(PRICES) - 1)
    (low, low_price), (high, high_price) = PRICES[at - 1], PRICES[at]
    return low_price + (macs - low) * (high_price - low_price) // (high - low)


def class_of(macs: int) -> int:
    """The class of a design's size: how often four divides its multiply-accumulates an image."""
    return max(0, macs.bit_length() - 1) // 2
