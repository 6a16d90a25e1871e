"""When a node may believe what it knows."""

from dataclasses import replace

import pytest

from node.chain.genesis import Network
from node.chain.params import SEALED
from node.chain.state import Checkpoint
from node.checkpoint import format_checkpoint, parse_checkpoint
from node.consensus.bootstrap import TRUSTED_ERAS, check_trust
from tests.chain_world import make_network

NOW = 10_000
TRUSTED = TRUSTED_ERAS * SEALED.era_rounds


def network(*, public: bool) -> Network:
    """A network of which only that matters."""
    return make_network(replace(SEALED, public=public))


@pytest.mark.parametrize(("rounds_ago", "is_trusted"), [(TRUSTED, True), (TRUSTED + 1, False)])
def test_a_checkpoint_must_be_recent(rounds_ago: int, is_trusted: bool) -> None:
    checkpoint = Checkpoint(NOW - rounds_ago, bytes(32))
    doubt = check_trust(network(public=False), NOW, 0, checkpoint)
    assert (doubt == "") is is_trusted
    assert is_trusted or "ask for a newer one" in doubt


@pytest.mark.parametrize(("rounds_ago", "is_trusted"), [(TRUSTED, True), (TRUSTED + 1, False)])
def test_who_knows_nothing_recent_of_a_public_network_needs_one(
    rounds_ago: int, is_trusted: bool
) -> None:
    doubt = check_trust(network(public=True), NOW, NOW - rounds_ago, None)
    assert (doubt == "") is is_trusted
    assert is_trusted or "add --checkpoint" in doubt


def test_a_local_network_is_taken_from_genesis() -> None:
    assert check_trust(network(public=False), NOW, 0, None) == ""


def test_the_text_of_a_checkpoint() -> None:
    checkpoint = Checkpoint(17, bytes(range(32)))
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint
    for wrong in ("", "17", ":" + "a" * 64, "17:abc", "-1:" + "a" * 64, "17:" + "g" * 64):
        with pytest.raises(ValueError, match="is not ROUND:ID"):
            parse_checkpoint(wrong)
