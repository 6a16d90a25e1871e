"""A quantised convolution as the hardware sees it."""

from dataclasses import dataclass, fields

# Keeps every product of sizes, and the sums of a schedule over it, inside 64-bit integers.
MAX_MACS = 1 << 48


class LayerError(ValueError):
    """A layer whose numbers describe no convolution."""


@dataclass(frozen=True)
class ConvLayer:
    """Shape and fixed-point formats of one convolution.

    A number with `int` and `frac` bits is a multiple of 2^-frac of int + frac bits in all. Zero
    bits are representable here, because a search space may hold them; `estimate.judge` refuses
    them.

    Raises:
        LayerError: a size below one, negative bits, more fraction bits than bits, or more than
            2^48 multiply-accumulates for one image.
    """

    in_channels: int
    out_channels: int
    out_height: int
    """Rows of the convolution's output, before pooling."""
    out_width: int
    """Columns of the convolution's output, before pooling."""
    kernel_height: int
    kernel_width: int
    act_bits: int
    """Bits of one input activation."""
    weight_bits: int
    """Bits of one weight, sign included."""
    out_int_bits: int
    out_frac_bits: int
    in_frac_bits: int
    """Those of `act_bits` after the binary point."""
    weight_frac_bits: int
    """Those of `weight_bits` after the binary point."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name.endswith("_bits") else 1
            if getattr(self, field.name) < least:
                raise LayerError(f"{field.name} is {getattr(self, field.name)}, below {least}")
        if self.in_frac_bits > self.act_bits or self.weight_frac_bits > self.weight_bits:
            raise LayerError("a format has more fraction bits than bits")
        if self.macs > MAX_MACS:
            raise LayerError(f"{self.macs} multiply-accumulates an image, above {MAX_MACS}")

    @property
    def fan_in(self) -> int:
        """Products summed into one output value."""
        return self.in_channels * self.kernel_height * self.kernel_width

    @property
    def cycles_per_pass(self) -> int:
        """Cycles in which one engine sweeps the whole output map once, a kernel tap a cycle."""
        return self.out_height * self.out_width * self.kernel_height * self.kernel_width

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.in_channels * self.out_channels * self.cycles_per_pass

    @property
    def product_bits(self) -> int:
        """Bits of one activation times one weight."""
        return self.act_bits + self.weight_bits

    @property
    def accumulator_bits(self) -> int:
        """Bits that hold every partial sum of the products and the bias without overflow."""
        # (n).bit_length() is ceil(log2(n + 1)), here for fan_in products and one bias.
        return self.product_bits + self.fan_in.bit_length()

    @property
    def out_bits(self) -> int:
        """Bits of one output activation."""
        return self.out_int_bits + self.out_frac_bits
