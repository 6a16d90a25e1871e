"""Named hardware limits that a design is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class ProfileError(ValueError):
    """A profile that does not exist or whose limits make no sense."""


@dataclass(frozen=True)
class Profile:
    """Limits of one target.

    Raises:
        ProfileError: a limit below one.
    """

    name: str
    max_luts: int
    min_images_per_s: int
    clock_hz: int

    def __post_init__(self) -> None:
        if min(self.max_luts, self.min_images_per_s, self.clock_hz) < 1:
            raise ProfileError(f"profile {self.name!r} has a limit below one")


PAPER: Final = Profile("paper", max_luts=100_000, min_images_per_s=10, clock_hz=100_000_000)
"""The limits of paper section 4.1.2, at the clock of the accelerator its search came from."""

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({PAPER.name: PAPER})


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ProfileError: there is none.
    """
    if name not in PROFILES:
        raise ProfileError(f"no FPGA profile {name!r}; there is: {', '.join(sorted(PROFILES))}")
    return PROFILES[name]
