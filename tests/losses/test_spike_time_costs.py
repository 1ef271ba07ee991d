"""Costs on all spike times, and the read-out by integrated potentials."""

import pytest
import torch

import snn_temporal_plugins as stp

INF = float("inf")
TIMES = [[[0.3, 0.9, INF], [1.4, INF, INF], [INF, INF, INF]]]


def times():
    return torch.tensor(TIMES, dtype=torch.float64, requires_grad=True)


def test_temporal_penalty_pulls_spikes_to_the_reference():
    t = times()
    loss = stp.TemporalPenalty(0.5, strength=0.7)(t)
    assert loss.item() == pytest.approx(0.7 * (0.2**2 + 0.4**2 + 0.9**2))
    loss.backward()
    assert t.grad[0, 0, 0].item() == pytest.approx(1.4 * -0.2)
    assert not t.grad[torch.isinf(t)].any()


def test_sparsity_pushes_spikes_later_and_not_beyond_the_window():
    t = times()
    loss = stp.SpikeTimeSparsity(1.2, strength=0.6)(t)
    assert loss.item() == pytest.approx(0.6 * (0.9 + 0.3) / 1.2)
    loss.backward()
    assert (t.grad[0, 0, :2] == -0.5).all() and t.grad.count_nonzero() == 2


def test_count_surrogate_writes_the_error_on_every_spike():
    t = times()
    loss = stp.SpikeCountSurrogate(label_count=5.0, other_count=0.5)
    value = loss(t, torch.tensor([2]))
    assert value.item() == pytest.approx(0.5 * (1.5**2 + 0.5**2 + 5**2))
    value.backward()
    assert t.grad[0].tolist() == [[-1.5, -1.5, 0], [-0.5, 0, 0], [5.0, 0, 0]]
    assert loss.predict(t).tolist() == [0]


def test_a_silent_neuron_is_not_asked_to_be_more_silent():
    t = times()
    stp.SpikeCountSurrogate(label_count=2.0, other_count=0.0)(t, torch.tensor([0])).backward()
    assert not t.grad[0, 2].any()


@pytest.mark.parametrize("tau_mem", [0.8, 1.3, 2.6, INF])
def test_integrated_potential_is_the_integral_of_the_response(tau_mem):
    readout = stp.IntegratedPotential(tau_mem, 1.3, 2.1)
    t = times()
    grid = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    spike = stp.ExactLIF(tau_mem, 1.3, 1e6, truncation="ignore")
    found = readout(t)
    assert found.shape == (1, 3) and found[0, 2] == 0
    from snn_temporal_plugins.neurons.exact_lif_dynamics import Constants, psp

    c = Constants.of(1.0, spike.tau_mem, spike.tau_syn)
    wanted = sum(torch.trapezoid(psp(grid * s, c), grid * s) for s in (1.8, 1.2))
    assert found[0, 0].item() == pytest.approx(wanted.item(), rel=1e-8)
    inner = t.detach()[:, :2, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(readout, (inner,))


def test_bad_times_are_named():
    with pytest.raises(ValueError, match=r"times must have shape \[B, N, K\], got \[2, 3\]"):
        stp.IntegratedPotential(2.6, 1.3, 2.1)(torch.rand(2, 3))
    loss = stp.SpikeCountSurrogate(label_count=2.0, other_count=0.5)
    with pytest.raises(ValueError, match=r"times must have shape \[B, C, K\], got \[2, 3\]"):
        loss(torch.rand(2, 3), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="strength must be at least 0 and finite, got -0.4"):
        stp.TemporalPenalty(0.5, strength=-0.4)
    assert "t_max=1.2" in repr(stp.SpikeTimeSparsity(1.2, strength=0.6))
    assert "t_ref=0.5" in repr(stp.TemporalPenalty(0.5, strength=0.6))
    assert "label_count=2" in repr(loss) and "tau_syn=1.3" in repr(
        stp.IntegratedPotential(2.6, 1.3, 2.1)
    )
