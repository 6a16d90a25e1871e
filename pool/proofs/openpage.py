"""The page of the share log that a manager still writes on: a record, and how it changes."""

from __future__ import annotations

from itertools import chain

import msgspec

from pool.proofs.sharelog import (
    FIRST_PAGE,
    MAX_FORFEITS,
    MAX_REASON_BYTES,
    PAGE_SHARES,
    Forfeited,
    Held,
    Page,
    Share,
    Terms,
    pack_page,
)

SHEET_SHARES = 32
"""About the square root of PAGE_SHARES."""


class OpenPage(msgspec.Struct, frozen=True, gc=False):
    """Shares and forfeits of the current round since page `before` was closed.

    There are `count` shares, the newest in `last` and those before in `sheets` of SHEET_SHARES, so
    that one more share does not copy them all.
    """

    before: bytes = FIRST_PAGE
    count: int = 0
    sheets: tuple[tuple[Share, ...], ...] = ()
    last: tuple[Share, ...] = ()
    forfeits: tuple[Forfeited, ...] = ()

    @property
    def shares(self) -> tuple[Share, ...]:
        """All shares, old to new."""
        return (*chain.from_iterable(self.sheets), *self.last)

    @property
    def is_full(self) -> bool:
        """Whether the page has to be closed before more is entered."""
        return self.count >= PAGE_SHARES or len(self.forfeits) >= MAX_FORFEITS

    @property
    def is_empty(self) -> bool:
        """Whether nothing was entered yet."""
        return not self.count and not self.forfeits


def with_share(page: OpenPage, share: Share) -> OpenPage:
    """The page with one more accepted result. Raises ValueError for a full page."""
    _check_room(page)
    sheets, last = page.sheets, (*page.last, share)
    if len(last) == SHEET_SHARES:
        sheets, last = (*sheets, last), ()
    return OpenPage(page.before, page.count + 1, sheets, last, page.forfeits)


def with_forfeit(page: OpenPage, miner: bytes, reason: str) -> OpenPage:
    """The page after a miner has lost its work; `reason` is a stable word.

    Raises ValueError for a full page, or a reason that is no ASCII.
    """
    _check_room(page)
    lost = Forfeited(miner, reason.encode("ascii")[:MAX_REASON_BYTES], page.count)
    return msgspec.structs.replace(page, forfeits=(*page.forfeits, lost))


def close_page(
    page: OpenPage,
    pool: bytes,
    round_number: int,
    terms: Terms | None = None,
    held: tuple[Held, ...] = (),
) -> tuple[bytes, bytes, OpenPage]:
    """Hash and bytes of the page, and the empty one that follows.

    A page is closed when it is full, when its round ends, and with the `terms` when the pool
    commits: its hash is the `share_log` of the notices. `pool` is the manager's key, `held` are at
    most MAX_HELD miners whose work the commitment leaves out.
    """
    entries = () if terms is None else (terms,)
    closed = Page(pool, round_number, page.before, page.shares, page.forfeits, entries, held)
    hash_, data = pack_page(closed)
    return hash_, data, OpenPage(before=hash_)


def _check_room(page: OpenPage) -> None:
    if page.is_full:
        raise ValueError("the page is full and has to be closed first")
