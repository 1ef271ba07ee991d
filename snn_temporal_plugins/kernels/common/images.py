"""Layout of images in memory."""

from __future__ import annotations

from torch import Tensor


def channels_last(images: Tensor) -> Tensor:
    """Images ``[B, C, H, W]`` as ``[B, H, W, C]``; no copy if they lie so in memory."""
    return images.detach().permute(0, 2, 3, 1).contiguous()
