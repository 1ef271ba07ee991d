"""ExactLIF, timed: spikes against a sum over all inputs, known answers, silence, bad input."""

import copy
import math
import pickle
import warnings

import numpy as np
import pytest
import torch
from exact_lif_oracle import INF, RATIOS, potential
from scipy.special import lambertw
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.neurons.exact_lif_dynamics import Constants, _newton, _quadratic

pytest.importorskip("numba")
BACKENDS = ["torch", "numba"]


def unit(tau_mem=2.6, tau_syn=1.3, threshold=0.7, **options):
    options = {"truncation": "ignore", "slope_min": 0.0, "max_spikes": 9} | options
    return stp.ExactLIF(tau_mem, tau_syn, threshold, **options)


def layer(weights, neuron=None, **options):
    weights = torch.as_tensor(weights, dtype=torch.float64)
    fc = nn.Linear(weights.shape[1], weights.shape[0], bias=False).double()
    fc.weight.data.copy_(weights)
    return stp.Timed(fc, neuron or unit(), **options)


def check_against_sum(times, weight, tau_mem, tau_syn, threshold, spikes, points):
    """The potential is at the threshold at every spike, and nowhere above it in between."""
    fired = spikes.numpy()
    problem = times.numpy(), weight.numpy(), fired, tau_mem, tau_syn, threshold
    at = np.where(np.isfinite(fired), fired, 0.0)
    level = potential(at, *problem)
    assert abs(level - threshold)[np.isfinite(fired)].max(initial=0.0) < 1e-9
    last = times.numpy().max(-1, keepdims=True)
    inner = np.linspace(0, 1, points)[None, :] * last
    tail = last + np.linspace(0, 1, points // 2)[None, :] * 6 * tau_syn
    grid = np.concatenate([inner, tail], 1)
    level = potential(grid, *problem)
    assert level.max() <= threshold + 1e-9


@pytest.mark.parametrize("tau_mem", [1.3 * ratio for ratio in RATIOS])
@pytest.mark.parametrize("inputs", [3, 40])
@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_crossing_is_missed(tau_mem, inputs, count):
    g = torch.Generator().manual_seed(inputs)
    points, found = (300 if count < 100 else 1200), 0
    for _ in range(count // 40):
        times = 5 * torch.rand(40, inputs, generator=g, dtype=torch.float64)
        weight = torch.randn(40, inputs, generator=g, dtype=torch.float64) + 0.2
        neuron = unit(tau_mem, max_spikes=120, truncation="raise")
        spikes = neuron.spike_times(times, weight, backend="numba")[0].diagonal().movedim(-1, 0)
        check_against_sum(times, weight, tau_mem, 1.3, 0.7, spikes, points)
        found += spikes.isfinite().sum().item()
    assert found


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_peak_between_inputs_and_their_peaks_is_found(backend):
    """Two equal inputs at 0 and 6: the potential peaks after the second, not at its lag."""
    neuron = unit()
    times = torch.tensor([[0.0, 6.0]], dtype=torch.float64)
    weight = torch.tensor([[0.9, 0.9]], dtype=torch.float64)
    grid = np.linspace(6, 9, 400_001)[None]
    silent = np.full((1, 1), INF)
    top = potential(grid, times.numpy(), weight.numpy(), silent, 2.6, 1.3, 0.7).max()
    for margin, fires in ((1e-9, True), (-1e-9, False)):
        neuron = unit(threshold=float(top) * (1 - margin))
        spike, level = neuron.spike_times(times, weight, backend=backend)
        assert bool(torch.isfinite(spike[0, 0, 0])) is fires
    assert abs(level.item() - top) < 1e-11


def test_closed_form_newton_and_lambert_w_agree():
    g = torch.Generator().manual_seed(3)
    v = 0.7 * torch.rand(500, generator=g, dtype=torch.float64) - 0.4
    i = 1.8 + 3 * torch.rand(500, generator=g, dtype=torch.float64)
    c = Constants(0.65, 1 / 2.6, 1 / 1.3)
    top = torch.full_like(v, 0.9)
    torch.testing.assert_close(_quadratic(v, i, top, c), _newton(v, i, top, c), rtol=0, atol=1e-13)
    tau, top = 1.7, torch.full_like(v, INF)
    c = Constants(0.35, 1 / tau, 1 / tau)
    argument = -0.35 / (tau * i) * torch.exp(-v / (i * tau))
    assert (argument > -1 / math.e).all()
    wanted = -v / i - tau * torch.from_numpy(lambertw(argument.numpy()).real)
    torch.testing.assert_close(_newton(v, i, top, c), wanted, rtol=0, atol=1e-13)


def test_without_leak_the_first_spike_is_the_logarithm_of_mostafa():
    times = torch.tensor([[0.1, 0.4, 5.0]], dtype=torch.float64)
    weight = torch.tensor([[0.8, 1.1, -2.0]], dtype=torch.float64)
    out = unit(INF, 1.0, 1.0).spike_times(times, weight)[0]
    z = weight[0, :2] @ torch.exp(times[0, :2])
    assert out[0, 0, 0].item() == pytest.approx(math.log(z / (weight[0, :2].sum() - 1)), abs=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shifting_all_inputs_shifts_all_outputs(backend):
    times, weight = 3 * torch.rand(4, 7).double(), torch.randn(5, 7).double() + 0.4
    a, _ = unit().spike_times(times, weight, backend=backend)
    b, _ = unit().spike_times(times + 2.3, weight, backend=backend)
    torch.testing.assert_close(a + 2.3, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_time_unit_and_weight_unit_are_free(backend):
    times, weight = 3 * torch.rand(4, 7).double(), torch.randn(5, 7).double() + 0.4
    a, _ = unit().spike_times(times, weight, backend=backend)
    b, _ = unit(2.6 * 3, 1.3 * 3).spike_times(times * 3, weight / 3, backend=backend)
    c, _ = unit(threshold=0.7 * 5).spike_times(times, weight * 5, backend=backend)
    torch.testing.assert_close(3 * a, b)
    torch.testing.assert_close(a, c)


@pytest.mark.parametrize("backend", BACKENDS)
def test_simultaneous_inputs_act_as_their_sum(backend):
    weight = torch.tensor([[3.0, -2.4, 0.5]], dtype=torch.float64)
    tied = unit().spike_times(torch.full((1, 3), 0.3).double(), weight, backend=backend)[0]
    one = unit().spike_times(
        torch.tensor([[0.3]]).double(), weight.sum(1, keepdim=True), backend=backend
    )[0]
    torch.testing.assert_close(tied, one)
    several = torch.tensor([[[0.3, 0.9]]]).double()
    apart = torch.tensor([[0.3, 0.9]]).double()
    torch.testing.assert_close(
        unit().spike_times(several, weight[:, :1], backend=backend)[0],
        unit().spike_times(apart, weight[:, :1].expand(1, 2), backend=backend)[0],
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_after_a_spike_do_not_matter_to_it(backend):
    times = torch.tensor([[0.2, 0.5, 4.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[2.0, 1.5, 3.0]], dtype=torch.float64)
    out = unit().spike_times(times, weight, backend=backend)[0]
    assert out[0, 0, 0] < 4
    out[0, 0, 0].backward()
    assert times.grad[0, 2] == 0 and (times.grad[0, :2] != 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_leak_spikes_do_not_depend_on_one_another(backend):
    """The reset path is exactly zero: the gradient of a spike by its input is the same anywhere."""
    times = torch.tensor([[0.2, 0.4]], dtype=torch.float64)
    grads = []
    for slot, threshold in ((1, 0.5), (0, 1.0)):  # 2 x 0.5 without leak is 1.0
        weight = torch.tensor([[1.5, 0.7]], dtype=torch.float64, requires_grad=True)
        out = unit(INF, threshold=threshold).spike_times(times, weight, backend=backend)[0]
        out[0, 0, slot].backward()
        grads.append(weight.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tau_mem", [1.3 * ratio for ratio in RATIOS])
def test_nothing_overflows_in_a_window_of_two_hundred_time_constants(backend, tau_mem):
    times = 260 * torch.rand(3, 50).double()
    times.requires_grad_()
    weight = (torch.randn(6, 50).double() + 0.5).requires_grad_()
    out, potential = unit(tau_mem, max_spikes=40).spike_times(times, weight, backend=backend)
    fired = torch.isfinite(out)
    assert fired.sum() > 30 and not torch.isnan(potential).any()
    for gradient in torch.autograd.grad(out[fired].sum() + potential.sum(), [times, weight]):
        assert torch.isfinite(gradient).all() and gradient.any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tau_mem", [2.6, INF])
@pytest.mark.parametrize("arrival", [INF, 0.4])
def test_silent_neurons_give_no_nan(backend, tau_mem, arrival):
    times = torch.full((2, 3), arrival).double().requires_grad_()
    weight = torch.full((4, 3), -0.2).double().requires_grad_()
    neuron = unit(tau_mem)
    out, level = neuron.spike_times(times, weight, backend=backend)
    assert torch.isinf(out).all()
    on_times, on_weight = torch.autograd.grad(
        [out, level], [times, weight], [torch.full_like(out, 0.3), level]
    )
    assert torch.isfinite(on_times).all() and torch.isfinite(on_weight).all()
    assert bool(on_weight.any()) is (arrival < INF)  # inhibited ones are pulled, too


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_phantom_spike_passes_the_gradient_of_the_peak(backend):
    times = torch.tensor([[0.2, 1.1, 0.6]], dtype=torch.float64)
    weight = torch.tensor([[0.4, 0.2, -0.3]], dtype=torch.float64)
    found = []
    for wanted in ("time", "potential"):
        t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
        out, level = unit().spike_times(t, w, backend=backend)
        assert torch.isinf(out).all()
        loss = [out[..., 0], torch.full((1, 1), 0.6, dtype=torch.float64)]
        loss = loss if wanted == "time" else [level, -loss[1]]
        found.append(torch.autograd.grad(*[[x] for x in loss[:1]], [t, w], [loss[1]]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    h = 1e-6
    for leaf, gradient in ((0, found[1][0]), (1, found[1][1])):
        for k in range(3):
            moved = []
            for sign in (h, -h):
                both = [times.clone(), weight.clone()]
                both[leaf][0, k] += sign
                moved.append(unit().spike_times(*both, backend=backend)[1].item())
            assert gradient[0, k].item() == pytest.approx(
                -0.6 * (moved[0] - moved[1]) / (2 * h), abs=1e-8
            )


@pytest.mark.parametrize("backend", BACKENDS)
def test_remedies_for_silent_neurons(backend):
    times = torch.tensor([[0.2, 1.1], [0.3, INF]], dtype=torch.float64)
    weight = torch.tensor([[0.1, 0.2], [4.0, 3.0]], dtype=torch.float64)

    def gradient(ask=0.0, **options):
        w = weight.clone().requires_grad_()
        out, _ = unit(**options).spike_times(times, w, backend=backend)
        return torch.autograd.grad(out, w, torch.full_like(out, ask) * torch.isinf(out))[0]

    assert not gradient(0.7, silent="none").any()
    assert not gradient(-0.7, silent="phantom").any()  # later than never
    torch.testing.assert_close(gradient(push=0.7), gradient(0.35))  # shared by two samples
    constant = gradient(0.7, silent="constant", push=0.9)
    assert constant.tolist() == [[-0.9, -0.9], [0.0, 0.0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_slopes_are_clipped(backend):
    times = torch.tensor([[0.3]], dtype=torch.float64)
    peak = unit().spike_times(times, torch.ones(1, 1).double() * 0.1, backend=backend)[1].item()
    weight = torch.full((1, 1), 0.07 / peak * (1 + 1e-9)).double()  # touches the threshold
    sizes = []
    for slope_min in (0.0, 0.2):
        w = weight.clone().requires_grad_()
        out, _ = unit(slope_min=slope_min).spike_times(times, w, backend=backend)
        out[0, 0, 0].backward()
        sizes.append(w.grad.abs().item())
    response = peak / 0.1
    assert sizes[1] == pytest.approx(response / (0.2 * 0.7 / 1.3), rel=1e-3)
    assert sizes[0] > 500 * sizes[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropped_spikes_are_reported(backend):
    weights = [[9.0], [0.1]]
    times = torch.tensor([[0.2], [0.3], [INF]]).double()
    neuron = unit(max_spikes=2, truncation=None)
    timed = layer(weights, neuron, backend=backend)
    with pytest.warns(stp.TruncatedSpikesWarning, match="2 of 6 neurons .* max_spikes=2"):
        out = timed(times)
    assert neuron.truncated == 2 and torch.isfinite(out).sum() == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timed(times)  # once
    full = layer(weights, unit(max_spikes=50, truncation="raise"), backend=backend)(times)
    torch.testing.assert_close(full[..., :2], out)
    with pytest.raises(ValueError, match="2 of 6 neurons would fire more than max_spikes=2"):
        layer(weights, unit(max_spikes=2, truncation="raise"), backend=backend)(times)
    single = unit(max_spikes=1, truncation=None)
    layer(weights, single, backend=backend)(times)
    assert single.truncation == "ignore" and single.truncated is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_window_ends_before_t_max(backend):
    times, weights = torch.tensor([[0.2, 1.4]]).double(), [[4.0, 9.0]]
    free = layer(weights, backend=backend)(times)[0, 0]
    end = free[2].item()
    cut = layer(weights, backend=backend, t_max=end)(times)[0, 0]
    assert torch.isinf(cut[2:]).all() and torch.equal(cut[:2], free[:2])
    late = layer(weights, backend=backend, t_max=1.4)(times)[0, 0]
    assert (late[torch.isfinite(late)] < 1.4).all()


def test_delays_move_each_synapse_alone():
    times = torch.tensor([[0.3, 0.8], [0.1, INF]]).double().requires_grad_()
    weight = torch.tensor([[1.6, 0.9], [0.7, 2.2]]).double().requires_grad_()
    delay = torch.tensor([[0.5, 0.2], [1.1, 0.0]]).double().requires_grad_()
    out, _ = unit().spike_times(times, weight, delay=delay, backend="numba")
    for b in range(2):
        for j in range(2):
            alone, _ = unit().spike_times(
                (times[b] + delay[j])[None], weight[j : j + 1], backend="torch"
            )
            torch.testing.assert_close(out[b, j], alone[0, 0])
    grads = torch.autograd.grad(out[torch.isfinite(out)].sum(), [times, weight, delay])
    torch.testing.assert_close(grads[0].sum(0), grads[2].sum(0))
    h = 1e-6
    for j in range(2):
        moved = []
        for sign in (h, -h):
            d = delay.detach().clone()
            d[j, 0] += sign
            spikes, _ = unit().spike_times(times.detach(), weight.detach(), delay=d)
            moved.append(spikes[torch.isfinite(spikes)].sum())
        assert grads[2][j, 0].item() == pytest.approx(
            ((moved[0] - moved[1]) / (2 * h)).item(), abs=1e-7
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_synapse_brings_its_delays_also_a_convolution_in_groups(backend):
    torch.manual_seed(4)
    conv = nn.Conv2d(4, 6, 2, groups=2, padding=1, bias=False).double()
    conv.weight.data.add_(0.5)
    times = 2 * torch.rand(2, 4, 3, 3).double()
    plain = stp.Timed(conv, unit(), backend=backend)(times)
    conv.delay = nn.Parameter(torch.full_like(conv.weight, 0.6))
    delayed = stp.Timed(conv, unit(), backend=backend)
    out = delayed(times)
    torch.testing.assert_close(out, plain + 0.6)
    fired = torch.isfinite(out)
    assert fired.sum() > 20
    (gradient,) = torch.autograd.grad(out[fired].sum(), conv.delay)
    assert gradient.sum().item() == pytest.approx(fired.sum().item())  # shift of everything
    conv.delay.data[0, 0, 0, 0] = -0.3
    with pytest.raises(ValueError, match="delays must be at least 0, got -0.3"):
        delayed(times)
    conv.delay = nn.Parameter(torch.rand(3, 2))
    with pytest.raises(ValueError, match=r"must have the shape \[6, 2, 2, 2\] of its weight, got"):
        delayed(times)


def test_two_layers_and_a_convolution_have_the_gradients_of_differences():
    torch.manual_seed(2)
    conv = nn.Conv2d(2, 3, 2, bias=False).double()
    fc = nn.Linear(12, 4, bias=False).double()
    nn.init.normal_(conv.weight, 0.7, 0.5)
    nn.init.normal_(fc.weight, 0.3, 0.4)
    first, second = stp.Timed(conv, unit(max_spikes=3)), stp.Timed(fc, unit(3.1))
    times = 2 * torch.rand(2, 2, 3, 3).double()

    def loss():
        out = second(first(times).flatten(1, 3))
        fired = torch.isfinite(out)
        return torch.sin(out[fired]).sum(), fired.sum()

    total, count = loss()
    total.backward()
    probed = 0
    for weight in (conv.weight, fc.weight):
        for k in range(0, weight.numel(), 3):
            moved, h = [], 1e-6
            for sign in (h, -h):
                weight.data.view(-1)[k] += sign
                moved.append(loss())
                weight.data.view(-1)[k] -= sign
            if moved[0][1] == moved[1][1] == count:
                probed += 1
                numeric = (moved[0][0] - moved[1][0]) / (2 * h)
                assert weight.grad.view(-1)[k].item() == pytest.approx(
                    numeric.item(), rel=1e-5, abs=1e-6
                )
    assert probed > 15


def test_repr_pickle_and_copies_keep_the_neuron():
    neuron = unit(learn=("threshold",), push=0.3)
    text = "ExactLIF(tau_mem=2.6, tau_syn=1.3, threshold=0.7, max_spikes=9, learn=('threshold',)"
    assert repr(neuron).startswith(text)
    times, weight = torch.rand(2, 3).double(), torch.full((2, 3), 1.4).double()
    wanted = neuron.spike_times(times, weight)[0]
    for other in (pickle.loads(pickle.dumps(neuron)), copy.deepcopy(neuron)):
        assert torch.equal(other.spike_times(times, weight)[0], wanted)


def test_constants_are_learned_and_watched():
    neuron = stp.ExactLIF(3.0, 1.3, 0.7, learn=("tau_mem", "tau_syn", "threshold"))
    assert len(list(neuron.parameters())) == 3
    with torch.no_grad():
        neuron.tau_mem.fill_(-0.2)
    with pytest.raises(ValueError, match=r"the learned tau_mem has left its range: -0.2"):
        neuron.spike_times(torch.rand(1, 2), torch.rand(1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_mem": 0.0}, r"tau_mem must be positive \(inf: no leak\), got 0.0"),
        ({"tau_syn": INF}, "tau_syn must be positive and finite, got inf"),
        ({"threshold": -1.5}, "threshold must be positive and finite, got -1.5"),
        ({"max_spikes": 0}, "max_spikes must be at least 1, got 0"),
        ({"silent": "loud"}, "silent must be one of 'phantom', 'constant', 'none'; got 'loud'"),
        ({"silent": "none", "push": 0.4}, 'push needs silent="phantom" or "constant", got 0.4'),
        ({"slope_min": -0.1}, "slope_min must be at least 0 and finite, got -0.1"),
        ({"truncation": "hide"}, "truncation must be one of 'warn', 'raise', 'ignore'"),
        ({"learn": ("gain",)}, "learn must be one of 'tau_mem', 'tau_syn', 'threshold'"),
        ({"tau_mem": INF, "learn": ("tau_mem",)}, "tau_mem=inf cannot be learned"),
        ({"dt": 0.0}, "dt must be positive and finite, got 0.0"),
    ],
)
def test_bad_constants_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        unit(**options)


def test_what_belongs_to_time_steps_is_refused():
    with pytest.raises(ValueError, match="ExactLIF has no time steps, and a bias is a current"):
        stp.Timed(nn.Linear(2, 3), unit())
    with pytest.raises(ValueError, match="t_max must be positive and finite, got -0.5"):
        layer([[1.4]], t_max=-0.5)
    for options in ({"beta": 0.4}, {"error_to_silent": True}):
        timed = layer([[1.4]], **options)
        with pytest.raises(ValueError, match="bias, beta and error_to_silent belong to rules"):
            timed(torch.rand(1, 1).double())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nothing_in_nothing_out(backend, shape):
    out, level = unit().spike_times(torch.zeros(shape), torch.ones(4, shape[1]), backend=backend)
    assert out.shape == (shape[0], 4, 9) and torch.isinf(out).all()
    assert not level.any()
