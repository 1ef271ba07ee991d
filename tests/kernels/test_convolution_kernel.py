"""The convolution kernel is the reference patch by patch, and the clocked convolution."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import snn_temporal_plugins as stp

pytest.importorskip("numba")
INF = float("inf")
SHAPES = [
    {"kernel_size": 3},
    {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 2)},
    {"kernel_size": (3, 2), "dilation": (1, 2), "padding": "same"},
    {"kernel_size": 2, "stride": 3, "padding": 1, "groups": 2},
    {"kernel_size": 4, "stride": 2, "dilation": 2, "padding": 3},
    {"kernel_size": 1, "stride": 2, "groups": 4},
]


def problem(seed, dtype, shape, *, exact=False, whole=True, bias=False, outputs=8):
    """Images of spike times with ties and silence, a convolution, and errors, mostly zero."""
    g = torch.Generator().manual_seed(seed)
    batch, height, width = torch.randint(7, 12, (3,), generator=g).tolist()
    times = 61 * torch.rand(batch, 4, height, width, generator=g, dtype=dtype)
    times[torch.rand(times.shape, generator=g) < 0.4] = INF
    times = times.floor() if whole else times
    conv = nn.Conv2d(4, outputs, **shape, bias=bias).to(dtype)
    with torch.no_grad():
        for parameter in conv.parameters():
            scale = 2 if parameter.dim() > 1 else 0.05
            drawn = scale * torch.randn(parameter.shape, generator=g, dtype=dtype)
            parameter.copy_(drawn.round() if exact else drawn)
        size = conv(times.nan_to_num(posinf=0.0)).shape
    errors = torch.randn(2, *size, generator=g, dtype=dtype)
    errors[:, torch.rand(size, generator=g) < 0.6] = 0.0
    return times, conv, errors.round() if exact else errors


def run(backend, neuron, times, conv, errors, **options):
    """Times, potentials, and the gradients of times, weights and bias."""
    layer = stp.Timed(conv, neuron, backend=backend, **options)
    leaf = times.clone().requires_grad_()
    out = layer.solve(leaf)
    return [*out, *torch.autograd.grad(out, [leaf, *conv.parameters()], [*errors])]


@given(
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    shape=st.sampled_from(SHAPES),
    delay=st.sampled_from([0, 1]),
    gate=st.sampled_from([{}, {"gate": "triangle", "width": 4.0}]),  # exact factors
    to_silent=st.booleans(),
    beta=st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whole_weights_and_steps_give_the_same_bits(
    seed, dtype, shape, delay, gate, to_silent, beta
):
    neuron = stp.SingleSpikeIF(4.0, delay=delay, **gate)  # potentials land on the threshold
    arguments = problem(seed, dtype, shape, exact=True)
    options = {"t_max": 47, "beta": beta, "error_to_silent": to_silent}
    results = [run(backend, neuron, *arguments, **options) for backend in ("torch", "numba")]
    for reference, kernel in zip(*results, strict=True):
        assert torch.equal(reference, kernel)


@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from(SHAPES),
    whole=st.booleans(),
    bias=st.booleans(),
    gate=st.sampled_from([{}, {"gate": "triangle", "width": 2.3}]),
    to_silent=st.booleans(),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_real_weights_agree_to_rounding(seed, shape, whole, bias, gate, to_silent):
    neuron = stp.SingleSpikeIF(3.7, delay=1, **gate)
    arguments = problem(seed, torch.float64, shape, whole=whole or bias, bias=bias)
    options = {"t_max": 53 if bias else None, "beta": 0.3, "error_to_silent": to_silent}
    results = [run(backend, neuron, *arguments, **options) for backend in ("torch", "numba")]
    for reference, kernel in zip(*results, strict=True):
        torch.testing.assert_close(reference, kernel, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_and_clocked_form_are_one_neuron(shape):
    steps, neuron = 59, stp.SingleSpikeIF(3.7)
    times, conv, errors = problem(5, torch.float64, shape, bias=True)
    layer = stp.Timed(conv, neuron, t_max=steps, backend="numba")
    times[times >= steps] = INF
    spikes, _ = neuron(torch.stack([conv(step) for step in stp.spike_train(times, steps)]))
    clocked, timed = stp.first_spike_times(spikes), layer(times)
    assert torch.isinf(clocked).any() and torch.isfinite(clocked).any()
    assert torch.equal(timed, clocked)
    error = errors[0] * torch.isfinite(clocked)  # a silent neuron's gradient needs the potential
    for a, b in zip(
        torch.autograd.grad(timed, [*conv.parameters()], error),
        torch.autograd.grad(clocked, [*conv.parameters()], error),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("gate", ["spike", "triangle"])
def test_threads_do_not_change_a_bit(gate, set_threads):
    times, conv, errors = problem(7, torch.float32, SHAPES[0], bias=True)
    neuron, results = stp.SingleSpikeIF(3.7, gate=gate), []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(run("numba", neuron, times, conv, errors, t_max=61))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_layout_of_the_arguments_does_not_matter():
    times, conv, errors = problem(11, torch.float32, SHAPES[0])
    neuron = stp.SingleSpikeIF(3.7)
    want = run("numba", neuron, times, conv, errors)
    strided = [t.to(memory_format=torch.channels_last) for t in (times, *errors)]
    conv.to(memory_format=torch.channels_last)
    got = run("numba", neuron, strided[0], conv, torch.stack(strided[1:]))
    assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))


def test_nothing_in_nothing_out():
    _, conv, _ = problem(0, torch.float32, SHAPES[0])
    times = torch.zeros(0, 4, 5, 5)
    results = run("numba", stp.SingleSpikeIF(0.7), times, conv, torch.ones(2, 0, 8, 3, 3))
    assert results[0].shape == (0, 8, 3, 3) and not results[-1].any()


def test_frozen_inputs_and_weights_get_no_gradient():
    times, conv, errors = problem(3, torch.float32, SHAPES[0])
    layer = stp.Timed(conv, stp.SingleSpikeIF(3.7), backend="numba")
    want = run("numba", layer.neuron, times, conv, errors)
    for part, leaves in ((3, [conv.weight]), (2, [times.clone().requires_grad_()])):
        conv.requires_grad_(part == 3)
        out = layer.solve(leaves[0] if part == 2 else times)
        assert torch.equal(torch.autograd.grad(out, leaves, [*errors])[0], want[part])


def test_several_spikes_per_input_and_a_late_drive_go_patch_by_patch():
    times, conv, _ = problem(3, torch.float64, SHAPES[1])
    twice = torch.stack([times, times + 3], -1)
    drive = stp.SingleSpikeIF(3.7, late_drive=(40, 0.3)).eval()
    for neuron, inputs in ((stp.SingleSpikeIF(3.7), twice), (drive, times)):
        fast, slow = (
            stp.Timed(conv, neuron, t_max=61, backend=backend).eval()(inputs)
            for backend in ("numba", "torch")
        )
        assert torch.equal(fast, slow)


@pytest.mark.parametrize("width", [None, 2.3])
@pytest.mark.parametrize("bias", [False, True])
def test_operator_passes_the_checks_of_torch(width, bias):
    from snn_temporal_plugins.kernels.single_spike_conv import op

    times, conv, errors = problem(2, torch.float32, SHAPES[1], bias=bias)
    times = times[:3].requires_grad_()
    window = [2, 1], [1, 1, 2, 2], [1, 1]
    rule = 3.7, 1, 61.0, width, 0.3, True
    arguments = times, conv.weight, conv.weight.detach(), conv.bias, *window, *rule
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(op.single_spike_if_conv, arguments, test_utils=tests)
    until = torch.full_like(errors[0, :3], 20.0)
    peak = 3.0 + errors[1, :3, : 0 if width is None else None]
    backward = times.detach(), conv.weight.detach(), errors[0, :3], until, peak, *window
    rule = 3.7, 61.0, width, 0.3, False, True, True
    torch.library.opcheck(
        op.single_spike_if_conv_backward,
        (*backward, *rule),
        test_utils=("test_schema", "test_faketensor"),
    )


def network(error_norm=None):
    """Two convolutions with a pool between them, partly silent; the second one normalises."""
    torch.manual_seed(0)
    convs = nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 2, 2, stride=2, groups=2)
    nn.init.normal_(convs[0].weight, 0.3, 0.6)
    nn.init.normal_(convs[1].weight, 0.2, 0.6)
    gate = stp.SingleSpikeIF(0.9, gate="triangle")
    first = stp.Timed(convs[0], gate, t_max=30)
    second = stp.Timed(
        convs[1], stp.SingleSpikeIF(1.9), t_max=30, error_to_silent=True, error_norm=error_norm
    )
    times = torch.randint(0, 30, (5, 1, 10, 10)).float()
    times[:, :, ::3] = INF
    return nn.Sequential(first, stp.FirstSpikePool2d(2), second), times


# Inside torch: dynamo makes an instance of a Function, inductor imports torch.jit.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*is deprecated. Please switch to:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Trying to register:UserWarning")
@pytest.mark.parametrize(
    "compiler", ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
)
def test_compiled_as_one_graph(compiler):
    results = []
    for compiled in (False, True):
        model, times = network(error_norm="mean")
        run = torch.compile(model, fullgraph=True, backend=compiler) if compiled else model
        out = run(times)
        (out.clamp(max=30) * torch.tensor([0.3, 2.0])[:, None, None]).sum().backward()
        results.append([out.detach(), *(parameter.grad for parameter in model.parameters())])
    torch._dynamo.reset()
    assert torch.isinf(results[0][0]).any() and torch.isfinite(results[0][0]).any()
    assert all(gradient.any() for gradient in results[0][1:])
    for eager, fast in zip(*results, strict=True):
        torch.testing.assert_close(eager, fast)


def test_exported_with_any_batch_size():
    model, times = network()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(model.eval(), (times,), dynamic_shapes=({0: batch},))
    for size in (5, 3):
        assert torch.equal(program.module()(times[:size]), model(times[:size]))


def test_autocast_leaves_the_kernel_in_single_precision():
    model, times = network(error_norm="sum")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(times)
    assert out.dtype == torch.float32 and torch.equal(out, model(times))
