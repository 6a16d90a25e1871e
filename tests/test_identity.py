import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from node.identity import AddressError, Identity, format_address, parse_address

VECTORS = json.loads((Path(__file__).parent / "vectors" / "identity.json").read_text())
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ADDRESS = format_address(bytes(range(32)))


@pytest.mark.parametrize("vector", VECTORS["identities"])
def test_golden_identities(vector: dict[str, str]) -> None:
    identity = Identity(SigningKey(bytes.fromhex(vector["seed"])))
    assert identity.public_key.hex() == vector["public_key"]
    assert identity.address == vector["address"]
    assert parse_address(vector["address"]) == identity.public_key


@given(st.binary(min_size=32, max_size=32))
def test_an_address_gives_back_its_key(public_key: bytes) -> None:
    address = format_address(public_key)
    assert len(address) == 60
    assert parse_address(address) == public_key


@given(st.integers(2, 59), st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_noticed(position: int, character: str) -> None:
    mistyped = ADDRESS[:position] + character + ADDRESS[position + 1 :]
    if mistyped != ADDRESS:
        with pytest.raises(AddressError, match="wrong checksum"):
            parse_address(mistyped)


@given(st.integers(2, 58))
def test_swapped_neighbours_are_noticed(position: int) -> None:
    one, other = ADDRESS[position], ADDRESS[position + 1]
    if one != other:
        with pytest.raises(AddressError, match="wrong checksum"):
            parse_address(ADDRESS[:position] + other + one + ADDRESS[position + 2 :])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "an address starts with 'pn'; '' does not"),
        ("0x" + ADDRESS[2:], "an address starts with 'pn'; "),
        (ADDRESS[:-1], "an address has 60 characters, not 59"),
        (ADDRESS + "a", "an address has 60 characters, not 61"),
        (ADDRESS[:-1] + "1", "an address holds a-z and 2-7 only"),
        (ADDRESS[:-1] + "=", "an address holds a-z and 2-7 only"),
        (ADDRESS[:-1] + "é", "an address holds a-z and 2-7 only"),
        ("pn" + ADDRESS[2:].upper(), "the address has a wrong checksum"),
    ],
)
def test_each_fault_of_an_address_is_named(text: str, sentence: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert str(caught.value).startswith(sentence)


def test_unused_bits_of_the_last_character_must_be_zero() -> None:
    twin = ADDRESS[:-1] + ALPHABET[ALPHABET.index(ADDRESS[-1]) ^ 1]
    with pytest.raises(AddressError, match="wrong checksum"):
        parse_address(twin)


def test_a_key_of_another_length_has_no_address() -> None:
    with pytest.raises(ValueError, match="a public key has 32 bytes, not 31"):
        format_address(bytes(31))


def test_an_identity_does_not_show_its_seed() -> None:
    seed = bytes(range(32))
    shown = repr(Identity(SigningKey(seed)))
    assert seed.hex() not in shown
    assert repr(seed) not in shown
