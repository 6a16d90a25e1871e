"""Merkle trees: every leaf can be proved, nothing else can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.commits import compute_payout_root, payout_tree, proves_payout
from node.chain.hashing import MAX_INT, blake, u64
from node.chain.merkle import plant, verify_leaf
from node.chain.messages import MAX_PAYOUT_LINES, MAX_PROOF_HASHES, PayoutLine

some_leaves = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


@given(some_leaves, st.data())
def test_every_leaf_is_proved_and_only_at_its_place(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = plant(leaves).root, plant(leaves).prove(index)

    assert verify_leaf(root, leaves[index], index, len(leaves), path)
    assert len(path) <= (len(leaves) - 1).bit_length()
    other = data.draw(st.integers(0, len(leaves) - 1).filter(lambda at: at != index) | st.none())
    if other is not None and leaves[other] != leaves[index]:
        assert not verify_leaf(root, leaves[index], other, len(leaves), plant(leaves).prove(other))


@given(some_leaves, some_leaves)
def test_different_lists_have_different_roots(one: list[bytes], other: list[bytes]) -> None:
    assert (plant(one).root == plant(other).root) == (one == other)


@given(some_leaves, st.data())
def test_a_changed_proof_proves_nothing(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = plant(leaves).root, plant(leaves).prove(index)
    count = len(leaves)

    assert not verify_leaf(root, leaves[index] + b"!", index, count, path)
    assert not verify_leaf(root, leaves[index], index, count + 1, path)
    assert not verify_leaf(root, leaves[index], index, count, (*path, bytes(32)))
    assert not verify_leaf(bytes(32), leaves[index], index, count, path)
    if path:
        assert not verify_leaf(root, leaves[index], index, count, path[:-1])
        assert not verify_leaf(root, leaves[index], index, count, (bytes(32), *path[1:]))


def test_the_tree_by_hand() -> None:
    a, b, c = (blake("ponas/merkle/leaf", leaf) for leaf in (b"a", b"b", b"c"))
    pair = blake("ponas/merkle/node", a, b)
    # The third leaf has no partner and moves up as it is.
    top = blake("ponas/merkle/node", pair, c)

    assert plant([b"a", b"b", b"c"]).root == blake("ponas/merkle/root", u64(3), top)
    assert plant([b"a", b"b", b"c"]).prove(2) == (pair,)
    assert plant([]).root == blake("ponas/merkle/root", u64(0), bytes(32))


def test_a_node_is_no_leaf() -> None:
    a, b = (blake("ponas/merkle/leaf", leaf) for leaf in (b"a", b"b"))

    assert plant([a + b]).root != plant([b"a", b"b"]).root


@pytest.mark.parametrize("index", [-1, 2])
def test_there_is_no_proof_of_a_missing_leaf(index: int) -> None:
    with pytest.raises(ValueError, match=f"no leaf {index} among 2"):
        plant([b"a", b"b"]).prove(index)
    assert not verify_leaf(plant([b"a", b"b"]).root, b"a", index, 2, ())


def test_the_longest_payout_list_has_proofs_of_ten_hashes() -> None:
    lines = [PayoutLine(u64(at) * 4, at + 1) for at in range(MAX_PAYOUT_LINES)]
    root = compute_payout_root(lines)

    for at in (0, 1, 700, MAX_PAYOUT_LINES - 1):
        path = payout_tree(lines).prove(at)
        assert len(path) == MAX_PROOF_HASHES
        assert proves_payout(root, lines[at], at, len(lines), path)
        more = PayoutLine(lines[at].address, lines[at].weight + 1)
        assert not proves_payout(root, more, at, len(lines), path)


def test_a_line_that_no_block_can_hold_is_never_proved() -> None:
    lines = [PayoutLine(u64(at) * 4, 1) for at in range(MAX_PAYOUT_LINES + 1)]
    path, root = payout_tree(lines).prove(0), compute_payout_root(lines)

    assert not proves_payout(root, lines[0], 0, len(lines), path)
    assert not proves_payout(root, PayoutLine(bytes(32), MAX_INT + 1), 0, 1, ())
