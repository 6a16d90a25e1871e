"""What a manager that has stopped left on its disk: its share log, and all that happened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.chain.genesis import Network
from node.clock import SystemClock
from node.folder import open_data_folder
from node.store.base import Table
from node.store.rocks import open_store
from node.store.writer import InlineWriter
from node.tasks import TaskOwner
from pool.manager.journal import Journal
from pool.proofs.sharelog import open_page, share_hash
from pool.records.events import (
    AnyEvent,
    BackupActivated,
    ExploitationGiven,
    LeaseGranted,
    Left,
    Restarted,
    ResultAccepted,
    RoundOpened,
)


@dataclass(frozen=True)
class Remains:
    """`shares` are the entries of the whole share log by hash, `events` those of the journal."""

    shares: Counter[bytes]
    events: Sequence[AnyEvent]

    def count(self, *kinds: type[AnyEvent]) -> int:
        """Events of these kinds."""
        return sum(isinstance(event, kinds) for event in self.events)

    def searches(self) -> Sequence[Sequence[tuple[int, int]]]:
        """Of each search the episodes in the order of acceptance, each as (life, episode): lives
        of the manager are counted by its restarts."""
        life, search_of, of_round = 0, dict[int, int](), dict[int, list[tuple[int, int]]]()
        searches = []
        for event in self.events:
            match event:
                case Restarted():
                    life += 1
                case RoundOpened():
                    of_round = {}
                case LeaseGranted() | BackupActivated():
                    search_of[event.assignment] = event.search
                    if event.search not in of_round:
                        searches.append(of_round.setdefault(event.search, []))
                case ResultAccepted() if event.assignment in search_of:
                    of_round[search_of[event.assignment]].append((life, event.episode))
        return searches

    def leases(self) -> Sequence[tuple[int, int]]:
        """Searches leased to a miner before and after each restart that it came back from in
        time."""
        held, lost, pairs = dict[bytes, int](), dict[bytes, int](), []
        for event in self.events:
            match event:
                case RoundOpened():
                    held, lost = {}, {}
                case Restarted():
                    held, lost = {}, held
                case Left() | ExploitationGiven():
                    held.pop(event.miner, None)
                    lost.pop(event.miner, None)
                case LeaseGranted():
                    held[event.miner] = event.search
                    if event.miner in lost:
                        pairs.append((lost.pop(event.miner), event.search))
        return pairs


def remains_of(folder: Path, network: Network) -> Remains:
    """What is on the disk of a manager, by its data folder."""
    store = open_store(open_data_folder(folder).store, network.id)
    journal = Journal(store, InlineWriter(store), SystemClock(), TaskOwner())
    pages = [open_page(data, hash_) for hash_, data in store.scan(Table.SHARE_PAGES)]
    entered = [share for page in pages for share in page.shares]
    entered += journal.state.books.page.shares
    events = [event for _, event in journal.read(1)]
    store.close()
    return Remains(Counter(map(share_hash, entered)), events)
