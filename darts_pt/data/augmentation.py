"""Augment a whole batch by a few tensor operations: random crops, flips and cutout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from darts_pt.run.errors import ArgumentError
from darts_pt.run.processes import Share


@dataclass(frozen=True)
class Augmentation:
    """The random changes to training images.

    Attributes:
        crop_padding: pixels of black added on every side before a random crop of the original size; 0 for no crop.
        flip: mirror an image left to right with probability 1/2.
        cutout: side in pixels of a square hole at a random place; 0 for none (DeVries & Taylor, 2017).
    """

    crop_padding: int
    flip: bool
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("crop_padding", "cutout"):
            if getattr(self, name) < 0:
                raise ArgumentError(name, f"expected 0 or more pixels, got {getattr(self, name)}")


def augment(
    pixels: Tensor, augmentation: Augmentation, generator: torch.Generator, share: Share | None = None
) -> Tensor:
    """Crop (with zero padding) and flip each image at random; uint8 [B, 3, H, W] in and out.

    Cutout comes later: its holes are 0 *after* normalisation (:func:`cut_out`).

    Args:
        share: the part of a batch that the images are, None for all of it; random numbers are drawn for the whole batch.
    """
    padding, flip = augmentation.crop_padding, augmentation.flip
    if padding == 0 and not flip:
        return pixels
    batch, channels, height, width = pixels.shape
    device = pixels.device
    drawn, mine = _drawn(batch, share)
    rows = torch.arange(height, device=device).expand(batch, height)
    columns = torch.arange(width, device=device).expand(batch, width)
    if flip:
        mirrored = torch.rand(drawn, 1, generator=generator, device=device)[mine] < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        offsets = torch.randint(2 * padding + 1, (2, drawn, 1), generator=generator, device=device)[:, mine]
        rows, columns = rows + offsets[0], columns + offsets[1]
        pixels = functional.pad(pixels, (padding, padding, padding, padding))
    # Crop and flip at once: one gather over the flattened pixels.
    source = rows.unsqueeze(2) * pixels.shape[3] + columns.unsqueeze(1)
    flat = pixels.flatten(2).gather(2, source.view(batch, 1, -1).expand(-1, channels, -1))
    return flat.view(batch, channels, height, width)


def cut_out(images: Tensor, side: int, generator: torch.Generator, share: Share | None = None) -> Tensor:
    """Fill a square hole of `side` pixels in every image with 0, in place; images are normalised [B, 3, H, W].

    The hole's centre is uniform over the pixels, so a hole at the border is partly outside, as in DARTS.

    Args:
        share: as in :func:`augment`.
    """
    if side == 0:
        return images
    batch, _, height, width = images.shape
    device = images.device
    drawn, mine = _drawn(batch, share)
    top = torch.randint(height, (drawn, 1), generator=generator, device=device)[mine] - side // 2
    left = torch.randint(width, (drawn, 1), generator=generator, device=device)[mine] - side // 2
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows, in_columns = (rows >= top) & (rows < top + side), (columns >= left) & (columns < left + side)
    return images.masked_fill_((in_rows.unsqueeze(2) & in_columns.unsqueeze(1)).unsqueeze(1), 0)


def _drawn(batch: int, share: Share | None) -> tuple[int, slice]:
    """The number of images to draw random numbers for, and this rank's part of them: ranks draw what one process draws."""
    return (batch, slice(None)) if share is None else (share.total, share.place)
