"""Which entries of a share log no honest manager pays: what a phantom member's would look like.

By the rules of `pool.rules.worth` and `pool.records.seen`, as far as the log alone shows them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from pool.proofs.findings import Finding, Kind
from pool.proofs.sharelog import Page, Share

MostWork = Callable[[int, Share], int | None]
"""The most work that an entry of a round is worth; None if the round's task is not known."""


def audit_entries(pages: Iterable[Page], most_work: MostWork) -> Iterator[Finding]:
    """At most one finding of a kind for each round; every page counts once."""
    paid: defaultdict[int, list[Share]] = defaultdict(list)
    for page in pages:
        paid[page.round] += (share for share in page.shares if share.work)
    before: frozenset[bytes] = frozenset()
    for number, shares in sorted(paid.items()):
        if dear := sum(_is_too_dear(share, most_work(number, share)) for share in shares):
            detail = f"{dear:,} entries are credited more than the full price of their training"
            yield Finding(Kind.ENTRY_TOO_DEAR, number, detail)
        models = Counter(share.model_hash for share in shares)
        if repeats := _repeats(shares) + _excess(models) + len(before & models.keys()):
            detail = f"{repeats:,} trainings or models were paid before"
            yield Finding(Kind.PAID_TWICE, number, detail)
        before = frozenset(models) or before


def _is_too_dear(share: Share, most: int | None) -> bool:
    # Without a model there is nothing to pay for, whatever the task.
    return not share.model_hash or not share.epochs or (most is not None and share.work > most)


def _repeats(shares: Sequence[Share]) -> int:
    # One round is one protocol, and no other round has its seeds.
    return _excess(Counter((share.genotype, share.training_seed, share.epochs) for share in shares))


def _excess(counts: Counter[bytes] | Counter[tuple[bytes, int, int]]) -> int:
    return counts.total() - len(counts)
