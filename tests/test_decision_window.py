"""DecisionWindow: values of the whole window, gradients of what came before the decision."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

T, INF = 20, float("inf")


def network(delay):
    hidden = nn.Linear(8, 6, bias=False).double()
    output = nn.Linear(6, 3, bias=False).double()
    nn.init.normal_(hidden.weight, 0.3, 0.5)
    nn.init.normal_(output.weight, 0.3, 0.5)
    gate = stp.SingleSpikeIF(0.7, delay=delay, gate="triangle", width=0.6)
    return nn.Sequential(
        stp.Timed(hidden, gate, t_max=T),
        stp.Timed(
            output,
            stp.SingleSpikeIF(0.8, delay=delay),
            t_max=T,
            error_to_silent=True,
            return_potential=True,
        ),
    )


def literal_gradients(model, times, error, delay):
    """Rule A, sample by sample and neuron by neuron, on dense potentials."""
    w0, w1 = (layer.synapse.weight.detach() for layer in model)
    g0, g1 = torch.zeros_like(w0), torch.zeros_like(w1)
    out, _ = model(times)
    for b in range(len(times)):
        first = out[b].min().item()
        first = T if first == INF else int(first)
        potentials = torch.stack([w0 @ (times[b] <= t).double() for t in range(T)])
        hidden = torch.full((6,), INF).double()
        for i in range(6):
            above = (potentials[:, i] > 0.7).nonzero()
            if len(above) and above[0] + delay < T:
                hidden[i] = above[0].item() + delay
        for c in range(3):
            g1[c] += error[b, c] * (hidden <= first - delay).double()
        for i in range(6):
            before = potentials[: max(first - 2 * delay + 1, 0), i]
            if len(before) == 0:
                continue
            peak, where = before.max(0)
            gate = max(0.0, 1 - abs(peak.item() - 0.7) / 0.6)
            credit = sum(error[b, c] * w1[c, i] for c in range(3)) * gate
            g0[i] += credit * (times[b] <= where).double()
    return g0, g1


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_gradients_equal_the_literal_rule(delay, seed):
    torch.manual_seed(seed)
    model = network(delay)
    times = torch.randint(0, T - 4, (4, 8)).double()
    times[:, 5] = INF
    error = torch.randn(4, 3).double()
    out, potential = stp.DecisionWindow(model)(times)
    (potential * error).sum().backward()
    assert torch.isfinite(out).any()
    want = literal_gradients(model, times, error, delay)
    for layer, grad in zip(model, want, strict=True):
        torch.testing.assert_close(layer.synapse.weight.grad, grad, atol=1e-10, rtol=0)


def test_values_are_those_of_the_whole_window():
    model = network(1)
    times = torch.randint(0, T, (4, 8)).double()
    window = stp.DecisionWindow(model)
    for got, want in zip(window(times), model(times), strict=True):
        assert torch.equal(got, want)
    window.eval()
    for got, want in zip(window(times), model(times), strict=True):
        assert torch.equal(got, want)


def test_a_model_without_potential_is_refused():
    with pytest.raises(TypeError, match="return_potential=True. Got Tensor"):
        stp.DecisionWindow(nn.Identity())(torch.zeros(2, 3))


@pytest.mark.parametrize("delay", [0, 1])
def test_potentials_at_the_decision_leave_out_what_came_later(delay):
    torch.manual_seed(3)
    model = network(delay)
    times = torch.randint(0, T, (9, 8)).double()
    out, potential = stp.DecisionWindow(model, potential="decision")(times)
    want, whole = model(times)
    assert torch.equal(out, want)
    hidden = model[0](times)
    weight = model[1].synapse.weight
    differs = 0
    for b in range(9):
        seen = hidden[b] <= out[b].min() - delay
        for c in range(3):
            if out[b, c] > out[b].min():
                torch.testing.assert_close(potential[b, c], weight[c] @ seen.double())
                differs += not torch.isclose(potential[b, c], whole[b, c])
    assert differs > 5
    potential.sum().backward()
    assert torch.isfinite(weight.grad).all() and weight.grad.any()


def test_errors_after_the_first_spike_widen_the_window():
    torch.manual_seed(2)
    model = network(1)
    times = torch.randint(0, T - 4, (9, 8)).double()
    out, _ = model(times)
    late = out.isfinite() & (out == out.masked_fill(out.isinf(), -1).amax(1, keepdim=True))
    shown, _ = stp.DecisionWindow(model)(times, lambda seen: late)
    shown[late].sum().backward()
    got = [layer.synapse.weight.grad for layer in model]
    model.zero_grad()
    out, _ = model(times)
    out[late].sum().backward()
    torch.testing.assert_close(got[1], model[1].synapse.weight.grad)
    assert got[0].any()


def test_both_runs_silence_the_same_spikes():
    class Drop(nn.Module):
        seen = ()

        def forward(self, times):
            self.seen += (torch.rand(3),)
            return times

    model = network(0)
    model.insert(1, drop := Drop())
    stp.DecisionWindow(model)(torch.randint(0, T, (4, 8)).double())
    first, second = drop.seen
    assert torch.equal(first, second)


def test_unknown_potential_is_named():
    with pytest.raises(ValueError, match="potential must be one of 'window', 'decision'; got 'no'"):
        stp.DecisionWindow(network(0), potential="no")
