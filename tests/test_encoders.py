"""Codes: exact on grey levels, monotone, and back again within one step."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")
GREY = torch.arange(256, dtype=torch.uint8)
VALUES = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=40)
WINDOWS = st.integers(1, 4096)
LEVELS = st.lists(st.integers(0, 255), min_size=2, max_size=40)
fast = settings(max_examples=60, deadline=None)


def exact_times(t_max):
    times = ((255 - GREY.long()) * t_max // 255).float()
    times[0] = INF
    return times


# --- latency


def test_all_grey_levels_are_exact_at_every_t_max_up_to_4096():
    forms = (GREY, GREY.float() / 255, GREY.float() * (1 / 255), GREY.double() / 255)
    for t_max in range(2, 4097):
        expected = exact_times(t_max)
        for x in forms:
            assert torch.equal(stp.latency(x, t_max).float(), expected), (t_max, x.dtype)


def test_times_of_grey_levels_are_the_published_ones():
    s4nn = stp.latency(torch.tensor([255, 254, 1, 0], dtype=torch.uint8), 256)
    bs4nn = stp.latency(torch.tensor([255, 254, 1, 0], dtype=torch.uint8), 256, silent_zeros=False)
    assert s4nn.tolist() == [0, 1, 254, INF]
    assert bs4nn.tolist() == [0, 1, 254, 255]


def test_a_plain_floor_would_be_wrong():
    x = GREY.float() / 255
    wrong = ((1 - x) * 255).floor()[1:] != exact_times(255)[1:]
    assert wrong.sum() > 50


@fast
@given(VALUES, WINDOWS)
def test_brighter_is_never_later_and_everything_lit_fires_inside_the_window(values, t_max):
    x = torch.tensor(values)
    order = x.argsort(descending=True)
    times = stp.latency(x, t_max)[order]
    assert (times[1:] >= times[:-1]).all()
    assert torch.equal(times.isinf(), x[order] == 0)
    lit = times[times.isfinite()]
    assert ((lit >= 0) & (lit <= t_max - 1) & (lit == lit.floor())).all()


@fast
@given(VALUES, WINDOWS)
def test_latency_is_decoded_within_one_step(values, t_max):
    x = torch.tensor(values, dtype=torch.float64)
    error = stp.decode_latency(stp.latency(x, t_max), t_max) - x
    assert ((error > -1e-9 - 2**-9 / t_max) & (error <= 1 / t_max + 1e-9)).all()
    exact = stp.latency(x, 7.5, steps=False)
    torch.testing.assert_close(stp.decode_latency(exact, 7.5), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [True, False])
def test_zeros_fire_at_the_end_where_they_are_not_silent(steps):
    for x in (torch.zeros(3), torch.zeros(3, dtype=torch.uint8)):
        times = stp.latency(x, 9, steps=steps, silent_zeros=False)
        assert times.tolist() == [8.0 if steps else 9.0] * 3
    times = stp.latency(GREY, 9.5, steps=False)
    torch.testing.assert_close(times, stp.latency(GREY.float() / 255, 9.5, steps=False))
    assert times[51].item() == pytest.approx(9.5 * 0.8)


def test_a_window_of_one_step_holds_everything_in_step_0():
    assert stp.latency(torch.tensor([1.0, 0.3, 1e-9]), 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("encode", [stp.latency, stp.log_latency])
def test_the_dtype_of_float_values_is_kept(encode):
    assert encode(torch.rand(4), 8).dtype == torch.float32
    assert encode(torch.rand(4, dtype=torch.float64), 8).dtype == torch.float64
    assert encode(GREY, 8).dtype == torch.float32
    assert encode(torch.rand(0, 3), 8).shape == (0, 3)


def test_gradients_are_those_of_the_formulas_and_0_for_silence():
    x = torch.tensor([0.25, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    times = stp.latency(x, 6.0, steps=False)
    (grad,) = torch.autograd.grad(times[:2].sum() + times[2:].clamp(max=9).sum(), x)
    assert grad.tolist() == [-6, -6, 0]
    times = stp.log_latency(x, 6.0, x_min=0.1, steps=False)
    (grad,) = torch.autograd.grad(times.clamp(max=9).sum(), x)
    scale = 6 / math.log(0.1)
    torch.testing.assert_close(grad, torch.tensor([4 * scale, 2 * scale, 0]).double())
    (grad,) = torch.autograd.grad(stp.latency(x, 6).sum(), x)
    assert grad.tolist() == [0, 0, 0]
    decoded = torch.tensor([2.0, INF], requires_grad=True)
    stp.decode_latency(decoded, 6).sum().backward()
    torch.testing.assert_close(decoded.grad, torch.tensor([-1 / 6, 0]))
    decoded.grad = None
    stp.decode_log_latency(decoded, 6).sum().backward()
    assert decoded.grad[0] < 0 and decoded.grad[1] == 0


# --- logarithmic latency


@fast
@given(VALUES, WINDOWS)
def test_brighter_is_never_later_in_the_logarithmic_code(values, t_max):
    x = torch.tensor(values)
    order = x.argsort(descending=True)
    times = stp.log_latency(x, t_max, x_min=0.02)[order]
    assert (times[1:] >= times[:-1]).all()
    assert torch.equal(times.isinf(), x[order] <= 0.02)
    lit = times[times.isfinite()]
    assert ((lit >= 0) & (lit <= t_max - 1)).all()


@fast
@given(VALUES, st.floats(0.3, 0.9))
def test_a_factor_on_all_values_shifts_all_spikes(values, factor):
    x = torch.tensor(values, dtype=torch.float64) * 0.9 + 0.1
    shift = 20.0 * math.log(factor) / math.log(0.01)
    bright = stp.log_latency(x, 20.0, x_min=0.01, steps=False)
    dark = stp.log_latency(x * factor, 20.0, x_min=0.01, steps=False)
    torch.testing.assert_close(dark, bright + shift)


@fast
@given(VALUES, st.integers(2, 4096))
def test_logarithmic_latency_is_decoded_within_one_step(values, t_max):
    x = torch.tensor(values, dtype=torch.float64)
    decoded = stp.decode_log_latency(stp.log_latency(x, t_max), t_max)
    lit = x > 1 / 256
    ratio = (decoded / x)[lit]
    step = 256 ** (1 / t_max)
    assert ((ratio > step ** -(2**-9) - 1e-9) & (ratio <= step + 1e-9)).all()
    assert (decoded[~lit] == 0).all()


def test_every_grey_level_but_0_fires_in_the_logarithmic_code_whatever_the_dtype():
    for t_max in (2, 17, 256, 4096):
        times = stp.log_latency(GREY, t_max)
        assert torch.equal(times, stp.log_latency(GREY.float() / 255, t_max))
        assert times[0] == INF and (times[1:] < t_max).all() and times[255] == 0


def test_a_value_at_x_min_is_silent_and_one_above_it_fires_in_the_last_step():
    x = torch.tensor([0.25, 0.2500001, 0.2])
    assert stp.log_latency(x, 8, x_min=0.25).tolist() == [INF, 7, INF]


def test_no_time_is_a_negative_zero():
    for encode in (stp.latency, stp.log_latency):
        for steps in (True, False):
            assert not torch.signbit(encode(torch.ones(3), 5, steps=steps)).any()


# --- rank order


@fast
@given(st.lists(LEVELS, min_size=1, max_size=3))
def test_a_rank_is_the_number_of_distinct_larger_values(rows):
    width = min(map(len, rows))
    x = torch.tensor([row[:width] for row in rows], dtype=torch.uint8)
    expected = [[len({b for b in row if b > a}) for a in row] for row in x.tolist()]
    assert stp.rank_order(x, silent_zeros=False).tolist() == expected
    assert torch.equal(stp.rank_order(x).isinf(), x == 0)


@fast
@given(LEVELS, st.randoms(use_true_random=False))
def test_permuting_the_values_permutes_the_codes(levels, random):
    x = torch.tensor([levels], dtype=torch.uint8)
    order = list(range(len(levels)))
    random.shuffle(order)
    for encode in (stp.rank_order, lambda v: stp.latency(v, 64), lambda v: stp.log_latency(v, 64)):
        assert torch.equal(encode(x[:, order]), encode(x)[:, order])


@pytest.mark.parametrize(
    "encode", [stp.rank_order, lambda x: stp.latency(x, 37), lambda x: stp.log_latency(x, 37)]
)
def test_batch_rows_are_independent(encode):
    x = torch.rand(5, 3, 4)
    together = encode(x)
    for row in range(5):
        assert torch.equal(together[row], encode(x[row : row + 1])[0])


def test_ranks_do_not_depend_on_the_size_of_the_values():
    x = torch.rand(4, 30)
    assert torch.equal(stp.rank_order(x), stp.rank_order(x.square() * 0.7))


def test_decoded_ranks_keep_order_ties_and_silence():
    x = torch.tensor([[0.9, 0.0, 0.2, 0.9, 0.4], [0.0, 0.0, 0.0, 0.0, 0.0]])
    decoded = stp.decode_rank_order(stp.rank_order(x))
    torch.testing.assert_close(decoded[0], torch.tensor([1, 0, 1 / 3, 1, 2 / 3]))
    assert decoded[1].tolist() == [0] * 5
    assert torch.equal(stp.rank_order(decoded), stp.rank_order(x))
    assert stp.rank_order(x.double()).dtype == torch.float64


# --- currents, trains, layers


def test_a_constant_current_is_the_image_at_every_step():
    x = torch.rand(3, 2, 5)
    current = stp.constant_current(x, 7, gain=2.5)
    assert current.shape == (7, 3, 2, 5)
    assert all(torch.equal(step, x * 2.5) for step in current)
    grey = stp.constant_current(GREY, 2)
    torch.testing.assert_close(grey[1], GREY.float() / 255)


def test_layers_equal_their_functions_and_travel():
    x = torch.rand(4, 6)
    x[:, 2] = 0
    pairs = [
        (stp.Latency(12, silent_zeros=False), stp.latency(x, 12, silent_zeros=False)),
        (stp.Latency(3.5, steps=False), stp.latency(x, 3.5, steps=False)),
        (stp.LogLatency(12, x_min=0.2), stp.log_latency(x, 12, x_min=0.2)),
        (stp.RankOrder(silent_zeros=False), stp.rank_order(x, silent_zeros=False)),
        (stp.ConstantCurrent(4, gain=3.0), stp.constant_current(x, 4, gain=3.0)),
    ]
    for layer, expected in pairs:
        assert torch.equal(layer(x), expected)
        assert torch.equal(pickle.loads(pickle.dumps(layer))(x), expected)
        assert not layer.state_dict()
    times = stp.latency(x, 12)
    assert torch.equal(stp.SpikeTrain(12)(times), stp.spike_train(times, 12))


def test_layers_show_their_constants():
    assert repr(stp.Latency(12)) == "Latency(t_max=12, steps=True, silent_zeros=True)"
    assert repr(stp.LogLatency(12)) == "LogLatency(t_max=12, x_min=0.00390625, steps=True)"
    assert repr(stp.RankOrder()) == "RankOrder(silent_zeros=True)"
    assert repr(stp.ConstantCurrent(5, gain=0.5)) == "ConstantCurrent(num_steps=5, gain=0.5)"
    assert repr(stp.SpikeTrain(5)) == "SpikeTrain(num_steps=5)"


def test_an_encoder_is_the_first_layer_of_a_network():
    first = stp.Timed(nn.Linear(6, 3, bias=False), stp.SingleSpikeIF(0.4), t_max=16)
    nn.init.constant_(first.synapse.weight, 0.3)
    model = nn.Sequential(stp.Latency(16), nn.Flatten(), first)
    assert model(torch.full((2, 2, 3), 0.5)).tolist() == [[8] * 3] * 2
    train = nn.Sequential(stp.Latency(16), stp.SpikeTrain(16))(torch.full((2, 3), 0.5))
    assert stp.first_spike_times(train).tolist() == [[8] * 3] * 2


@pytest.mark.parametrize("name", ["latency", "log_latency", "rank_order", "constant_current"])
def test_encoders_are_found_by_name(name):
    layer = stp.get("encoder", name)
    assert layer.__name__ == "".join(part.capitalize() for part in name.split("_"))


# --- bad input

ENCODERS = {
    "latency": lambda x: stp.latency(x, 8),
    "log_latency": lambda x: stp.log_latency(x, 8),
    "rank_order": stp.rank_order,
    "constant_current": lambda x: stp.constant_current(x, 8),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_bad_values_are_named(name):
    encode = ENCODERS[name]
    with pytest.raises(
        ValueError,
        match=rf"{name}: x must lie in \[0, 1\], got values from -0\.5 to 2\.75; remove "
        "transforms.Normalize, divide uint8 by 255",
    ):
        encode(torch.tensor([[-0.5, 2.75]]))
    with pytest.raises(ValueError, match=f"{name}: x contains NaN"):
        encode(torch.tensor([[0.5, float("nan")]]))
    with pytest.raises(TypeError, match=rf"{name}: x must be uint8 .* got torch.bfloat16"):
        encode(torch.zeros(2, 2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="got torch.int64"):
        encode(torch.zeros(2, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match=f"{name}: x must be a tensor, got ndarray"):
        encode(np.zeros((2, 2)))
    with stp.set_validation(False):
        encode(torch.tensor([[-0.5, 2.75]]))


@pytest.mark.parametrize("encode", [stp.latency, stp.log_latency])
def test_a_bad_window_is_named(encode):
    x, name = torch.rand(2, 3), encode.__name__
    with pytest.raises(ValueError, match=f"{name}: t_max must be at least 1, got 0"):
        encode(x, 0)
    with pytest.raises(TypeError, match=rf"{name}: t_max must be an integer, got 2\.5"):
        encode(x, 2.5)
    with pytest.raises(ValueError, match=f"{name}: t_max must be positive and finite"):
        encode(x, -2.0, steps=False)


def test_other_bad_arguments_are_named():
    for layer in (stp.Latency, stp.LogLatency):
        with pytest.raises(ValueError, match=f"{layer.__name__}: t_max must be at least 1, got 0"):
            layer(0)
    for layer in (stp.ConstantCurrent, stp.SpikeTrain):
        with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
            layer(0)
    with pytest.raises(ValueError, match=r"x_min must lie between 0 and 1, got 1\.5"):
        stp.log_latency(torch.rand(3), 8, x_min=1.5)
    with pytest.raises(ValueError, match="gain must be positive"):
        stp.ConstantCurrent(3, gain=-2.0)
    with pytest.raises(ValueError, match=r"rank_order: x must have shape \[B, ...\], got \[3\]"):
        stp.rank_order(torch.rand(3))
    with pytest.raises(ValueError, match=r"times must have shape \[B, ...\], got \[3\]"):
        stp.decode_rank_order(torch.rand(3))
    decoders = (stp.decode_rank_order, lambda t: stp.decode_latency(t, 8))
    for decode in (*decoders, lambda t: stp.decode_log_latency(t, 8)):
        with pytest.raises(ValueError, match="times contains NaN"):
            decode(torch.full((2, 2), float("nan")))
