"""Points, bans and back-off, as rules and at the manager's door."""

from hypothesis import given
from hypothesis import strategies as st

from pool.decisions.admission import MAX_CONNECTED, refuse_join
from pool.records import events
from pool.records.refusals import Refusal
from pool.records.state import PoolState
from pool.records.transition import apply
from pool.rules.bans import (
    BAN_POINTS,
    FADE_MS,
    FIRST_BAN_MS,
    FLOOD_POINTS,
    LONGEST_BAN_MS,
    POINTS,
    VISITS_A_MINUTE,
    Conduct,
    ban_until,
    faded,
    visits_too_often,
    with_ban,
    with_points,
    with_visit,
)
from tests.pool_states import open_round
from tests.pool_world import PoolWorld, public
from tests.test_pool_manager import RawMiner, failed
from tests.virtual_time import virtual_time

S = public("s")


def test_every_refusal_has_its_points() -> None:
    assert POINTS.keys() == set(Refusal)
    assert all(0 <= points < BAN_POINTS for points in POINTS.values()), "one slip is no ban"


def test_points_fade() -> None:
    conduct = with_points(Conduct(), 50, 1_000)

    assert faded(conduct, 1_000 + 10 * FADE_MS) == 40
    assert faded(conduct, 1_000 + 60 * FADE_MS) == 0
    assert faded(with_points(conduct, 5, 1_000 + 10 * FADE_MS), 1_000 + 10 * FADE_MS) == 45


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_clock_that_jumps_fades_no_more_than_its_time(first: int, then: int) -> None:
    conduct = with_points(Conduct(), 90, first)

    assert 0 <= faded(conduct, then) <= 90
    if then <= first:
        assert faded(conduct, then) == 90


def test_enough_points_ban_and_each_ban_is_longer() -> None:
    conduct = with_points(Conduct(), BAN_POINTS - 1, 0)
    assert ban_until(conduct, 0) is None

    conduct = with_points(conduct, 1, 0)
    assert ban_until(conduct, 0) == FIRST_BAN_MS
    again = with_points(with_ban(conduct, FIRST_BAN_MS), BAN_POINTS, 0)
    assert ban_until(again, 0) == 2 * FIRST_BAN_MS
    hardened = with_points(Conduct(bans=99), BAN_POINTS, 0)
    assert ban_until(hardened, 0) == LONGEST_BAN_MS


def test_a_second_flood_within_two_minutes_bans() -> None:
    first = with_points(Conduct(), FLOOD_POINTS, 0)

    assert ban_until(first, 0) is None
    assert ban_until(with_points(first, FLOOD_POINTS, 120_000), 120_000) is not None
    later_ms = 120_000 + FADE_MS
    assert ban_until(with_points(first, FLOOD_POINTS, later_ms), later_ms) is None


def test_more_visits_than_allowed_in_a_minute_are_too_often() -> None:
    conduct = Conduct()
    for _ in range(VISITS_A_MINUTE):
        assert not visits_too_often(conduct, 100_000)
        conduct = with_visit(conduct, 100_000)

    assert visits_too_often(conduct, 159_999)
    assert not visits_too_often(conduct, 160_000)


def test_a_banned_miner_stays_outside_until_its_time_is_over() -> None:
    pool = apply(open_round(strong="s"), events.Banned(0, S, 10_000, 100))

    assert refuse_join(pool, S, 9_999) == ("banned", "the miner is banned for another 1 ms")
    assert refuse_join(pool, S, 10_000) is None


def test_a_full_pool_takes_nobody_new_and_everybody_who_is_known() -> None:
    pool = open_round(strong="s").but(strong=MAX_CONNECTED)
    refused = refuse_join(pool, public("t"), 0)

    assert refused is not None
    assert refused[0] == "pool-full"
    assert refuse_join(pool, S, 0) is None


def test_who_was_turned_away_has_visited() -> None:
    pool: PoolState = open_round(strong="s")
    for _ in range(VISITS_A_MINUTE):
        pool = apply(pool, events.TurnedAway(0, S, "banned"))

    refused = refuse_join(pool, S, 0)
    assert refused is not None
    assert refused[0] == "reconnects-too-often"


@virtual_time
async def test_a_miner_that_connects_a_thousand_times_is_turned_away() -> None:
    world = PoolWorld()
    world.start_round()
    for _ in range(30):
        miner = RawMiner(world, "s")
        await miner.register(await miner.dial())
        await world.pass_ms(50)
    turned_away = dict(world.manager.state.turned_away)

    assert turned_away == {"reconnects-too-often": 30 - VISITS_A_MINUTE}
    await world.pass_ms(60_000)
    await RawMiner(world, "s").connect()
    await world.close()


@virtual_time
async def test_faults_that_add_up_ban_the_miner_and_nobody_else() -> None:
    world = PoolWorld()
    world.start_round()
    other = await RawMiner(world, "t").connect()
    miner = await RawMiner(world, "s").connect()
    assignment = await miner.expect("assignment")
    for episode in range(BAN_POINTS):
        await miner.send(failed(assignment, 5_000 + episode))
        await world.pass_ms(20)
    again = RawMiner(world, "s")
    await again.register(await again.dial())

    assert "banned: the miner is banned" in await again.closed()
    assert dict(world.manager.state.miners[S].refused)[Refusal.OUT_OF_ORDER] >= BAN_POINTS
    banned = [e for e in world.history() if isinstance(e, events.Banned)]
    assert [event.miner for event in banned] == [S]
    await other.send(failed(await other.expect("assignment"), 0))
    await other.expect("acknowledgement")
    await world.close()
