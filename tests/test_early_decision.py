"""Early decisions: stopping at the first output spike changes no decision."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.decisions import first_class

INF = float("inf")
STEPS = 37


def stack(seed, *, sizes=(29, 23, 19, 5), t_max=STEPS, backend="auto", threshold=3.0, scale=1.1):
    """Layers with whole weights, so that sums are exact and ties abound."""
    g = torch.Generator().manual_seed(seed)
    layers = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        linear = nn.Linear(inputs, outputs, bias=False)
        linear.weight.data = (scale * torch.randn(outputs, inputs, generator=g) + 0.3).round()
        neuron = stp.SingleSpikeIF(threshold, delay=(seed + k) % 2)
        layers.append(stp.Timed(linear, neuron, t_max=t_max, backend=backend))
    return nn.Sequential(nn.Flatten(), nn.Sequential(*layers[:1]), *layers[1:])


def samples(seed, batch=11, size=29, whole=True):
    g = torch.Generator().manual_seed(seed)
    times = (STEPS + 4) * torch.rand(batch, size, generator=g)
    times[torch.rand(batch, size, generator=g) < 0.4] = INF
    return times.floor() if whole else times


def literal(model, times):
    """Label, time, spikes and additions of one sample: step by step, layer by layer."""
    layers = [m for m in model.modules() if isinstance(m, stp.Timed)]
    steps = sorted({float(t) for t in times.tolist()} | {float(t) for t in range(STEPS + 4)})
    weights = [layer.synapse.weight.tolist() for layer in layers]
    v = [[0.0] * len(layer.synapse.weight) for layer in layers]
    spike = [[INF] * len(row) for row in v]
    fired = [[False] * len(row) for row in v]
    count = [0] * len(layers)
    for t in steps:
        if t >= STEPS:
            break
        arriving = [i for i, s in enumerate(times.tolist()) if s == t]
        for k, layer in enumerate(layers):
            if k:
                arriving = [i for i, s in enumerate(spike[k - 1]) if s == t]
            count[k] += len(arriving)
            for j in range(len(v[k])):
                if not fired[k][j]:
                    v[k][j] += sum(weights[k][j][i] for i in arriving)
                    if v[k][j] > layer.neuron.threshold:
                        fired[k][j] = True
                        late = t + layer.neuron.delay
                        spike[k][j] = late if late < STEPS else INF
        if min(spike[-1]) < INF:
            break
    first = [j for j, s in enumerate(spike[-1]) if s == min(spike[-1])]
    label = max(first, key=lambda j: (v[-1][j], -j))
    additions = sum(n * len(row) for n, row in zip(count, v, strict=True))
    return label, min(spike[-1]), count, additions


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("sizes", "threshold"), [((29, 23, 19, 5), 3.0), ((290, 200, 90, 5), 20.0)]
)
def test_decision_and_cost_equal_a_literal_loop(seed, sizes, threshold):
    model, times = stack(seed, sizes=sizes, threshold=threshold), samples(seed, size=sizes[0])
    decision = stp.first_spike_decision(model, times)
    assert (decision.spikes[:, 0].max() > 64) == (sizes[0] > 64)  # the kernel takes 64 at a time
    for b in range(len(times)):
        got = [part[b].tolist() for part in decision]
        assert got == [*literal(model, times[b])]


@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([None, STEPS]),
    st.sampled_from([3.0, 19.0]),
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_kernel_reference_and_whole_network_agree(seed, whole, t_max, threshold):
    times = samples(seed, whole=whole)
    fast, slow = (
        stack(seed, t_max=t_max, backend=backend, threshold=threshold)
        for backend in ("numba", "torch")
    )
    for kernel, reference in zip(
        stp.first_spike_decision(fast, times), stp.first_spike_decision(slow, times), strict=True
    ):
        assert kernel.dtype == reference.dtype and torch.equal(kernel, reference)
    for layer in [m for m in slow.modules() if isinstance(m, stp.Timed)]:
        times, potential = layer.solve(times)
    assert torch.equal(
        stp.first_spike_decision(fast, samples(seed, whole=whole)).label,
        first_class(times, potential),
    )


@pytest.mark.parametrize("seed", range(5))
def test_stream_equals_the_whole_sample(seed):
    model, times = stack(seed), samples(seed)
    want = stp.first_spike_decision(model, times)
    stream, early = stp.DecisionStream(model), 0
    for b, sample in enumerate(times):
        stream.reset()
        decision = None
        for t in sorted({t for t in sample.tolist() if t < INF}):
            decision = stream.push(t, (sample == t).nonzero().flatten().tolist())
            if decision is not None:
                early += 1
                break
        decision = stream.finish() if decision is None else decision
        for part, whole in zip(decision, want, strict=True):
            assert torch.equal(part[0], whole[b])
    assert early


def test_single_events_may_come_in_any_order_within_a_time():
    model, sample = stack(2), samples(2)[0]
    want = stp.first_spike_decision(model, sample[None])
    stream = stp.DecisionStream(model)
    for i in reversed(sample.argsort(stable=True, descending=True).tolist()):
        if sample[i] < INF:
            stream.push(sample[i].item(), i)
    assert torch.equal(stream.finish().label, want.label)


def test_silence_is_decided_by_the_potential():
    model = stack(3, threshold=1e3)
    times = samples(3)
    decision = stp.first_spike_decision(model, times)
    assert torch.isinf(decision.time).all() and not decision.spikes[:, 1:].any()
    stream = stp.DecisionStream(model)
    for t in range(STEPS):
        assert stream.push(t, (times[0] == t).nonzero().flatten().tolist()) is None
    assert torch.equal(stream.finish().label, decision.label[:1])


def test_changed_weights_constants_and_layers_are_noticed():
    model, times = stack(4), samples(4, batch=64)
    before = stp.first_spike_decision(model, times)

    def changed():
        decision = stp.first_spike_decision(model, times)
        reference = stp.early._layer_by_layer(stp.early.timed_stack("test", model), times)
        assert all(torch.equal(a, b) for a, b in zip(decision, reference, strict=True))
        return not torch.equal(decision.time, before.time)

    assert not changed()
    with torch.no_grad():
        model[1][0].synapse.weight.mul_(2)
        assert changed()
        model[1][0].synapse.weight.div_(2)
    assert not changed()
    model[1][0].neuron.threshold = 7.0
    assert changed()
    model[1][0].neuron.threshold = 3.0
    other = stack(5)
    model[3] = other[3]
    assert changed()
    model[1][0].synapse.weight = nn.Parameter(2 * model[1][0].synapse.weight.detach())
    assert changed()


@pytest.mark.parametrize("bias", [True, False])
def test_bias_and_late_drive_run_to_the_end(bias):
    torch.manual_seed(1)
    drive = None if bias else (STEPS - 6, 0.8)
    layer = stp.Timed(
        nn.Linear(29, 5, bias=bias), stp.SingleSpikeIF(0.9, late_drive=drive), t_max=STEPS
    )
    layer.eval()
    times = samples(1)
    decision = stp.first_spike_decision(layer, times)
    assert torch.equal(decision.time, layer(times).min(1).values)
    with pytest.raises(ValueError, match="layer 0 has a bias or a late drive"):
        stp.DecisionStream(layer)


def test_images_are_flattened_and_an_empty_batch_passes():
    model = stack(0, sizes=(24, 7, 5))
    image = samples(0, size=24)
    flat = stp.first_spike_decision(model, image)
    shaped = stp.first_spike_decision(model, image.unflatten(1, (2, 3, 4)))
    assert torch.equal(flat.label, shaped.label)
    assert stp.first_spike_decision(model, image[:0]).label.shape == (0,)


def test_threads_do_not_change_a_decision(set_threads):
    model, times = stack(6), samples(6, batch=101)
    set_threads(1)
    one = stp.first_spike_decision(model, times)
    set_threads(3)
    three = stp.first_spike_decision(model, times)
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


def convolution():
    return stp.Timed(nn.Conv2d(1, 2, 3, bias=False), stp.SingleSpikeIF())


@pytest.mark.parametrize(
    ("model", "times", "error", "message"),
    [
        (nn.ReLU(), samples(0), TypeError, "needs Timed layers, got ReLU"),
        (nn.Sequential(), samples(0), TypeError, "holds no Timed layer"),
        (convolution(), samples(0), TypeError, "fully connected layers .* got Conv2d"),
        (stack(0), samples(0)[:, 1:], ValueError, r"shape \[B, I=29\], got \[11, 28\]"),
        (stack(0), samples(0).double(), TypeError, "times are torch.float64 but the weights"),
        (stack(0), samples(0) - 50, ValueError, "times must not be negative"),
        (stack(0), samples(0).nan_to_num(posinf=float("nan")), ValueError, "times contains NaN"),
        (stack(0, backend="torch"), samples(0) - 50, ValueError, "times must not be negative"),
        (stack(0), [1.0], TypeError, "times must be a tensor, got list"),
    ],
)
def test_bad_input_is_named(model, times, error, message):
    with pytest.raises(error, match=message):
        stp.first_spike_decision(model, times)


def test_stream_names_bad_events():
    stream = stp.DecisionStream(stack(0))
    stream.push(3, 1)
    with pytest.raises(ValueError, match="not go backwards, got 2 after 3"):
        stream.push(2, 1)
    with pytest.raises(ValueError, match="finite"):
        stream.push(INF, 1)
    with pytest.raises(ValueError, match=r"inputs must lie in 0 \.\.\. 28, got \[29\]"):
        stream.push(4, 29)
