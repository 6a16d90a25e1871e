"""Profiles are found by name and hold sensible limits."""

import pytest

from fpga_model.profile import PAPER, Device, Profile, ProfileError, profile_named


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


def test_a_device_leaves_what_its_cap_allows() -> None:
    profile = profile_named("xc7z020")
    assert profile.device is not None
    assert profile.max_luts == profile.device.usable_luts == 53_200 * 75 // 100
    assert profile.device.usable_block_rams == 280 * 75 // 100
    # 32 bits a cycle, rounded up, shared by a batch of 16.
    assert profile.device.reconfiguration_cycles == -(-32_364_512 // 512)


def test_more_luts_than_the_part_can_use_are_refused() -> None:
    device = Device("part", 1_000, 10, 1, utilisation_percent=75, batch_images=1)
    assert Profile("most", 750, 1, 1, device).max_luts == 750
    with pytest.raises(ProfileError, match="allows 751 LUTs, above the 750 that part can use"):
        Profile("more", 751, 1, 1, device)


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 1, 1, 75, 1),
        (1, 0, 1, 75, 1),
        (1, 1, 0, 75, 1),
        (1, 1, 1, 0, 1),
        (1, 1, 1, 101, 1),
        (1, 1, 1, 75, 0),
    ],
)
def test_a_device_of_nothing_is_refused(numbers: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ProfileError, match="device 'none' has a number below one or above 100 %"):
        Device("none", *numbers)
