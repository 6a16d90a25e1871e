"""Whose published tasks a node mines."""

import pytest

from node.identity import format_address
from node.publishing.policy import MINES_FOR_ALL, Verdict, make_policy, parse_opinion

A, B = b"a" * 32, b"b" * 32


def test_without_an_opinion_everybody_is_mined_for() -> None:
    assert make_policy(()) == MINES_FOR_ALL
    assert MINES_FOR_ALL.accepts(A)


def test_who_is_denied_is_not() -> None:
    policy = make_policy([(Verdict.DENY, A)])
    assert (policy.accepts(A), policy.accepts(B)) == (False, True)


def test_who_is_allowed_is_alone() -> None:
    policy = make_policy([(Verdict.ALLOW, A)])
    assert (policy.accepts(A), policy.accepts(B)) == (True, False)
    assert not make_policy([(Verdict.ALLOW, A), (Verdict.DENY, A)]).accepts(A)


def test_an_opinion_is_read_from_a_text() -> None:
    assert parse_opinion(f"deny:{format_address(A)}") == (Verdict.DENY, A)


@pytest.mark.parametrize("text", ["", "deny", "deny:", "shun:pn-x", "deny:pn-typo"])
def test_what_is_no_opinion(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not allow:|address"):
        parse_opinion(text)
