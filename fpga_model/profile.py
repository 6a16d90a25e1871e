"""Named hardware limits that a design is judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class ProfileError(ValueError):
    """A profile that does not exist or whose limits make no sense."""


@dataclass(frozen=True)
class Device:
    """A part, and how much of it a network may use.

    Raises:
        ProfileError: a number below one, or a utilisation above 100 %.
    """

    part: str
    luts: int
    """All look-up tables of the part."""
    block_rams: int
    """All block RAMs of 18 Kbit."""
    bitstream_bits: int
    """Configuration of the whole part."""
    utilisation_percent: int
    """Share of LUTs and of block RAMs that still routes at the clock."""
    batch_images: int
    """Images that pass through one group of engines before the next is configured."""

    def __post_init__(self) -> None:
        numbers = (self.luts, self.block_rams, self.bitstream_bits, self.batch_images)
        if min(numbers) < 1 or not 1 <= self.utilisation_percent <= 100:
            raise ProfileError(f"device {self.part!r} has a number below one or above 100 %")

    @property
    def usable_luts(self) -> int:
        """LUTs under the utilisation cap."""
        return self.luts * self.utilisation_percent // 100

    @property
    def usable_block_rams(self) -> int:
        """Block RAMs under the utilisation cap."""
        return self.block_rams * self.utilisation_percent // 100

    @property
    def reconfiguration_cycles(self) -> int:
        """Each group's share of an image's cycles for configuring it, where there are several.

        The internal port takes 32 bits a cycle at 100 MHz (UG470, UG909). The whole part is
        written, and the batch shares the time; fractions of a cycle are rounded up.
        """
        return -(-self.bitstream_bits // (_CONFIGURATION_BITS * self.batch_images))


_CONFIGURATION_BITS: Final = 32


@dataclass(frozen=True)
class Profile:
    """Limits of one target. Without a device only the arithmetic of convolutions is priced.

    Raises:
        ProfileError: a limit below one, or more LUTs than the device's utilisation cap leaves.
    """

    name: str
    max_luts: int
    min_images_per_s: int
    clock_hz: int
    device: Device | None = None

    def __post_init__(self) -> None:
        if min(self.max_luts, self.min_images_per_s, self.clock_hz) < 1:
            raise ProfileError(f"profile {self.name!r} has a limit below one")
        if self.device is not None and self.max_luts > self.device.usable_luts:
            raise ProfileError(
                f"profile {self.name!r} allows {self.max_luts} LUTs,"
                f" above the {self.device.usable_luts} that {self.device.part} can use"
            )


_CLOCK_HZ: Final = 100_000_000

PAPER: Final = Profile("paper", max_luts=100_000, min_images_per_s=10, clock_hz=_CLOCK_HZ)
"""The limits of paper section 4.1.2, at the clock of the accelerator its search came from."""


def _zynq(part: str, luts: int, block_rams: int, bitstream_bits: int) -> Device:
    # 75 %: from about 80 % on, congestion costs the clock; the batch makes configuring a group
    # cost 2 to 13 % of the 0.1 s that the slowest allowed image takes.
    return Device(part, luts, block_rams, bitstream_bits, utilisation_percent=75, batch_images=16)


# LUTs and block RAMs from DS190, bitstream lengths from UG585.
_XC7Z010: Final = _zynq("XC7Z010", 17_600, 120, 16_669_920)
_XC7Z020: Final = _zynq("XC7Z020", 53_200, 280, 32_364_512)
_XC7Z045: Final = _zynq("XC7Z045", 218_600, 1_090, 106_571_232)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            PAPER,
            Profile("xc7z010", _XC7Z010.usable_luts, 10, _CLOCK_HZ, _XC7Z010),
            Profile("xc7z020", _XC7Z020.usable_luts, 10, _CLOCK_HZ, _XC7Z020),
            Profile("xc7z020-fast", 30_000, 1_000, _CLOCK_HZ, _XC7Z020),
            Profile("xc7z045", _XC7Z045.usable_luts, 10, _CLOCK_HZ, _XC7Z045),
        )
    }
)


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ProfileError: there is none.
    """
    if name not in PROFILES:
        raise ProfileError(f"no FPGA profile {name!r}; there is: {', '.join(sorted(PROFILES))}")
    return PROFILES[name]
