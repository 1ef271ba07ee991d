"""snnTorch models in the shape of its tutorials, swapped and trained on real digits."""

from itertools import pairwise

import pytest
import torch
from real_models import (
    CROSS_ENTROPY,
    MARGIN,
    STEPS,
    answer_alike,
    calibrated,
    coded,
    digits,
    sizes,
    train,
)
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import plugins

snn = pytest.importorskip("snntorch")
from snntorch import utils  # noqa: E402

SWAP = {snn.Leaky: "single_spike_if"}


class FullyConnected(nn.Module):
    """Explicit states and a loop over time, as in tutorial 5."""

    def __init__(self, hidden=100, **options):
        super().__init__()
        self.fc1 = nn.Linear(784, hidden, **options)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(hidden, 10, **options)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec = []
        mem2_rec = []
        for step in range(STEPS):
            cur1 = self.fc1(self.at(x, step))
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)

    @staticmethod
    def at(x, step):
        """The image itself in every step, or its code at this step."""
        return x if x.dim() == 2 else x[step]


def convolutional():
    """Held states and max pooling in an nn.Sequential, as in tutorial 6."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, init_hidden=True),
        nn.Conv2d(6, 12, 5),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.5, init_hidden=True),
        nn.Flatten(),
        nn.Linear(12 * 4 * 4, 10),
        snn.Leaky(beta=0.5, init_hidden=True, output=True),
    )


class Normalised(nn.Module):
    """Layers in an nn.ModuleList with batch normalisation, states in a list."""

    def __init__(self):
        super().__init__()
        sizes = (784, 80, 10)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "fc": nn.Linear(a, b),
                    "norm": nn.BatchNorm1d(b),
                    "lif": snn.Leaky(beta=0.9, learn_beta=True),
                }
            )
            for a, b in pairwise(sizes)
        )

    def forward(self, x):
        states = [layer["lif"].reset_mem() for layer in self.layers]
        spikes, potentials = [], []
        for out in x:
            for i, layer in enumerate(self.layers):
                out, states[i] = layer["lif"](layer["norm"](layer["fc"](out)), states[i])
            spikes.append(out)
            potentials.append(states[-1])
        return torch.stack(spikes), torch.stack(potentials)


def run_flat(model, train):
    return model(train.flatten(2))


def run_held(model, train):
    utils.reset(model)
    outs = [model(x) for x in train]
    return tuple(torch.stack(part) for part in zip(*outs, strict=True))


@sizes(1500, (0.7, 0.55), 6000, (0.8, 0.8))
def test_fully_connected_network_with_its_forward_unedited(code, count, floor):
    model = calibrated(stp.swap(FullyConnected(bias=False), SWAP), run_flat, code)
    right, decided = train(model, run_flat, MARGIN, code=code, count=count, batch=50, rate=4e-3)
    assert right > floor
    other = stp.swap(FullyConnected(bias=False), SWAP)
    other.load_state_dict(model.state_dict(), strict=True)
    assert answer_alike(other, model, run_flat, code=code)
    if code == "latency":
        twin = stp.to_timed(
            nn.Sequential(model.fc1, model.lif1, model.fc2, model.lif2),
            t_max=STEPS,
            return_potential=True,
            backend="torch",
        )
        got, potential = twin(stp.latency(digits("test", 400)[0], STEPS).flatten(1))
        assert torch.equal(MARGIN.predict(got, potential=potential), decided)


@sizes(800, (None, 0.35), 1600, (0.35, 0.35))
def test_convolutional_network_with_only_the_loss_changed(code, count, floor):
    model = stp.swap(convolutional(), SWAP)
    for synapse in (model[0], model[3], model[7]):  # most weights positive: units get going
        nn.init.uniform_(synapse.weight, -0.7, 1.3)
        nn.init.zeros_(synapse.bias)
    calibrated(model, run_held, code, fire=0.5)
    right, _ = train(model, run_held, CROSS_ENTROPY, code=code, count=count, batch=20, rate=1e-3)
    assert right > floor  # chance is 0.1
    other = stp.swap(convolutional(), SWAP)
    other.load_state_dict(model.state_dict(), strict=True)
    assert answer_alike(other, model, run_held, code=code)
    with pytest.raises(TypeError, match="FirstSpikePool2d|no single-spike unit"):
        stp.to_timed(model, t_max=STEPS)


@sizes(900, (0.6, 0.6), 6000, (0.8, 0.8))
def test_module_list_with_batch_normalisation(code, count, floor):
    plan = stp.plan_swap(Normalised(), SWAP)
    assert "BatchNorm" in str(plan) and "learn_beta" not in dict(plan.replacements[0].dropped)
    model = calibrated(stp.swap(Normalised(), SWAP), run_flat, code)
    right, _ = train(model, run_flat, MARGIN, code=code, count=count, batch=50, rate=4e-3)
    assert right > floor
    other = stp.swap(Normalised(), SWAP)
    other.load_state_dict(model.state_dict(), strict=True)
    assert answer_alike(other, model, run_flat, code=code)
    with pytest.raises(TypeError):
        stp.to_timed(model, t_max=STEPS)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 20)
        self.rlif = snn.RLeaky(beta=0.9, linear_features=20)

    def forward(self, x):
        spk, mem = self.rlif.init_rleaky()
        for step in x:
            spk, mem = self.rlif(self.fc(step), spk, mem)
        return spk


def test_recurrent_network_is_refused_with_the_reason():
    with pytest.raises(plugins.WeightsWouldBeLostError, match=r"rlif \(RLeaky\) owns input or rec"):
        stp.swap(Recurrent(), {snn.RLeaky: "single_spike_if"})


@pytest.mark.parametrize("norm", [None, "sum"])
def test_host_loop_equals_the_event_driven_form_on_real_digits(norm):
    images, labels = digits("train", 40)
    model = stp.swap(FullyConnected(hidden=60, bias=False), SWAP).double()
    stp.calibrate_(model, coded(images.double(), "latency"), run=run_flat)
    loss = stp.RankOrderLoss(STEPS, gamma=2)
    backward = torch.Tensor.backward if norm is None else stp.latency_backward
    optimizer = torch.optim.SGD(model.parameters(), 0.05 if norm is None else 0.002)
    times = stp.latency(images.double(), STEPS).flatten(1)
    layers = nn.Sequential(model.fc1, model.lif1, model.fc2, model.lif2)
    twin = stp.to_timed(
        layers, t_max=STEPS, error_norm=norm, return_potential=True, backend="torch"
    )
    for _ in range(4):
        optimizer.zero_grad()
        out, potential = twin(times)
        loss(out, labels, potential=potential).backward()
        want = [p.grad.clone() for p in model.parameters()]
        optimizer.zero_grad()
        spikes, recorded = run_flat(model, coded(images.double(), "latency"))
        backward(loss.from_spikes(spikes, labels, potential=recorded))
        assert torch.equal(stp.first_spike_times(spikes), out)
        for parameter, grad in zip(model.parameters(), want, strict=True):
            torch.testing.assert_close(parameter.grad, grad, rtol=1e-10, atol=1e-10)
            assert grad.any()
        optimizer.step()


@pytest.mark.parametrize("neuron", ["stock", "single spike"])
def test_binary_synapses_are_swapped_in_learn_digits_and_pack(neuron):
    model = stp.swap_synapses(FullyConnected(bias=False), scale=0.08)
    if neuron == "single spike":
        model = stp.swap(model, SWAP)
    assert type(model.fc1) is type(model.fc2) is stp.BinaryLinear
    before = model.fc1.weight.detach() >= 0
    right, _ = train(model, run_flat, MARGIN, code="constant", count=1500, batch=50, rate=4e-3)
    assert right > 0.5
    flipped = ((model.fc1.weight >= 0) != before).double().mean()
    assert 0.005 < flipped < 0.5
    packed = stp.pack(model)
    assert answer_alike(packed, model, run_flat, code="constant")
