"""HerdingQuantizer and HerdingReLU: one recursion in steps, at once, and spike by spike.

Oracle of the spikes: loops that send one spike at a time (tests/papers/deep_spiking_program.py).
Oracle of the time-parallel form: the step form, in float64 bit by bit.
"""

import sys
from pathlib import Path

import pytest
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.neurons import ClockedNeuron

sys.path.insert(0, str(Path(__file__).parents[1] / "papers"))
import deep_spiking_program as program

T, B = 13, 40
UNITS = {
    "rate": stp.HerdingQuantizer(),
    "coarse": stp.HerdingQuantizer(1.75),
    "delta": stp.HerdingQuantizer(0.5, encode="delta"),
    "pd": stp.HerdingQuantizer(0.75, encode="pd", kp=0.25, kd=1.5),
    "relu": stp.HerdingReLU(),
    "fine relu": stp.HerdingReLU(0.375),
    "corrected": stp.HerdingReLU(correction=True),
    "coarse corrected": stp.HerdingReLU(1.25, correction=True),
}
all_units = pytest.mark.parametrize("name", UNITS)


def stream(seed, *, grid, steps=T):
    """Signed input [T, B]; on the grid of eighths every sum is exact and half quanta occur."""
    g = torch.Generator().manual_seed(seed)
    x = 1.3 * torch.randn(steps, B, generator=g).double()
    x[:, :3] = 0.0
    x[:, 3:9] = x[:1, 3:9]  # constant in time
    return (8 * x).round() / 8 if grid else x


def literal(name, unit, x):
    """Spikes [T, B] of the loops."""
    drive = x
    if name in ("delta", "pd"):
        change = x.diff(dim=0, prepend=torch.zeros_like(x[:1]))
        drive = unit.kp * x + unit.kd * change
    columns = []
    for column in drive.T.tolist():
        if isinstance(unit, stp.HerdingReLU):
            spikes, _ = program.rectify(column, unit.quantum, unit.correction)
        else:
            spikes, _ = program.quantise(column, quantum=unit.quantum)
        columns.append(spikes)
    return unit.quantum * torch.tensor(columns).double().T


@all_units
@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_spikes_equal_a_loop_that_sends_one_spike_at_a_time(name, grid, seed):
    x = stream(seed, grid=grid)
    spikes, _ = UNITS[name](x)
    assert torch.equal(spikes, literal(name, UNITS[name], x))
    assert (spikes == 0).any() and (spikes.abs() > UNITS[name].quantum).any()


@all_units
@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("steps", [1, 10, 100])
def test_all_steps_at_once_equal_single_steps_bit_by_bit(name, grid, steps):
    x = stream(5, grid=grid, steps=steps)
    at_once, last = UNITS[name](x)
    by_steps, last_step = ClockedNeuron.forward(UNITS[name], x)
    assert torch.equal(at_once, by_steps)
    assert torch.equal(last.phi, last_step.phi) and torch.equal(last.total, last_step.total)


@all_units
@pytest.mark.parametrize("split", [1, 6, 12])
def test_a_sequence_may_be_cut_anywhere(name, split):
    x = stream(7, grid=True)
    whole, last = UNITS[name](x)
    first, state = UNITS[name](x[:split])
    second, end = UNITS[name](x[split:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last.phi, end.phi) and torch.equal(last.total, end.total)


@pytest.mark.parametrize("steps", [1, 10, 100])
@pytest.mark.parametrize("quantum", [0.3, 1.75])
def test_the_sum_of_the_spikes_stays_within_half_a_quantum_of_the_sum(steps, quantum):
    x = stream(11, grid=False, steps=steps)
    spikes, state = stp.HerdingQuantizer(quantum)(x)
    assert ((spikes.cumsum(0) - x.cumsum(0)).abs() <= quantum / 2 + 1e-12).all()
    torch.testing.assert_close(state.phi, x.sum(0) - spikes.sum(0), atol=1e-12, rtol=0)
    corrected, _ = stp.HerdingReLU(quantum, correction=True)(x)
    error = corrected.cumsum(0) - x.cumsum(0).clamp(min=0)
    assert (error.abs() <= quantum / 2 + 1e-12).all()


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_count_of_the_rectified_unit_is_the_running_maximum_of_the_rounded_sum(steps):
    x = stream(13, grid=True, steps=steps)
    spikes, _ = stp.HerdingReLU()(x)
    for column, sent in zip(x.T.tolist(), spikes.cumsum(0).T.tolist(), strict=True):
        total, best = 0.0, 0
        for value, count in zip(column, sent, strict=True):
            total += value
            best = max(best, program.round_half_to_zero(total))
            assert count == best


def test_rounding_is_towards_zero_at_halves():
    halves = torch.tensor([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])
    spikes, _ = stp.HerdingQuantizer()(halves)
    assert spikes.tolist() == [[-2.0, -1.0, 0.0, 0.0, 1.0, 2.0]]


def test_constant_input_of_herding_is_off_by_one_over_t_not_by_its_root():
    value = 2 * torch.rand(1000).double() - 1
    errors = []
    for steps in (10, 100, 1000):
        spikes, _ = stp.HerdingQuantizer()(value.expand(steps, -1))
        errors.append((spikes.mean(0) - value).abs().mean().item())
    torch.testing.assert_close(errors, [0.025, 0.0025, 0.00025], rtol=0.04, atol=0)


def test_deltas_cost_nothing_while_the_input_stands_still_and_sum_up_to_it():
    frames = torch.tensor([3.2, 3.2, 3.2, -1.4, -1.4]).unsqueeze(1)
    quantiser = stp.HerdingQuantizer(0.5, encode="delta")
    spikes, _ = quantiser(frames)
    assert spikes.flatten().tolist() == [3.0, 0.0, 0.0, -4.5, 0.0]
    assert quantiser.decode(spikes).flatten().tolist() == [3.0, 3.0, 3.0, -1.5, -1.5]


def test_corrected_unit_behind_deltas_sends_the_changes_of_its_activation():
    current = stream(17, grid=False)
    quantum = 0.25
    spikes, _ = stp.HerdingReLU(quantum, correction=True)(
        current.diff(dim=0, prepend=0 * current[:1])
    )
    activation = current.clamp(min=0)
    assert ((spikes.cumsum(0) - activation).abs() <= quantum / 2 + 1e-12).all()


def test_decoders_return_what_was_encoded():
    x = torch.linspace(-1.0, 2.0, B).double().expand(60, -1)
    rate, pd = stp.HerdingQuantizer(0.4), stp.HerdingQuantizer(0.4, encode="pd", kp=0.3, kd=2.0)
    steps = torch.arange(1, 61).double().unsqueeze(1)
    assert ((rate.decode(rate(x)[0]) - x).abs() <= 0.2 / steps + 1e-12).all()
    found = pd.decode(pd(x)[0])
    assert (found - x).abs().mean() < 0.2, "within half a quantum on average"
    trace = torch.zeros(B).double()
    for spikes, estimate in zip(pd(x)[0], found, strict=True):
        trace = (spikes + 2.0 * trace) / 2.3
        torch.testing.assert_close(estimate, trace)


@all_units
def test_gradient_passes_straight_through_in_both_forms(name):
    unit = UNITS[name]
    x, weights = stream(19, grid=False).requires_grad_(), torch.randn(T, B).double()
    first, state = unit(x[:5])
    second, _ = unit(x[5:], state)
    (at_once,) = torch.autograd.grad((torch.cat([first, second]) * weights).sum(), x)
    (by_steps,) = torch.autograd.grad((ClockedNeuron.forward(unit, x)[0] * weights).sum(), x)
    total = x.detach().cumsum(0)
    if isinstance(unit, stp.HerdingReLU):
        want = weights * (total >= 0)
        assert (want == 0).any()
    else:
        following = torch.cat([weights[1:], torch.zeros(1, B).double()])
        want = (unit.kp + unit.kd) * weights - unit.kd * following
    torch.testing.assert_close(at_once, want)
    torch.testing.assert_close(by_steps, want)


def test_a_unit_without_input_is_silent_and_passes_the_error():
    x = torch.zeros(T, B, requires_grad=True)
    spikes, _ = stp.HerdingReLU()(x)
    spikes.sum().backward()
    assert not spikes.any() and (x.grad == 1).all()


def test_order_of_the_spikes_inside_a_step_changes_nothing():
    weights, sent = torch.randn(9, 4).double(), torch.randint(-2, 3, (T, B, 9)).double()
    shuffle = torch.randperm(9)
    a, _ = stp.HerdingReLU(0.6)(sent @ weights)
    b, _ = stp.HerdingReLU(0.6)(sent[..., shuffle] @ weights[shuffle])
    assert torch.equal(a, b)


def test_input_and_quantum_may_be_scaled_together():
    x = stream(23, grid=False)
    a, _ = stp.HerdingReLU()(x)
    b, _ = stp.HerdingReLU(4.0)(4.0 * x)
    assert torch.equal(4.0 * a, b)


def test_batch_rows_are_independent():
    x = stream(29, grid=True)
    for unit in UNITS.values():
        assert torch.equal(unit(x)[0][:, 5:6], unit(x[:, 5:6])[0])


# Inside torch: dynamo makes an instance of a Function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_sequence_gives_the_same_spikes():
    x = stream(31, grid=True)
    unit = UNITS["corrected"]
    compiled = torch.compile(unit, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x)[0], unit(x)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stp.HerdingReLU(0.0), "HerdingReLU: quantum must be positive and finite, got 0.0"),
        (
            lambda: stp.HerdingQuantizer(encode="sigma"),
            "encode must be one of 'rate', 'delta', 'pd'; got 'sigma'",
        ),
        (lambda: stp.HerdingQuantizer(kd=2.0), 'belong to encode="pd", got kp=None, kd=2.0'),
        (lambda: stp.HerdingQuantizer(encode="pd", kp=0.0), "kp must be positive and finite"),
        (lambda: stp.HerdingQuantizer(encode="pd", kd=-1.5), "kd must be at least 0 and finite"),
        (lambda: stp.HerdingReLU()(torch.ones(4)), r"shape \[T, B, ...\] with T >= 1, got \[4\]"),
        (
            lambda: stp.HerdingReLU()(torch.tensor([[2.0], [float("nan")]])),
            "HerdingReLU: current must be finite, got nan",
        ),
        (
            lambda: stp.HerdingQuantizer().decode(torch.ones(0, 2)),
            r"HerdingQuantizer.decode: spikes must have shape .* got \[0, 2\]",
        ),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_integers_are_refused():
    with pytest.raises(TypeError, match="current must be float32 or float64, got torch.int64"):
        stp.HerdingReLU()(torch.ones(3, 2, dtype=torch.long))


def test_repr_shows_the_constants():
    assert repr(UNITS["pd"]) == "HerdingQuantizer(quantum=0.75, encode='pd', kp=0.25, kd=1.5)"
    assert repr(UNITS["delta"]) == "HerdingQuantizer(quantum=0.5, encode='delta')"
    assert repr(UNITS["coarse corrected"]) == "HerdingReLU(quantum=1.25, correction=True)"
