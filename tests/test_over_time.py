"""OverTime, StaticInput and TSSLNetwork."""

import importlib.util
import pickle

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

BACKENDS = ["torch"] + ["numba"] * (importlib.util.find_spec("numba") is not None)


def test_over_time_is_a_loop_over_steps():
    conv = nn.Conv2d(2, 3, 3)
    x = torch.randn(4, 2, 2, 6, 7)
    torch.testing.assert_close(stp.OverTime(conv)(x), torch.stack([conv(row) for row in x]))
    with pytest.raises(ValueError, match=r"OverTime: input must have shape \[T, B, ...\]"):
        stp.OverTime(conv)(torch.zeros(3))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("steps", [1, 5, 30])
def test_static_input_is_the_repeated_input(backend, output, steps):
    synapse = nn.Linear(20, 1100, bias=False).double()  # more than a piece of the kernel
    unit = stp.TSSLLIF(4.5, 2.5, 0.3, output=output, backend=backend)
    first = stp.StaticInput(synapse, unit, steps)
    x = torch.randn(2, 20).double().requires_grad_()
    error = torch.randn(steps, 2, 1100).double()
    out, state = first.run(x)
    repeated = x.expand(steps, 2, 20)
    if output == "psc":
        repeated = stp.PSC(2.5, backend="torch")(repeated)
    slow, last = stp.TSSLLIF(4.5, 2.5, 0.3, output=output, backend="torch")(synapse(repeated))
    assert slow.count_nonzero() > 100 or steps == 1
    torch.testing.assert_close(out, slow, atol=1e-12, rtol=0)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    leaves = [x, synapse.weight]
    for a, b in zip(
        torch.autograd.grad(out, leaves, error),
        torch.autograd.grad(slow, leaves, error),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_static_input_refuses():
    with pytest.raises(TypeError, match="neuron must be a TSSLLIF, got ReLU"):
        stp.StaticInput(nn.Linear(2, 3, bias=False), nn.ReLU(), 5)
    with pytest.raises(
        ValueError, match="a bias is not filtered over time.*Linear with bias=False"
    ):
        stp.StaticInput(nn.Linear(2, 3), stp.TSSLLIF(), 5)
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        stp.StaticInput(nn.Linear(2, 3, bias=False), stp.TSSLLIF(), 0)
    first = stp.StaticInput(nn.Linear(2, 3, bias=False), stp.TSSLLIF(), 5)
    assert "num_steps=5" in repr(first)


def test_networks_of_the_paper_have_the_papers_sizes():
    mlp = stp.models.TSSLNetwork("400-400-10", (1, 28, 28), num_steps=5)
    assert sum(p.numel() for p in mlp.parameters()) == 477_600
    events = stp.models.TSSLNetwork("12C5-P2-64C5-P2-10", (2, 34, 34), padding=(1, 0))
    assert events.layers[-2].in_features == 2304
    assert not [name for name, _ in mlp.named_parameters() if "bias" in name]


def test_few_outputs_are_an_ordinary_linear_layer():
    network = stp.models.TSSLNetwork("20-10", (6,), num_steps=4).double()
    last = network.layers[-2]
    assert isinstance(last, nn.Linear) and "out_features=10" in repr(last)
    for shape in ((4, 3, 20), (3, 20)):
        x = torch.randn(shape).double().requires_grad_()
        got, want = last(x), nn.functional.linear(x, last.weight)
        torch.testing.assert_close(got, want)
        leaves, error = [x, last.weight], torch.randn_like(want)
        for a, b in zip(
            torch.autograd.grad(got, leaves, error),
            torch.autograd.grad(want, leaves, error),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def test_static_and_repeated_samples_give_one_network():
    words = "6C3-P2-D-20-4"
    static = stp.models.TSSLNetwork(words, (1, 8, 8), num_steps=6, tau_syn=2.5, conv_scale=4.0)
    train = stp.models.TSSLNetwork(words, (1, 8, 8), tau_syn=2.5)
    for mine, other in zip(static.parameters(), train.parameters(), strict=True):
        other.data.copy_(mine.data)
    static.eval(), train.eval()
    x = 2 * torch.rand(3, 1, 8, 8)
    pscs, potential = static.run(x)
    slow, last = train.run(x.expand(6, 3, 1, 8, 8))
    assert len(pscs) == 3 and pscs[0].any() and pscs[-1].shape == (6, 3, 4)
    for a, b in zip(pscs, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    torch.testing.assert_close(potential, last, atol=1e-5, rtol=0)
    assert torch.equal(static(x), pscs[-1])


def test_networks_start_as_in_the_authors_program():
    net = stp.models.TSSLNetwork("30C5-500-10", (3, 12, 12), num_steps=5, conv_scale=5.0)
    conv, linear = net.layers[0].synapse.weight, net.layers[2].weight
    bound = 5 / (3 * 25) ** 0.5
    assert 0.97 * bound < conv.abs().max() <= bound
    assert linear.std().item() == pytest.approx((2 / linear.shape[1]) ** 0.5, rel=0.02)


def test_network_pickles_and_refuses():
    net = pickle.loads(pickle.dumps(stp.models.TSSLNetwork("7-3", (4,), num_steps=5)))
    assert net(torch.rand(2, 4)).shape == (5, 2, 3) and "'7-3', num_steps=5" in repr(net)
    with pytest.raises(ValueError, match="description holds words like 15C5.*got '3X'"):
        stp.models.TSSLNetwork("3X", (4,))


def test_options_reach_every_neuron():
    net = stp.models.TSSLNetwork("7-3", (4,), num_steps=5, fallback="never")
    units = [m for m in net.modules() if isinstance(m, stp.TSSLLIF)]
    assert [unit.fallback for unit in units] == ["never", "never"]


def test_predict_breaks_ties_by_the_potential():
    loss = stp.SpikeTrainDistance(3.0)
    out = torch.zeros(4, 2, 3)
    out[1, 0, 0] = out[1, 0, 2] = 0.5
    potential = torch.tensor([[0.1, 0.9, 0.3], [0.2, -0.5, 0.1]])
    assert loss.predict(out, potential=potential).tolist() == [2, 0]
    assert loss.predict(out).tolist() == [0, -1]
    with pytest.raises(ValueError, match=r"potential must have shape \[2, 3\], got \[3\]"):
        loss.predict(out, potential=potential[0])
