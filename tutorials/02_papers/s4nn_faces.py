"""Pictures of faces and motorbikes as spikes, for ``plot_s4nn_faces.py``."""

import torch
import torch.nn.functional as F
from torch import Tensor

import snn_temporal_plugins as stp

T_MAX, THRESHOLD = 256, 100.0
POOL = 8  # places, in each direction, whose edges are taken together
NAME = "caltech-face-motorbike"


def load(partition: int, *names: str) -> list[tuple[Tensor, Tensor]]:
    """Pictures ``[N, 1, 160, 250]`` in [0, 1] and labels of some splits of one partition.

    Without the data the pictures are drawings, and a notice says so.
    """
    try:
        parts = [stp.datasets.load(NAME, name, partition=partition) for name in names]
    except FileNotFoundError as error:
        print(f"NOTICE: what follows is about DRAWINGS, not about photographs. {error}")
        return [drawn(100, seed=7 * partition + k) for k, _ in enumerate(names)]
    return [(part.images, part.labels) for part in parts]


def drawn(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Stand-ins: a disc, or two of them side by side, before a noisy ground."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % 2
    y, x = torch.arange(160.0)[:, None], torch.arange(250.0)
    move = 12 * torch.randn(size, 2, 1, 1, generator=generator)
    apart = 60 * labels[:, None, None]
    height = (y - 80 - move[:, 0]) ** 2
    nearest = (((x - 125 - move[:, 1]).abs() - apart) ** 2 + height).sqrt()
    noise = 0.1 * torch.rand(size, 160, 250, generator=generator)
    return (0.8 - 0.5 * (nearest < 40) + noise).unsqueeze(1), labels


def edges(pictures: Tensor) -> Tensor:
    """Edges ``[N, 8, 9, 15]`` in [0, 1], of four orientations and two contrasts, around places.

    Differences of neighbours but one, in pictures of half the size, in multiples of their
    spread: the light does not matter. The first four maps hold edges that are lighter to the right
    or below, the others those that are darker there.
    """
    half = F.avg_pool2d(pictures, 2)
    differences = [
        half[..., 1:-1, 2:] - half[..., 1:-1, :-2],  # from left to right: an upright edge
        half[..., 2:, 1:-1] - half[..., :-2, 1:-1],
        half[..., 2:, 2:] - half[..., :-2, :-2],
        half[..., 2:, :-2] - half[..., :-2, 2:],
    ]
    lighter = torch.cat(differences, 1)
    strength = torch.cat([lighter.clamp(min=0), (-lighter).clamp(min=0)], 1)
    spread = strength.flatten(1).std(1)[:, None, None, None]
    return F.avg_pool2d(strength / (1.5 * spread), POOL).clamp(max=1)


def bars() -> Tensor:
    """A bar ``[4, 1, 8, 8]`` along each of the four edges, to draw weights with."""
    upright = torch.zeros(POOL, POOL)
    upright[:, POOL // 2] = 1
    falling = torch.eye(POOL)
    return torch.stack([upright, upright.T, falling.flip(1), falling]).unsqueeze(1)


def drawing(fields: Tensor) -> Tensor:
    """Weights of edges ``[N, 8, 9, 15]``, of both contrasts together, as pictures made of bars."""
    both = fields.unflatten(1, (2, 4)).sum(1)
    return F.conv_transpose2d(both, bars(), stride=POOL).squeeze(1)
