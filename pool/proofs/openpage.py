"""The page of the share log that a manager still writes on: a record, and how it changes."""

from __future__ import annotations

import msgspec

from pool.proofs.sharelog import (
    FIRST_PAGE,
    MAX_FORFEITS,
    MAX_REASON_BYTES,
    PAGE_SHARES,
    Forfeited,
    Page,
    Share,
    Terms,
    pack_page,
)


class OpenPage(msgspec.Struct, frozen=True):
    """Shares and forfeits of the current round since page `before` was closed."""

    before: bytes = FIRST_PAGE
    shares: tuple[Share, ...] = ()
    forfeits: tuple[Forfeited, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether the page has to be closed before more is entered."""
        return len(self.shares) >= PAGE_SHARES or len(self.forfeits) >= MAX_FORFEITS

    @property
    def is_empty(self) -> bool:
        """Whether nothing was entered yet."""
        return not self.shares and not self.forfeits


def with_share(page: OpenPage, share: Share) -> OpenPage:
    """The page with one more accepted result. Raises ValueError for a full page."""
    _check_room(page)
    return OpenPage(page.before, (*page.shares, share), page.forfeits)


def with_forfeit(page: OpenPage, miner: bytes, reason: str) -> OpenPage:
    """The page after a miner has lost its work; `reason` is a stable word.

    Raises ValueError for a full page, or a reason that is no ASCII.
    """
    _check_room(page)
    lost = Forfeited(miner, reason.encode("ascii")[:MAX_REASON_BYTES], len(page.shares))
    return OpenPage(page.before, page.shares, (*page.forfeits, lost))


def close_page(
    page: OpenPage, pool: bytes, round_number: int, terms: Terms | None = None
) -> tuple[bytes, bytes, OpenPage]:
    """Hash and bytes of the page, and the empty one that follows.

    A page is closed when it is full, when its round ends, and with the `terms` when the pool
    commits: its hash is the `share_log` of the notices. `pool` is the manager's key.
    """
    entries = () if terms is None else (terms,)
    closed = Page(pool, round_number, page.before, page.shares, page.forfeits, entries)
    hash_, data = pack_page(closed)
    return hash_, data, OpenPage(before=hash_)


def _check_room(page: OpenPage) -> None:
    if page.is_full:
        raise ValueError("the page is full and has to be closed first")
