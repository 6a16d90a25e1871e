"""Machines that break rules on purpose, one script a class (list at the end of section I of the
consensus reference).

A script is a `tests.sim.world.Hack`: it changes a node each time it starts. Those of
`SPLITTING` can keep the honest from agreeing in a round; they keep still while a world rests, for
then progress is asked for. All others may go on for ever.
"""

from collections.abc import Mapping

from tests.sim.adversaries.attesters import (
    DataLiar,
    LateLister,
    LaxLister,
    LazyVoter,
    ListEquivocator,
    ListWithholder,
    VoteEquivocator,
    VoteForger,
    VoteHoarder,
    VoteWithholder,
)
from tests.sim.adversaries.peers import Flooder, Muffler
from tests.sim.adversaries.producers import (
    Copier,
    Crook,
    HalfServer,
    HeaderEquivocator,
    Insider,
    LateCommitter,
    ModelWithholder,
    Perturber,
    SaltGrinder,
    Sniper,
    boast,
    overstate,
    understate,
)
from tests.sim.adversaries.publishers import Impossible, SelectiveServer, Washer
from tests.sim.adversaries.secrets import SealVetoer, SecretLeaker, SecretWithholder
from tests.sim.world import Hack

ATTESTERS: Mapping[str, Hack] = {
    "vote equivocator": VoteEquivocator(),
    "vote withholder": VoteWithholder(),
    "vote hoarder": VoteHoarder(),
    "lazy voter": LazyVoter(),
    "list equivocator": ListEquivocator(),
    "list withholder": ListWithholder(),
    "late lister": LateLister(),
    "lax lister": LaxLister(),
    "seal withholder": SecretWithholder(),
    "seal leaker": SecretLeaker(),
    "seal vetoer": SealVetoer(),
    "data liar": DataLiar(),
    "muffler": Muffler(),
    "flooder": Flooder(),
    "vote forger": VoteForger(),
}
PRODUCERS: Mapping[str, Hack] = {
    "liar, bold": Crook(boast),
    "liar, subtle": Crook(overstate),
    "understater": Crook(understate),
    "late committer": LateCommitter(),
    "withholder of models": ModelWithholder(),
    "server of half": HalfServer(),
    "header equivocator": HeaderEquivocator(),
    "sniper": Sniper(),
    "copier": Copier(),
    "copier, perturbing": Perturber(),
    "grinder of salts": SaltGrinder(),
    "insider": Insider(),
    "flooder": Flooder(),
}
PUBLISHERS: Mapping[str, Hack] = {
    "wash publisher": Washer(),
    "impossible target": Impossible(),
    "selective data": SelectiveServer(),
    "key withholder": SecretWithholder(),
    "key leaker": SecretLeaker(),
}
