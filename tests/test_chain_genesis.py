"""Network files, parameters and the clock arithmetic of a round."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.errors import NetworkError
from node.chain.genesis import (
    DEVNET_GENESIS,
    Endowment,
    FirstBond,
    first_bonds,
    network_from_json,
    network_to_json,
)
from node.chain.hashing import MAX_INT
from node.chain.params import (
    DEVNET,
    DIGITS,
    FAST,
    TESTNET,
    Parameters,
    StandingTask,
    Timing,
    Upgrade,
    version_at,
)
from node.chain.published.limits import TaskLimits
from node.chain.timing import Phase, deadline, phase_at, round_start
from tests.chain_world import make_network

NETWORK = make_network()


def test_file_round_trip_keeps_the_id() -> None:
    again = network_from_json(network_to_json(NETWORK))
    assert again == NETWORK
    assert again.id == NETWORK.id


def test_devnet_is_valid_without_anybody() -> None:
    assert DEVNET_GENESIS.parameters is DEVNET
    assert network_from_json(network_to_json(DEVNET_GENESIS)).id == DEVNET_GENESIS.id


@pytest.mark.parametrize(
    "other",
    [
        replace(NETWORK, genesis_time_ms=1),
        replace(NETWORK, bonds=NETWORK.bonds[1:]),
        replace(NETWORK, bonds=(NETWORK.bonds[0]._replace(owner=b"o" * 32), *NETWORK.bonds[1:])),
        replace(NETWORK, accounts=NETWORK.accounts[1:]),
        replace(NETWORK, parameters=replace(FAST, subsidy=1)),
        replace(NETWORK, parameters=replace(FAST, task=replace(DIGITS, epochs=11))),
    ],
)
def test_id_covers_every_part(other: Any) -> None:
    assert other.id != NETWORK.id
    assert other.genesis_id != NETWORK.genesis_id


UPGRADES = (Upgrade(10, 2), Upgrade(20, 5))


def test_a_version_of_the_rules_begins_with_its_round() -> None:
    parameters = replace(FAST, upgrades=UPGRADES)
    assert [version_at(parameters, number) for number in (0, 9, 10, 19, 20)] == [1, 1, 2, 2, 5]


def test_an_upgrade_leaves_the_network_what_it_is() -> None:
    later = replace(NETWORK, parameters=replace(NETWORK.parameters, upgrades=UPGRADES))
    assert later.id == NETWORK.id
    assert network_from_json(network_to_json(later)) == later


@pytest.mark.parametrize(
    "upgrades",
    [(Upgrade(0, 2),), (Upgrade(1, 1),), UPGRADES[::-1], (Upgrade(1, 3), Upgrade(2, 2))],
)
def test_upgrades_rise(upgrades: tuple[Upgrade, ...]) -> None:
    with pytest.raises(NetworkError, match="upgrades: rounds rise"):
        replace(FAST, upgrades=upgrades)


def edited(path: list[Any], value: Any) -> str:
    members: Any = json.loads(network_to_json(NETWORK))
    parent = members
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return json.dumps(members)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["genesis_time_ms"], "soon", "genesis_time_ms: expected an integer"),
        (["genesis_time_ms"], True, "genesis_time_ms: expected an integer"),
        (["genesis_time_ms"], -1, "genesis_time_ms: expected an integer"),
        (["genesis_time_ms"], 2**63, "genesis_time_ms: expected an integer"),
        (["genesis_time_ms"], 1.5, "genesis_time_ms: expected an integer"),
        (["bonds"], {}, "bonds: expected a list"),
        (["bonds", 0], 7, r"bonds\[0\]: expected an object"),
        (["bonds", 0, "amount"], "1", r"bonds\[0\].amount: expected an integer"),
        (["bonds", 0, "identity"], "ab", r"bonds\[0\].identity: expected 64 hexa"),
        (["bonds", 0, "owner"], "AB" * 32, r"bonds\[0\].owner: expected 64"),
        (["bonds", 0, "amount"], None, r"bonds\[0\].amount: field is missing"),
        (["fee"], 1, "fee: field is unknown"),
        (["parameters", "public"], "no", "parameters.public: expected true or false"),
        (["parameters", "name"], 5, "parameters.name: expected a text"),
        (["parameters", "task", "ranges", 0], 3, r"parameters.task.ranges\[0\]: expected a list"),
        (["parameters", "public"], True, "task.insecure: a public network does not take"),
        (["parameters", "timing", "vote_ms"], 1, "timing: 0 < lists_ms"),
        (["bonds", 0, "amount"], FAST.unit_bond - 1, "bonds: amounts must be"),
        (["bonds", 0, "kind"], 3, "bonds: kinds are"),
        (["accounts", 0, "balance"], 0, "at least the deposit"),
    ],
)
def test_bad_files_name_the_field(path: list[Any], value: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        network_from_json(edited(path, value))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_text_that_is_not_json(text: str) -> None:
    with pytest.raises(NetworkError, match="not JSON"):
        network_from_json(text)


def test_file_that_is_no_object() -> None:
    with pytest.raises(NetworkError, match="file: expected an object"):
        network_from_json("[]")


KEYS = tuple(bytes([i]) * 32 for i in range(2))


def bond(kind: int, key: int) -> FirstBond:
    return FirstBond(kind, KEYS[key], KEYS[key], FAST.unit_bond)


def test_first_bonds_are_in_order_and_hold_fees_beside_the_units() -> None:
    attesters, producers = {KEYS[1]: 3, KEYS[0]: 1}, {KEYS[0]: 2}
    unit = FAST.unit_bond
    assert first_bonds(FAST, attesters, producers) == (
        bond(1, 0),
        bond(1, 1)._replace(amount=3 * unit),
        bond(2, 0)._replace(amount=2 * unit + 100 * FAST.unit_fee),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bonds": (bond(1, 1), bond(1, 0))}, "bonds: keys must ascend"),
        ({"bonds": (bond(2, 0), bond(1, 1))}, "bonds: keys must ascend"),
        ({"bonds": (bond(1, 1), bond(1, 1))}, "bonds: keys must ascend"),
        ({"bonds": (bond(1, 0)._replace(identity=b"short"),)}, "bonds: keys have 32 bytes"),
        ({"bonds": (bond(1, 0)._replace(owner=b"short"),)}, "bonds: owners have 32 bytes"),
        ({"accounts": (Endowment(KEYS[0], 999_999),)}, "at least the deposit of 1000000"),
        ({"accounts": (Endowment(b"short", 10**6),)}, "accounts: keys have 32 bytes"),
        (
            {"accounts": (Endowment(KEYS[1], 10**6), Endowment(KEYS[0], 10**6))},
            "accounts: keys must ascend",
        ),
        ({"accounts": (Endowment(KEYS[0], MAX_INT),)}, "the sum must stay below"),
        ({"genesis_time_ms": 2**48 + 1}, "genesis_time_ms"),
    ],
)
def test_contradictory_tables(change: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(NETWORK, **change)


@pytest.mark.parametrize(
    ("record", "change", "message"),
    [
        (DIGITS, {"ranges": DIGITS.ranges[:9]}, "task.ranges: one range for each"),
        (DIGITS, {"ranges": ((3, 1), *DIGITS.ranges[1:])}, "task.ranges: ascending"),
        (DIGITS, {"ranges": ((), *DIGITS.ranges[1:])}, "task.ranges: ascending"),
        (DIGITS, {"layers": 0}, "task.layers"),
        (DIGITS, {"layers": 65}, "task.layers"),
        (DIGITS, {"epochs": 0}, "task.epochs"),
        (DIGITS, {"epochs": 10_001}, "task.epochs"),
        (DIGITS, {"classes": 257}, "task.classes"),
        (DIGITS, {"test_size": 2**16 + 1}, "task.test_size"),
        (DIGITS, {"max_mac_images": 0}, "task.max_mac_images"),
        (FAST, {"subsidy": MAX_INT + 1}, "subsidy"),
        (FAST, {"halving_rounds": 0}, "halving_rounds"),
        (FAST, {"account_deposit": 0}, "account_deposit"),
        (FAST, {"faucet": MAX_INT + 1}, "faucet"),
        (FAST, {"fee_per_byte": 2**32 + 1}, "fee_per_byte"),
        (FAST, {"era_rounds": 1}, "era_rounds"),
        (FAST, {"era_rounds": 2**32 + 1}, "era_rounds"),
        (FAST, {"max_units": 0}, "max_units"),
        (FAST, {"max_units": 65}, "max_units"),
        (FAST, {"max_commits": 65}, "max_commits"),
        (FAST, {"max_walked": 0}, "max_walked"),
        (FAST, {"max_walked": 65}, "max_walked"),
        (FAST, {"public": True}, "task.insecure"),
        (FAST.timing, {"lists_ms": 0}, "timing"),
        (FAST.timing, {"round_ms": FAST.timing.vote_ms}, "timing"),
        (FAST.timing, {"round_ms": 2**40 + 1}, "timing.round_ms"),
        (FAST.tasks, {"publish_fee_per_kib": -1}, "tasks.publish_fee_per_kib: from 0"),
        (FAST.tasks, {"max_data_bytes": 2**48 + 1}, "tasks.max_data_bytes: from 1"),
        (FAST.tasks, {"training_macs_per_s": 1, "min_test_images": 1}, "can take 2\\*\\*63 ms"),
        (FAST.tasks, {"publish_fee_per_kib": 2**48}, "all data must cost less"),
    ],
)
def test_parameters_that_contradict_themselves(
    record: StandingTask | Parameters | Timing | TaskLimits, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(NetworkError, match=message):
        replace(record, **change)


def test_a_public_network_takes_a_sealed_task() -> None:
    assert TESTNET.public
    assert not TESTNET.task.insecure
    assert TESTNET.seals == 4


def test_the_testnet_rounds_end_as_consensus_h_says() -> None:
    parts = (0.80, 0.83, 0.86, 0.97)
    timing = TESTNET.timing
    ends = (timing.lists_ms, timing.secrets_ms, timing.claims_ms, timing.vote_ms)
    assert ends == tuple(round(600_000 * part) for part in parts)


@pytest.mark.parametrize(("size", "classes", "floor"), [(360, 10, 108), (100, 7, 43), (7, 3, 7)])
def test_floor_is_thrice_chance_rounded_up(size: int, classes: int, floor: int) -> None:
    assert replace(DIGITS, test_size=size, classes=classes).min_correct == floor


def test_devnet_trains_for_26_seconds() -> None:
    assert DEVNET.timing == Timing(40_000, 26_400, 28_000, 32_000, 36_800)


@pytest.mark.parametrize(
    ("since_genesis_ms", "expected"),
    [
        (-5, (0, Phase.BEFORE_GENESIS, 10_005)),
        (0, (0, Phase.BEFORE_GENESIS, 10_000)),
        (9_999, (0, Phase.BEFORE_GENESIS, 1)),
        (10_000, (1, Phase.TRAIN, 6_600)),
        (16_599, (1, Phase.TRAIN, 1)),
        (16_600, (1, Phase.LIST, 400)),
        (17_000, (1, Phase.CLAIM, 1_000)),
        (18_000, (1, Phase.VALIDATE, 1_200)),
        (19_200, (1, Phase.CONFIRM, 800)),
        (20_000, (2, Phase.TRAIN, 6_600)),
    ],
)
def test_phases(since_genesis_ms: int, expected: tuple[int, Phase, int]) -> None:
    assert phase_at(NETWORK, NETWORK.genesis_time_ms + since_genesis_ms) == expected


@given(st.integers(0, 10**9))
def test_remaining_time_ends_at_the_deadline(since_genesis_ms: int) -> None:
    now_ms = NETWORK.genesis_time_ms + since_genesis_ms
    moment = phase_at(NETWORK, now_ms)
    assert moment.remaining_ms > 0
    assert phase_at(NETWORK, now_ms + moment.remaining_ms)[:2] != moment[:2]
    if moment.phase is not Phase.BEFORE_GENESIS:
        end = deadline(NETWORK, moment.round, moment.phase)
        assert now_ms + moment.remaining_ms == end


def test_rounds_follow_one_another() -> None:
    assert deadline(NETWORK, 3, Phase.CONFIRM) == round_start(NETWORK, 4)
    assert deadline(NETWORK, 0, Phase.BEFORE_GENESIS) == NETWORK.genesis_time_ms
