"""What always holds in a simulated world, by the numbers of the consensus reference, section I."""

from tests.sim.invariants.commits import InTimeIsCertified, PromisedBefore, SealedUntilListed
from tests.sim.invariants.effort import CheapChecks
from tests.sim.invariants.luck import NoEdge
from tests.sim.invariants.money import EscrowSettled, NumbersFit, ValueKept, WashCosts
from tests.sim.invariants.pools import BooksAreTrue
from tests.sim.invariants.progress import GoesOn, Heals
from tests.sim.invariants.replay import Replays
from tests.sim.invariants.results import BestWins, Fresh, TrueResults
from tests.sim.invariants.safety import NobodyFramed, OneHistory, OneJustified
from tests.sim.invariants.size import StateStaysSmall

INVARIANTS = (
    ValueKept,
    OneHistory,
    OneJustified,
    PromisedBefore,
    SealedUntilListed,
    TrueResults,
    BestWins,
    InTimeIsCertified,
    NobodyFramed,
    GoesOn,
    Heals,
    WashCosts,
    EscrowSettled,
    Fresh,
    NoEdge,
    CheapChecks,
    StateStaysSmall,
    Replays,
    NumbersFit,
    BooksAreTrue,
)
