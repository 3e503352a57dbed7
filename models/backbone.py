"""What is specific to the backbone, in one table: the rest of the project asks it instead of
knowing names of blocks, strides or margins.

Another backbone needs another file like `xception.py` and another table here.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """The facts about a backbone that heads, training and frame choice depend on.

    Every layer of block N is named `blockN_...`, and no layer of a head is.

    Attributes:
        name: also the first part of the network's name, and the stage "imagenet" file's name.
        num_blocks: the blocks are numbered 1 to `num_blocks`.
        strides: of the blocks whose maps heads may read, at output stride 32, from fine to coarse.
        output_layers: the layer at the end of each of these blocks.
        low_level_blocks: what a decoder reads, from coarse to fine.
        side_blocks: what side outputs read, from fine to coarse.
        last_block: the coarsest map, with the most channels.
        pixel_scale, pixel_offset: from RGB in 0..255 to what the first layer expects.
        grid_px: the coarsest stride; padded images have sides of `grid_px` k + 1 + 2 `margin_px`.
        margin_px: pixels that the first convolutions, which do not pad, take away on each side.
    """

    name: str
    num_blocks: int
    strides: dict[str, int]
    output_layers: dict[str, str]
    low_level_blocks: tuple[str, ...]
    side_blocks: tuple[str, ...]
    last_block: str
    pixel_scale: float
    pixel_offset: float
    grid_px: int
    margin_px: int

    def stride(self, block: str, output_stride: int) -> int:
        """The stride of a block's map in a network of this output stride."""
        return min(self.strides[block], output_stride)

    def block_number(self, name: str) -> int | None:
        """The block that a layer or variable belongs to, None if it is not of the backbone.

        Args:
            name: of a layer (`block4_sepconv1`) or the path of a variable of it.
        """
        match = re.match(r"block(\d+)_", name)
        return int(match[1]) if match else None


BACKBONE = Backbone(
    name="xception",
    num_blocks=13,
    strides={"block1": 2, "block2": 4, "block3": 8, "block4": 16, "block12": 16, "block13": 32},
    output_layers={
        "block1": "block1_conv2_act",
        "block2": "block2_add",
        "block3": "block3_add",
        "block4": "block4_add",
        "block12": "block12_add",
        "block13": "block13_add",
    },
    low_level_blocks=("block3", "block2", "block1"),
    side_blocks=("block2", "block3", "block4", "block12", "block13"),
    last_block="block13",
    pixel_scale=1 / 127.5,
    pixel_offset=-1.0,
    grid_px=32,
    margin_px=3,
)
