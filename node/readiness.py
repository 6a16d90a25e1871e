"""Why a node must not sign now, or take no chain from peers yet."""

from dataclasses import replace

from node.consensus.bootstrap import Bootstrap
from node.consensus.chain import Chain
from node.consensus.dissent import Dissent
from node.net.drift import ClockVerdict, judge_clock
from node.net.peers import PeerNet

SPLIT = "the sides of a fork have drawn different seats; their operators have to choose a side"

DISSENT = (
    "more than a third of the bonded weight votes for a chain that excludes the final block here; "
    "the operators have to choose a side"
)


class Readiness:
    """Asks the chain, what bonded keys hold of it, the peers, whose clocks tell of this node's, and
    the bootstrap if there is one."""

    def __init__(
        self, chain: Chain, dissent: Dissent, peers: PeerNet, bootstrap: Bootstrap | None
    ) -> None:
        self._chain = chain
        self._dissent = dissent
        self._peers = peers
        self._bootstrap = bootstrap

    def holds_history_back(self) -> bool:
        """Whether blocks of peers have to wait."""
        return self._bootstrap is not None and self._bootstrap.looks_for_state

    def why_silent(self) -> str:
        """Why this node must not sign now; empty if it may."""
        return self.why_lost() or self._clock().reason

    def why_lost(self) -> str:
        """Why the chain here may not be the network's, whatever the clock says; empty if it is."""
        if self._bootstrap is not None and (alone := self._bootstrap.why_silent):
            return alone
        if damage := self._chain.backlog.reason:
            return damage
        if self._chain.tree.is_split():
            return SPLIT
        return DISSENT if self._dissent.is_strong() else ""

    def judge(self) -> ClockVerdict:
        """What is known of this node's clock, with whatever keeps it from signing."""
        return replace(self._clock(), reason=self.why_silent())

    def _clock(self) -> ClockVerdict:
        round_ms = self._chain.network.parameters.timing.round_ms
        return judge_clock(self._peers.clock_offsets_ms(), round_ms)
