"""Swap the plug-in's neuron into a model of a host, train it with the plug-in's loss.

python train.py snntorch|norse [NAME]   prints the loss before and after.
"""

import sys

import torch
from torch import nn

import snn_temporal_plugins as stp

STEPS, CLASSES = 12, 3


def task():
    """Three classes, told by which third of the inputs is on from the start."""
    labels = torch.arange(60) % CLASSES
    strength = 0.2 * torch.rand(60, 9) + 0.8 * (torch.arange(9) // 3 == labels[:, None])
    return strength.expand(STEPS, -1, -1), labels


def in_snntorch():
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(9, 12), snn.Leaky(beta=0.9)
            self.fc2, self.lif2 = nn.Linear(12, CLASSES), snn.Leaky(beta=0.9)

        def forward(self, x):
            mem1, mem2, outs = self.lif1.init_leaky(), self.lif2.init_leaky(), []
            for step in x:
                spk, mem1 = self.lif1(self.fc1(step), mem1)
                spk, mem2 = self.lif2(self.fc2(spk), mem2)
                outs.append(spk)
            return torch.stack(outs)

    return Net(), snn.Leaky


def in_norse():
    import norse.torch as norse

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            first = norse.Lift(nn.Linear(9, 12)), norse.LIF()
            second = norse.Lift(nn.Linear(12, CLASSES)), norse.LIF()
            self.layers = norse.SequentialState(*first, *second)

        def forward(self, x):
            return self.layers(x)[0]

    return Net(), norse.LIF


def main(host, name="quadratic_if"):
    torch.manual_seed(2)
    net, old = {"snntorch": in_snntorch, "norse": in_norse}[host]()
    net = stp.swap(net, {old: name}, threshold=1.2, curvature=0.1)
    for weight in (p for p in net.parameters() if p.dim() == 2):  # more excitation than inhibition
        nn.init.uniform_(weight, -0.2, 0.5)
    x, labels = task()
    stp.calibrate_(net, x, fire=0.5)
    loss = stp.get("loss", "first_spike_margin")(STEPS, margin=3.0)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    values = []
    start = {n: p.detach().clone() for n, p in net.named_parameters() if "curvature" in n}
    for _ in range(25):
        optimizer.zero_grad()
        value = loss.from_spikes(net(x), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    now = dict(net.named_parameters())
    learned = [name for name, value in start.items() if now[name] != value]
    print(f"{values[0]:.4f} {values[-1]:.4f} {len(learned)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
