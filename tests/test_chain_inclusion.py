"""An account shown to who knows nothing but the state root."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.chain.inclusion import prove_account, verify_account
from node.chain.state import Account, compute_root, genesis_state
from node.chain.table import Table
from tests.chain_world import make_network

ADDRESSES = st.integers(0, 12).map(lambda number: bytes([number]) * 32)


@given(st.dictionaries(ADDRESSES, st.builds(Account, st.integers(1, 3))), ADDRESSES)
def test_an_account_or_its_absence_is_proved(
    accounts: dict[bytes, Account], address: bytes
) -> None:
    state = replace(genesis_state(make_network()), accounts=Table(accounts.items()))
    root, proof, truth = compute_root(state), prove_account(state, address), accounts.get(address)
    assert verify_account(root, address, truth, proof)
    for lie in (Account(9), Account(), None):
        assert verify_account(root, address, lie, proof) == (lie == truth)
    assert not verify_account(bytes(32), address, truth, proof)


def test_parts_that_no_state_has() -> None:
    state = genesis_state(make_network())
    proof = prove_account(state, bytes(32))
    for parts in ((), proof.root_parts[:-1], (*proof.root_parts, bytes(32)), (b"", b"")):
        wrong = replace(proof, root_parts=parts)
        assert not verify_account(compute_root(state), bytes(32), None, wrong)
