"""A whole network as the hardware sees it: what device profiles price beyond the convolutions."""

from dataclasses import dataclass

from fpga_model.layer import ConvLayer, LayerError


@dataclass(frozen=True)
class Stage:
    """A convolution with the map it reads and the pooling behind it.

    Raises:
        LayerError: a size below one.
    """

    conv: ConvLayer
    in_width: int
    """Columns of the input map, before padding."""
    pool_size: int
    """Side of the pooling window, also its stride; 1 is no pooling."""

    def __post_init__(self) -> None:
        if min(self.in_width, self.pool_size) < 1:
            raise LayerError(f"input width {self.in_width} or pooling {self.pool_size} is below 1")

    @property
    def pooled_width(self) -> int:
        """Columns of the map that leaves the stage."""
        return -(-self.conv.out_width // self.pool_size)

    @property
    def out_map_bits(self) -> int:
        """Size of the map that leaves the stage."""
        rows = -(-self.conv.out_height // self.pool_size)
        return rows * self.pooled_width * self.conv.out_channels * self.conv.out_bits


@dataclass(frozen=True)
class Network:
    """Stages in order, then the classifier's dense layers as 1 x 1 convolutions of one pixel.

    Raises:
        LayerError: no stages.
    """

    stages: tuple[Stage, ...]
    dense: tuple[ConvLayer, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise LayerError("a network without convolutions has no hardware to judge")

    @property
    def convolutions(self) -> tuple[ConvLayer, ...]:
        """The stages' convolutions, all that a profile without a device prices."""
        return tuple(stage.conv for stage in self.stages)
