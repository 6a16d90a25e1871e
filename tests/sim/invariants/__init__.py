"""What always holds in a simulated world, by the numbers of the consensus reference, section I."""

from tests.sim.invariants.commits import InTimeIsCertified, PromisedBefore, SealedUntilListed
from tests.sim.invariants.money import EscrowSettled, NumbersFit, ValueKept, WashCosts
from tests.sim.invariants.progress import GoesOn, Heals
from tests.sim.invariants.replay import Replays
from tests.sim.invariants.results import BestWins, CheapChecks, Fresh, TrueResults
from tests.sim.invariants.safety import NobodyFramed, OneHistory, OneJustified

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
    Fresh,
    GoesOn,
    Heals,
    WashCosts,
    EscrowSettled,
    CheapChecks,
    Replays,
    NumbersFit,
)
