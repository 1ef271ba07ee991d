"""Binarised synapses: values, gradients, exact counts, loading, every bad input."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")


def linear(**options):
    return stp.BinaryLinear(7, 5, dtype=torch.float64, **options)


def conv(**options):
    return stp.BinaryConv2d(4, 6, (3, 2), padding=(1, 0), groups=2, dtype=torch.float64, **options)


def inputs(synapse, batch=3):
    shape = (batch, 7) if isinstance(synapse, stp.BinaryLinear) else (batch, 4, 6, 5)
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def connect(synapse, x, weight):
    if isinstance(synapse, stp.BinaryLinear):
        return F.linear(x, weight, synapse.bias)
    return F.conv2d(x, weight, synapse.bias, padding=(1, 0), groups=2)


both = pytest.mark.parametrize("make", [linear, conv])


def test_forward_is_the_scaled_sign_and_the_sign_of_zero_is_plus_one():
    synapse = stp.BinaryLinear(4, 1, scale=2.5)
    synapse.weight.data.copy_(torch.tensor([[0.0, -0.0, -1e-30, 7.0]]))
    assert synapse.event_weights()[0].tolist() == [[2.5, 2.5, -2.5, 2.5]]


@both
def test_error_goes_back_by_the_latent_weights_and_to_them_without_the_scale(make):
    synapse = make(scale=3.5, bias=True)
    x = inputs(synapse)
    sign = torch.where(synapse.weight.detach() >= 0, 1.0, -1.0).double()
    forward, carrier = (3.5 * sign).requires_grad_(), synapse.weight.detach().clone()
    expected = connect(synapse, x, forward)
    torch.testing.assert_close(synapse(x), expected)
    error = torch.randn_like(expected)
    got = torch.autograd.grad(synapse(x), [x, synapse.weight, synapse.bias], error)
    (want_x,) = torch.autograd.grad(connect(synapse, x, carrier), x, error)
    want = torch.autograd.grad(connect(synapse, x, forward), [forward, synapse.bias], error)
    for a, b in zip(got, [want_x, *want], strict=True):
        torch.testing.assert_close(a, b)


@both
def test_straight_through_error_goes_back_by_the_binary_weights(make):
    synapse = make(scale=0.7, backward="straight_through")
    x = inputs(synapse)
    value = synapse(x)
    error = torch.randn_like(value)
    (got,) = torch.autograd.grad(value, x, error)
    binary = synapse.event_weights()[0].detach()
    (want,) = torch.autograd.grad(connect(synapse, x, binary), x, error)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("scale_per", ["layer", "channel"])
@both
def test_gradient_of_the_scale_is_the_mean_over_its_synapses(make, scale_per):
    synapse = make(scale=1.5, learn_scale=True, scale_per=scale_per)
    error = torch.randn_like(synapse.weight)
    synapse.event_weights()[0].backward(error)
    products = (error * torch.where(synapse.weight >= 0, 1.0, -1.0)).flatten(1)
    want = products.mean(1) if scale_per == "channel" else products.mean()
    torch.testing.assert_close(synapse.scale.grad, want)
    torch.testing.assert_close(synapse.weight.grad, error)


def test_clip_bounds_the_carrier_and_constrain_the_weights():
    synapse = stp.BinaryLinear(5, 1, clip=0.6)
    synapse.weight.data.copy_(torch.tensor([[0.9, 0.9, -0.9, -0.9, 0.2]]))
    error = torch.tensor([[2.0, -2.0, 2.0, -2.0, 2.0]])
    synapse.event_weights()[0].backward(error)
    assert torch.equal(synapse.weight.grad, error)
    carrier = synapse.event_weights()[1]
    torch.testing.assert_close(carrier, torch.tensor([[0.6, 0.6, -0.6, -0.6, 0.2]]))
    synapse.constrain_()
    torch.testing.assert_close(synapse.weight.detach(), carrier)


def test_scale_stays_inside_its_bounds():
    synapse = stp.BinaryLinear(2, 1, scale=3.0, learn_scale=True, scale_bounds=(2.0, 4.0))
    synapse.weight.data.fill_(1.0)
    for scale, used in ((9.0, 4.0), (-5.0, 2.0), (2.5, 2.5)):
        synapse.scale.data.fill_(scale)
        assert synapse.event_weights()[0].tolist() == [[used, used]]
    for scale, error, want in ((9.0, -3.0, 0.0), (9.0, 3.0, 3.0), (0.5, 3.0, 0.0)):
        synapse.scale.grad = None
        synapse.scale.data.fill_(scale)
        synapse.event_weights()[0].backward(torch.full((1, 2), error))
        assert synapse.scale.grad.item() == want
    synapse.constrain_()
    assert synapse.scale.item() == 2.0


def test_refreshed_gradient_of_the_scale_uses_the_new_signs():
    synapse = stp.BinaryLinear(2, 1, learn_scale=True)
    with pytest.raises(ValueError, match="refresh_scale_grad_ needs the gradient of the weights"):
        synapse.refresh_scale_grad_()
    synapse.weight.data.copy_(torch.tensor([[0.3, 2.0]]))
    synapse.event_weights()[0].backward(torch.tensor([[5.0, 3.0]]))
    assert synapse.scale.grad.item() == 4.0
    synapse.weight.data.sub_(synapse.weight.grad * 0.2)  # the first sign flips
    synapse.refresh_scale_grad_()
    assert synapse.scale.grad.item() == -1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_sum_of_signed_scales_is_exact(dtype):
    rng = np.random.default_rng(0)
    for fan_in in (3, 600, 784, 9000):
        synapse = stp.BinaryLinear(fan_in, 1, scale=4.03707844, dtype=dtype)
        weight = synapse.event_weights()[0].detach().numpy()[0]
        one = abs(float(weight[0]))
        assert abs(one / 4.03707844 - 1) < fan_in * np.finfo(dtype.__str__()[6:]).eps
        for _ in range(20):
            order = rng.permutation(fan_in)
            sums = np.cumsum(weight[order])
            counts = np.cumsum(np.sign(weight[order]).astype(int))
            assert [float(s) for s in sums] == [one * int(c) for c in counts]


def test_half_precision_keeps_its_scale():
    synapse = stp.BinaryLinear(784, 2, scale=3.75, dtype=torch.float16)
    assert synapse.event_weights()[0].abs().unique().tolist() == [3.75]


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("scale_per", ["layer", "channel"])
def test_timed_and_clocked_forms_agree_in_spikes_and_gradients(delay, scale_per):
    steps, neuron = 12, stp.SingleSpikeIF(3.7, delay=delay)
    synapse = linear(scale=1.3, learn_scale=True, scale_per=scale_per)
    times = torch.randint(0, 16, (30, 7)).double().masked_fill(torch.rand(30, 7) < 0.2, INF)
    times.masked_fill_(times >= steps, INF)
    error = torch.randn(30, 5).double()
    results = []
    for timed in (True, False):
        leaf = times.clone().requires_grad_()
        if timed:
            out = stp.Timed(synapse, neuron, t_max=steps)(leaf)
        else:
            spikes, state = neuron.trace(synapse(stp.spike_train(leaf, steps)))
            free = synapse(stp.spike_train(leaf, steps)).cumsum(0)  # silent: through the last step
            out = stp.first_spike_times(spikes, torch.where(torch.isinf(state), 0.0, free))
        grads = torch.autograd.grad(out, [leaf, synapse.weight, synapse.scale], error)
        results.append((out.detach(), *grads))
    assert torch.isfinite(results[0][0]).any() and torch.isinf(results[0][0]).any()
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=0)
    for a, b in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(a.nan_to_num(posinf=0), b)


def test_torch_and_numba_give_the_same_bits_for_scaled_signs():
    pytest.importorskip("numba")
    synapse = stp.BinaryLinear(300, 40, scale=4.03707844)
    times = torch.randint(0, 60, (50, 300)).float()
    found = []
    for backend in ("torch", "numba"):
        layer = stp.Timed(
            synapse, stp.SingleSpikeIF(37.3), t_max=50, backend=backend, return_potential=True
        )
        found.append(layer(times))
    assert torch.isfinite(found[0][0]).any() and torch.isinf(found[0][0]).any()
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_convolution_under_timed_equals_the_clocked_one():
    synapse, neuron = conv(scale=1.7), stp.SingleSpikeIF(3.1)
    times = torch.randint(0, 9, (4, 4, 6, 5)).double()
    clocked, _ = neuron(torch.stack([synapse(s) for s in stp.spike_train(times, 9)]))
    assert torch.equal(stp.Timed(synapse, neuron, t_max=9)(times), stp.first_spike_times(clocked))


@pytest.mark.parametrize(
    ("make", "real"),
    [
        (lambda **o: stp.BinaryLinear(7, 5, **o), lambda **o: nn.Linear(7, 5, **o)),
        (lambda **o: stp.BinaryConv2d(2, 3, 3, **o), lambda **o: nn.Conv2d(2, 3, 3, **o)),
    ],
)
def test_checkpoint_of_a_real_layer_loads_with_the_mean_size_as_scale(make, real):
    for options in ({}, {"scale_per": "channel"}, {"scale": 2.5}):
        layer, binary = real(), make(bias=True, **options)
        binary.load_state_dict(layer.state_dict())
        assert torch.equal(binary.weight, layer.weight) and torch.equal(binary.bias, layer.bias)
        size = layer.weight.abs().flatten(1)
        want = size.mean(1) if options.get("scale_per") else size.mean()
        want = torch.tensor(2.5) if "scale" in options else want
        torch.testing.assert_close(binary.scale.detach(), want.detach())
    binary.scale.data.fill_(7.5)
    other = make(bias=True)
    other.load_state_dict(binary.state_dict())
    assert other.scale.item() == 7.5
    with pytest.raises(RuntimeError, match=r"Unexpected key.*bias"):
        make().load_state_dict(real().state_dict())


def test_from_module_shares_the_parameters():
    layer = nn.Linear(7, 5).double().eval()
    binary = stp.BinaryLinear.from_module(layer, scale_per="channel")
    assert binary.weight is layer.weight and binary.bias is layer.bias and not binary.training
    torch.testing.assert_close(binary.scale.detach(), layer.weight.abs().mean(1).detach())
    layer = nn.Conv2d(4, 6, 3, stride=2, padding="valid", dilation=2, groups=2, bias=False)
    binary = stp.BinaryConv2d.from_module(layer, clip=0.3)
    assert binary.weight is layer.weight and binary.bias is None
    x = torch.randn(2, 4, 9, 9)
    layer.weight.data.copy_(binary.event_weights()[0])
    assert torch.equal(binary(x), layer(x))


def test_other_modules_are_refused():
    with pytest.raises(TypeError, match=r"BinaryLinear: expected an nn\.Linear, got Conv2d"):
        stp.BinaryLinear.from_module(nn.Conv2d(1, 2, 3))
    with pytest.raises(TypeError, match=r"BinaryConv2d: expected an nn\.Conv2d, got Linear"):
        stp.BinaryConv2d.from_module(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="padding_mode='circular' has no binary form"):
        stp.BinaryConv2d.from_module(nn.Conv2d(1, 2, 3, padding_mode="circular"))
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="parametrised weights; bake them in"):
        stp.BinaryLinear.from_module(normed)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 0.0}, ValueError, r"scale must be positive and finite, got 0\.0"),
        ({"scale_per": "row"}, ValueError, "scale_per must be one of 'layer', 'channel'"),
        ({"backward": "ste"}, ValueError, "backward must be one of 'latent', 'straight_through'"),
        ({"clip": -2}, ValueError, "clip must be positive and finite, got -2"),
        ({"scale_bounds": (0, 3)}, ValueError, r"scale_bounds\[0\] must be positive"),
        ({"scale_bounds": (3, 2.5)}, ValueError, r"scale_bounds must ascend, got \(3, 2\.5\)"),
    ],
)
def test_bad_options_are_named(options, error, message):
    for make in (linear, conv):
        with pytest.raises(error, match=message):
            make(**options)
    with pytest.raises(ValueError, match="in_features must be at least 1, got 0"):
        stp.BinaryLinear(0, 5)


def test_options_are_shown():
    shown = repr(linear(clip=0.5, learn_scale=True))
    assert "in_features=7, out_features=5, bias=False" in shown
    assert "clip=0.5, learn_scale=True" in shown
    assert "kernel_size=(3, 2)" in repr(conv())


def test_copies_and_pickles_are_equal():
    synapse = conv(scale=1.5)
    x = inputs(synapse).detach()
    for twin in (copy.deepcopy(synapse), pickle.loads(pickle.dumps(synapse))):
        assert torch.equal(twin(x), synapse(x))


def test_a_relu_network_learns_a_binary_teacher():
    teacher, student = (
        nn.Sequential(nn.Linear(7, 5).double(), nn.ReLU(), nn.Linear(5, 3).double()),
        nn.Sequential(linear(bias=True), nn.ReLU(), stp.BinaryLinear(5, 3, dtype=torch.float64)),
    )
    x = torch.randn(256, 7).double()
    y = teacher(3 * x).argmax(1)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    losses = []
    for _ in range(150):
        loss = F.cross_entropy(student(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-9:]) < 0.9 * losses[0]


def test_frozen_input_needs_no_second_pass():
    synapse = linear(scale=2.5)
    x = inputs(synapse).detach()
    assert type(synapse(x).grad_fn).__name__ != "_CarryBackward"
    assert type(synapse(x.requires_grad_()).grad_fn).__name__ == "_CarryBackward"
    with torch.no_grad():
        assert synapse(x).grad_fn is None


@pytest.mark.parametrize("host", ["snntorch", "norse"])
def test_models_of_the_hosts_take_it_for_a_linear_layer(host):
    pytest.importorskip(host)
    synapse = stp.BinaryLinear(7, 5, scale=0.4)
    if host == "snntorch":
        import snntorch as snn

        neuron = snn.Leaky(beta=0.9)
        spikes, _ = neuron(synapse(torch.ones(3, 7)), neuron.init_leaky())
    else:
        import norse.torch as norse

        model = norse.SequentialState(synapse, norse.LIFCell())
        spikes, _ = model(torch.ones(3, 7))
    assert spikes.shape == (3, 5)
    (spikes.sum() + synapse(torch.ones(1, 7)).sum()).backward()
    assert torch.isfinite(synapse.weight.grad).all() and synapse.weight.grad.any()
