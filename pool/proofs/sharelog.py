"""The share log: all results that a pool has accepted, in pages that anybody can ask for by hash.

Each page names the one before, so the hash of the newest stands for the whole log. A page ends when
it is full and when the pool commits; that last one of a round holds the terms of the payout, from
which `pool.proofs.recount` computes the lines again (consensus F2). Fields and numbers are those of
`SharePage`, `Share`, `Forfeited`, `Held` and `PayoutTerms` in pool_service.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

from node.chain.codec import MAX_UINT32, Bytes, RepeatedMessage, Uint, decode, encode
from node.chain.errors import NotCanonical
from node.chain.hashing import HASH_BYTES, blake
from node.chain.messages import MAX_GENOTYPE_BYTES

PAGE_SHARES = 1_024
"""Shares of a full page."""

MAX_FORFEITS = 1_024
"""Forfeits of a page; one more ends it."""

MAX_HELD = 1_024
"""Miners whose work a page says is held back; more of them fill further pages."""

MAX_REASON_BYTES = 64

MAX_PAGE_BYTES = 1 << 20
"""A page of 1,024 shares, forfeits and miners held back, each as long as can be, is shorter."""

FIRST_PAGE = bytes(HASH_BYTES)
"""What the first page of a log names as the one before."""


class ShareLogError(ValueError):
    """Bytes that are no page, or pages that are no log; the message says why."""


class Share(msgspec.Struct, frozen=True, gc=False):
    """One accepted result and the work it was credited with.

    `assignment` and `episode` make it unlike any other of the pool; `address` is paid for it. The
    other fields are the result's (`Result` in pool_service.proto), `model_hash` empty without a
    model. `work` is in the unit of `pool.rules.prices`.
    """

    miner: Annotated[bytes, Bytes(1)]
    address: Annotated[bytes, Bytes(2)]
    assignment: Annotated[int, Uint(3)]
    episode: Annotated[int, Uint(4, MAX_UINT32)]
    genotype: Annotated[bytes, Bytes(5, 1, MAX_GENOTYPE_BYTES)]
    training_seed: Annotated[int, Uint(6)]
    epochs: Annotated[int, Uint(7, MAX_UINT32)]
    correct: Annotated[int, Uint(8, MAX_UINT32)]
    size: Annotated[int, Uint(9, MAX_UINT32)]
    model_hash: Annotated[bytes, Bytes(10, 0)]
    work: Annotated[int, Uint(11)]


@dataclass(frozen=True)
class Forfeited:
    """A miner has lost its work in the window: all shares before this place in the log.

    `after` counts the shares of the same page that come before.
    """

    miner: Annotated[bytes, Bytes(1)]
    reason: Annotated[bytes, Bytes(2, 1, MAX_REASON_BYTES)]
    after: Annotated[int, Uint(3, PAGE_SHARES)]


@dataclass(frozen=True)
class Held:
    """So many of a miner's shares with work, the newest, are left out of a commitment's lines.

    No audit speaks for them yet. They count for later commitments that don't hold them back.
    """

    miner: Annotated[bytes, Bytes(1)]
    shares: Annotated[int, Uint(2, MAX_UINT32)]


@dataclass(frozen=True)
class Terms:
    """How a round's work becomes payout lines: finder's and manager's address, and the fee."""

    finder: Annotated[bytes, Bytes(1)]
    manager: Annotated[bytes, Bytes(2)]
    fee_permille: Annotated[int, Uint(3, MAX_UINT32)]


@dataclass(frozen=True)
class Page:
    """A part of one round's log. `terms` holds one entry in the page that the pool committed to,
    and `held` is of the commitment that has its terms in this page or the first one after it."""

    pool: Annotated[bytes, Bytes(1)]
    round: Annotated[int, Uint(2)]
    before: Annotated[bytes, Bytes(3)]
    shares: Annotated[tuple[Share, ...], RepeatedMessage(4, PAGE_SHARES, Share)] = ()
    forfeits: Annotated[tuple[Forfeited, ...], RepeatedMessage(5, MAX_FORFEITS, Forfeited)] = ()
    terms: Annotated[tuple[Terms, ...], RepeatedMessage(6, 1, Terms)] = ()
    held: Annotated[tuple[Held, ...], RepeatedMessage(7, MAX_HELD, Held)] = ()


def share_hash(share: Share) -> bytes:
    """What a receipt names; 32 bytes. Raises NotCanonical if a field is out of bounds."""
    return blake("ponas/pool/share-entry", encode(share))


def pack_page(page: Page) -> tuple[bytes, bytes]:
    """Hash and canonical bytes of a page. Raises NotCanonical if a field is out of bounds."""
    data = encode(page)
    return page_hash(data), data


def page_hash(data: bytes) -> bytes:
    """The hash by which a page is asked for and which the next one names; 32 bytes."""
    return blake("ponas/pool/share-page", data)


def open_page(data: bytes, expected: bytes) -> Page:
    """The page with a known hash, from anybody's bytes. Raises ShareLogError."""
    if len(data) > MAX_PAGE_BYTES:
        raise ShareLogError(f"a page has at most {MAX_PAGE_BYTES} bytes, not {len(data)}")
    if page_hash(data) != expected:
        raise ShareLogError("the bytes are not the page that was asked for")
    try:
        page = decode(Page, data)
    except NotCanonical as error:
        raise ShareLogError(f"no page: {error}") from error
    places = [forfeit.after for forfeit in page.forfeits]
    if places != sorted(places) or max(places, default=0) > len(page.shares):
        raise ShareLogError("forfeits stand in the order of their places in the page")
    return page


def check_chain(pages: Sequence[Page], hashes: Sequence[bytes]) -> None:
    """Whether pages, given from old to new with their hashes, are one pool's log without a gap.

    Raises ShareLogError.
    """
    for at in range(1, len(pages)):
        if pages[at].before != hashes[at - 1]:
            raise ShareLogError(f"page {at} does not follow on the page before")
        if pages[at].pool != pages[0].pool or pages[at].round < pages[at - 1].round:
            raise ShareLogError(f"page {at} is of another pool or an earlier round")
