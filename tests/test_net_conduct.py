"""Points, how they fade, and the bans that come of them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.errors import InvalidBlock, Reason, Rejected
from node.net.bans import Ban, Bans
from node.net.conduct import (
    BAN_AT,
    BAN_MS,
    DROP_AT,
    HALF_LIFE_MS,
    Conduct,
    Verdict,
    blame,
    judge,
    points_for,
    score,
)
from node.net.protocol import Refusal, Refused
from tests.test_net_limits import SetClock

MALFORMED = Refused(Refusal.MALFORMED, "")
WORLD, SITE, MACHINE = "203.0.114.9:4000", "10.0.0.9:4000", "127.0.0.1:4000"
KEY, OTHER = bytes([1]) * 32, bytes([2]) * 32


@pytest.mark.parametrize(
    ("error", "points"),
    [
        (Rejected(Reason.BAD_SIGNATURE, ""), 20),
        (InvalidBlock(Reason.COUNT_DIFFERS, ""), 20),
        (Refused(Refusal.WRONG_HASH, ""), 20),
        (MALFORMED, 10),
        (Refused(Refusal.REPLAYED, ""), 2),
        # A rule that another head may break.
        (Rejected(Reason.NONCE, ""), 0),
    ],
)
def test_what_an_offence_weighs(error: Refused | Rejected, points: int) -> None:
    assert points_for(error) == points


def test_points_lose_half_their_weight_in_a_half_life() -> None:
    conduct = blame(Conduct(), MALFORMED, 1_000)
    assert score(conduct, 1_000) == 10
    assert score(conduct, 1_000 + HALF_LIFE_MS) == 5
    # A clock that was set back changes nothing.
    assert score(conduct, 0) == 10


def test_verdicts_follow_the_thresholds() -> None:
    conduct, verdicts = Conduct(), []
    for _ in range(BAN_AT // 10):
        conduct = blame(conduct, MALFORMED, 0)
        verdicts.append(judge(conduct, 0))
    assert verdicts == [Verdict.KEEP] * 4 + [Verdict.DROP] * 5 + [Verdict.BAN]
    assert judge(conduct, 2 * HALF_LIFE_MS) is Verdict.KEEP
    assert conduct.offences == {Refusal.MALFORMED: 10}


@given(st.lists(st.integers(0, 10 * HALF_LIFE_MS), min_size=1, max_size=30))
def test_sustained_slips_never_add_up_to_more_than_their_sum(pauses_ms: list[int]) -> None:
    conduct, now_ms = Conduct(), 0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        before = score(conduct, now_ms)
        conduct = blame(conduct, MALFORMED, now_ms)
        assert score(conduct, now_ms) == pytest.approx(before + 10)
    assert 10 <= score(conduct, now_ms) <= 10 * len(pauses_ms)


def _bans(clock: SetClock, kept: list[Sequence[Ban]] | None = None) -> Bans:
    return Bans(clock, (), kept.append if kept is not None else lambda _: None)


def _misbehave(bans: Bans, remote: str, key: bytes | None = KEY, trusted: bool = False) -> Verdict:
    verdicts = [bans.blame(MALFORMED, remote, key, is_trusted=trusted) for _ in range(BAN_AT // 10)]
    return verdicts[-1]


def test_ban_holds_key_and_host_until_it_ends() -> None:
    clock, kept = SetClock(), list[Sequence[Ban]]()
    bans = _bans(clock, kept)
    assert _misbehave(bans, WORLD) is Verdict.BAN
    assert bans.is_banned(WORLD)
    assert bans.is_banned("203.0.114.9:1")
    assert bans.is_banned(SITE, KEY)
    assert not bans.is_banned(SITE, OTHER)
    assert [ban.subject for ban in kept[-1]] == [KEY.hex(), "203.0.114.9"]
    clock.at_ms = BAN_MS - 1
    assert bans.is_banned(WORLD)
    clock.at_ms = BAN_MS
    assert not bans.is_banned(WORLD, KEY)
    assert bans.bans() == ()


def test_an_operator_lifts_a_ban_and_what_led_to_it() -> None:
    kept = list[Sequence[Ban]]()
    bans = _bans(SetClock(), kept)
    _misbehave(bans, WORLD)
    assert bans.lift(KEY.hex())
    assert bans.is_banned(WORLD, KEY), "the host still is"
    assert bans.lift("203.0.114.9")
    assert not bans.is_banned(WORLD, KEY)
    assert (len(kept[-1]), bans.conduct_of(KEY)) == (0, Conduct())
    assert bans.blame(MALFORMED, WORLD, KEY) is Verdict.KEEP
    assert not bans.lift(KEY.hex())


def test_new_keys_do_not_shed_a_hosts_points() -> None:
    bans = _bans(SetClock())
    verdicts = [bans.blame(MALFORMED, WORLD, bytes([i]) * 32) for i in range(BAN_AT // 10)]
    assert verdicts[-1] is Verdict.BAN
    assert bans.is_banned(WORLD, bytes(32))


def test_this_machine_is_banned_by_key_alone() -> None:
    bans = _bans(SetClock())
    assert _misbehave(bans, MACHINE) is Verdict.BAN
    assert bans.is_banned(MACHINE, KEY)
    assert not bans.is_banned(MACHINE, OTHER)
    assert _misbehave(bans, MACHINE, None) is Verdict.KEEP


def test_trusted_peer_is_dropped_but_not_banned() -> None:
    bans = _bans(SetClock())
    assert _misbehave(bans, WORLD, trusted=True) is Verdict.DROP
    assert not bans.is_banned(WORLD, KEY)


def test_drop_comes_before_the_ban() -> None:
    bans = _bans(SetClock())
    verdicts = [bans.blame(MALFORMED, WORLD, KEY) for _ in range(DROP_AT // 10)]
    assert verdicts[-1] is Verdict.DROP
    assert not bans.is_banned(WORLD, KEY)


def test_bans_and_points_are_bounded() -> None:
    kept = list[Sequence[Ban]]()
    bans = _bans(SetClock(), kept)
    for number in range(1_100):
        _misbehave(bans, MACHINE, number.to_bytes(32, "big"))
    assert len(kept[-1]) == 1_024
    assert not bans.is_banned(MACHINE, bytes(32))
