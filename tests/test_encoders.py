"""Latency codes: exact on grey levels, monotone, and back again within one step."""

import torch

import snn_temporal_plugins as stp

INF = float("inf")
GREY = torch.arange(256, dtype=torch.uint8)


def exact_times(t_max):
    times = ((255 - GREY.long()) * t_max // 255).float()
    times[0] = INF
    return times


def test_all_grey_levels_are_exact_at_every_t_max_up_to_4096():
    forms = (GREY, GREY.float() / 255, GREY.float() * (1 / 255), GREY.double() / 255)
    for t_max in range(2, 4097):
        expected = exact_times(t_max)
        for x in forms:
            assert torch.equal(stp.latency(x, t_max).float(), expected), (t_max, x.dtype)
