"""The progress bar of commands that look for the best result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[float | None], None]
"""One step further, with its result in [0, 1], or None for a step without."""


@contextmanager
def best_so_far(total: int, is_shown: bool = True) -> Iterator[Advance]:
    """A bar of `total` steps on standard error with the best result and the time left.

    Only where people look: on a terminal.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    is_disabled = not (is_shown and console.is_terminal)
    with Progress(*columns, console=console, disable=is_disabled) as progress:
        bar = progress.add_task("", total=total)
        best = 0.0

        def advance(result: float | None) -> None:
            nonlocal best
            if result is not None:
                best = max(best, result)
                progress.update(bar, description=f"best {best:.4f}")
            progress.advance(bar)

        yield advance
