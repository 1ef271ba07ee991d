"""Timed layers: options of a whole layer, and every bad input."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")


def layer(**options):
    linear = nn.Linear(6, 4, bias=False).double()
    nn.init.uniform_(linear.weight, 0.1, 0.8)
    return stp.Timed(linear, stp.SingleSpikeIF(0.9), t_max=20, **options)


def times(batch=3):
    return torch.randint(0, 18, (batch, 6)).double()


def test_error_norm_scales_each_sample_over_the_whole_layer():
    inputs, error = times(), torch.randn(3, 4).double()
    error[1] = 0.0
    plain, normed = layer(), layer(error_norm="sum")
    normed.synapse.weight.data.copy_(plain.synapse.weight.data)
    want = torch.zeros_like(plain.synapse.weight)
    for b in range(3):
        if error[b].any():
            unit = error[b] / error[b].norm()
            want += torch.autograd.grad(plain(inputs[b : b + 1])[0] @ unit, plain.synapse.weight)[0]
    (normed(inputs) * error).sum().backward()
    torch.testing.assert_close(normed.synapse.weight.grad, want)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("norm", ["sum", "mean"])
def test_behind_a_gate_the_error_that_reaches_the_weights_has_the_length(norm, backend):
    torch.manual_seed(4)
    neuron = stp.SingleSpikeIF(0.7, gate="triangle", width=0.6)
    synapse = torch.nn.Linear(5, 4, bias=False)
    torch.nn.init.normal_(synapse.weight, 0.3, 0.4)
    plain, normed = (
        stp.Timed(synapse, neuron, t_max=12, error_norm=wanted, backend=backend)
        for wanted in (None, norm)
    )
    times = torch.randint(0, 12, (3, 5)).float()
    times[:, 0] = 0.0  # an input that every causal set holds: its gradients are the errors
    errors = torch.randn(3, 1, 4) * torch.eye(3)[:, :, None]  # of one sample at a time
    bare, scaled = (
        torch.stack([torch.autograd.grad(layer(times), synapse.weight, e)[0] for e in errors])
        for layer in (plain, normed)
    )
    length = bare[:, :, 0].norm(dim=1)
    assert (length > 0).all()
    wanted = 1.0 if norm == "sum" else 1 / 3
    torch.testing.assert_close(scaled[:, :, 0].norm(dim=1), torch.full((3,), wanted))
    torch.testing.assert_close(scaled, bare * (wanted / length)[:, None, None])


def test_a_gated_convolution_refuses_the_error_norm():
    gated = stp.SingleSpikeIF(0.9, gate="triangle")
    with pytest.raises(ValueError, match="behind the neuron's gate"):
        stp.Timed(torch.nn.Conv2d(1, 2, 3, bias=False), gated, error_norm="sum")


def test_mean_error_norm_is_the_sum_divided_by_the_batch_also_with_beta():
    inputs, error = times(), torch.randn(3, 4).double()
    results = {}
    for norm in ("sum", "mean"):
        torch.manual_seed(1)
        timed = layer(error_norm=norm, beta=0.3)
        leaf = inputs.clone().requires_grad_()
        out = timed(leaf)
        results[norm] = torch.autograd.grad(out, [leaf, timed.synapse.weight], error)
    for total, mean in zip(results["sum"], results["mean"], strict=True):
        torch.testing.assert_close(total / 3, mean)


def test_beta_pulls_every_input_of_the_causal_set():
    timed, inputs = layer(beta=0.7), times(1)
    error = torch.randn(1, 4).double()
    leaf = inputs.clone().requires_grad_()
    (grad,) = torch.autograd.grad(timed(leaf), leaf, error)
    out, weight = timed(inputs)[0], timed.synapse.weight
    delta = -error[0]
    for i in range(6):
        causal = (inputs[0, i] <= out).double()
        want = -(delta * (weight[:, i] - 0.7 * delta) * causal).sum()
        torch.testing.assert_close(grad[0, i], want)


def test_error_reaches_silent_inputs_only_on_request():
    inputs = times(1)
    inputs[0, 2] = INF
    for wanted in (False, True):
        leaf = inputs.clone().requires_grad_()
        out = layer(error_to_silent=wanted)(leaf)
        out.sum().backward()
        assert bool(leaf.grad[0, 2] != 0) is wanted
        assert torch.isfinite(leaf.grad).all()


def test_init_draws_uniformly_or_calls():
    timed = stp.Timed(nn.Linear(50, 40, bias=False), stp.SingleSpikeIF(), init=(2.0, 3.0))
    assert 2 <= timed.synapse.weight.min() < 2.2 < 2.8 < timed.synapse.weight.max() <= 3
    timed = stp.Timed(nn.Linear(5, 4, bias=False), stp.SingleSpikeIF(), init=nn.init.ones_)
    assert (timed.synapse.weight == 1).all()


def test_parameters_are_shared_with_the_synapse():
    linear = nn.Linear(6, 4, bias=False)
    timed = stp.Timed(linear, stp.SingleSpikeIF())
    assert timed.synapse.weight is linear.weight
    assert list(timed.state_dict()) == ["synapse.weight"]


def test_parametrised_weights_are_followed():
    linear = nn.Linear(6, 4, bias=False).double()
    nn.utils.parametrizations.weight_norm(linear)
    timed = stp.Timed(linear, stp.SingleSpikeIF(0.2), t_max=20)
    timed(times()).nan_to_num(posinf=0.0).sum().backward()
    gains = linear.parametrizations.weight
    assert gains.original0.grad is not None and gains.original1.grad is not None


def test_empty_batch_passes():
    out = layer()(torch.zeros(0, 6).double())
    assert out.shape == (0, 4)


def test_inputs_outside_the_window_never_act():
    timed = layer()
    inputs = times()
    inputs[:, 0] = 20.0
    never = inputs.clone()
    never[:, 0] = INF
    assert torch.equal(timed(inputs), timed(never))


def test_a_silent_layer_warns_once():
    timed = stp.Timed(nn.Linear(6, 4, bias=False), stp.SingleSpikeIF(1e6))
    with pytest.warns(stp.SilentLayerWarning, match=r"all 4 neurons .* calibrate_"):
        timed(times().float())
    timed(times().float())


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    linear = nn.Linear(6, 4, bias=False)
    linear.register_forward_hook(lambda *_: None)
    return linear


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((nn.ReLU(), stp.SingleSpikeIF()), TypeError, "synapse must be nn.Linear.* got ReLU"),
        ((nn.Linear(6, 4), nn.ReLU()), TypeError, "neuron must be a TimedNeuron, got ReLU"),
        ((nn.Linear(6, 4), stp.SingleSpikeIF()), ValueError, "a bias is a current at every step"),
        ((Doubled(6, 4, bias=False), stp.SingleSpikeIF()), TypeError, "Doubled overrides forward"),
        ((hooked(), stp.SingleSpikeIF()), ValueError, "Linear has forward hooks"),
        (
            (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), stp.SingleSpikeIF()),
            ValueError,
            "padding_mode='circular'",
        ),
    ],
)
def test_bad_synapses_and_neurons_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        stp.Timed(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"t_max": 0}, ValueError, "t_max must be at least 1, got 0"),
        ({"t_max": 2.5}, TypeError, "t_max must be an integer, got 2.5"),
        ({"error_norm": "l2"}, ValueError, "error_norm must be one of None, 'sum', 'mean'"),
        ({"beta": -0.1}, ValueError, "beta must be at least 0 and finite, got -0.1"),
        ({"beta": "a"}, TypeError, "beta must be a number, got 'a'"),
        ({"backend": "cuda"}, ValueError, "backend must be one of .*; got 'cuda'"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        stp.Timed(nn.Linear(6, 4, bias=False), stp.SingleSpikeIF(), **options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t.half(), TypeError, "float32 or float64, got torch.float16"),
        (lambda t: t.long(), TypeError, "float32 or float64, got torch.int64"),
        (lambda t: t.float(), TypeError, "times are torch.float32 but the weights torch.float64"),
        (lambda t: t.tolist(), TypeError, "times must be a tensor, got list"),
        (lambda t: t - 50, ValueError, "times must not be negative, got -"),
        (lambda t: t / 0 * 0, ValueError, "times contains NaN"),
        (lambda t: t[:, :5], ValueError, r"expected times of shape \[B, I=6\].*got \[3, 5\]"),
        (lambda t: t[:, None, None, :], ValueError, r"Flatten it first: times.flatten\(1\)"),
        (lambda t: t.to("meta"), ValueError, "times is on meta but the synapse is on cpu"),
    ],
)
def test_bad_times_are_named(change, error, message):
    timed = layer()
    with stp.set_validation("meta" not in message), pytest.raises(error, match=message):
        timed(change(times()))


def test_a_bias_needs_whole_steps():
    timed = stp.Timed(nn.Linear(6, 4).double(), stp.SingleSpikeIF(0.9), t_max=20)
    with pytest.raises(ValueError, match="with a bias .* times must be whole steps"):
        timed(times() + 0.5)


def test_convolution_names_its_shape():
    timed = stp.Timed(nn.Conv2d(4, 2, 3, groups=2, bias=False), stp.SingleSpikeIF())
    with pytest.raises(ValueError, match=r"shape \[B, C=4, H, W\] .*got \[3, 2, 8, 8\]"):
        timed(torch.zeros(3, 2, 8, 8))


def test_validation_can_be_switched_off_and_comes_back():
    timed = layer()
    with stp.set_validation(False):
        timed(times() - 50)  # nonsense in, no complaint
    with pytest.raises(ValueError, match="negative"):
        timed(times() - 50)
