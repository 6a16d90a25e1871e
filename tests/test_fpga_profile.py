"""Profiles are found by name and hold sensible limits."""

import pytest

from fpga_model.profile import PAPER, Profile, ProfileError, profile_named


def test_the_papers_limits() -> None:
    assert profile_named("paper") is PAPER
    assert (PAPER.max_luts, PAPER.min_images_per_s) == (100_000, 10)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="no FPGA profile 'papre'; there is: paper"):
        profile_named("papre")


@pytest.mark.parametrize("limits", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_limit_below_one_is_refused(limits: tuple[int, int, int]) -> None:
    with pytest.raises(ProfileError, match="profile 'none' has a limit below one"):
        Profile("none", *limits)
