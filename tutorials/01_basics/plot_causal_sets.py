r"""
Causal sets, and why the gradient looks as it does
==================================================

.. rubric:: You will learn

- which inputs of a neuron get gradient, and why the others get none,
- that the rule of S4NN is a convention, while the derivative of a spike time exists and is exact,
- where that derivative jumps,
- what a surrogate gate tells a neuron that stayed silent.

A spike at :math:`t_j` can only have been caused by inputs that came before. They are its **causal
set**, :math:`\{i : t_i \le t_j\}`.
"""

# %%
# Who gets gradient
# -----------------
# Six inputs, one neuron. Its spike falls when the fourth arrives. The others are too late: change
# their weights, and the spike stays where it is. Backpropagation says so.

import matplotlib.pyplot as plt
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.plot import COLOURS

times = torch.tensor([[2.0, 6.0, 11.0, 15.0, 22.0, 27.0]])
fc = nn.Linear(6, 1, bias=False)
fc.weight.data = torch.tensor([[0.5, 0.3, -0.2, 0.6, 0.7, 0.4]])
layer = stp.Timed(fc, stp.SingleSpikeIF(threshold=1.0), t_max=32)
out = layer(times)
out.sum().backward()
causal = times[0] <= out.item()
print(f"spike in step {out.item():.0f}, causal set: inputs {causal.nonzero().flatten().tolist()}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for i in range(6):
    shade = COLOURS[0] if causal[i] else "0.7"
    left.plot([times[0, i]] * 2, [i - 0.35, i + 0.35], lw=3, color=shade)
left.axvline(out.item(), color=COLOURS[1], ls="--", label="output spike")
left.set(xlim=(0, 32), xlabel="time (step)", ylabel="input", title="blue: the causal set")
left.legend(frameon=False)
right.barh(range(6), fc.weight.grad[0], color=[COLOURS[0] if c else "0.7" for c in causal])
right.set(xlabel="gradient of the spike time on the weight", title="the rule of S4NN", yticks=[])
right.set_xlim(-1.3, 0.3)
plt.show()

# %%
# A rule, not a derivative
# ------------------------
# Every causal input got the same, -1: "more weight, earlier spike". This is the convention of
# S4NN, :math:`\partial t_j / \partial V_j = -1`. The true spike time of this neuron is a staircase
# in each weight, with derivative 0 almost everywhere: nothing could be learned from it. So the rule
# is a direction to go, and its size is settled by normalising errors.

weights = torch.linspace(-0.4, 1.4, 400)
with torch.no_grad():
    stairs = []
    for w in weights:
        fc.weight.data[0, 1] = w
        stairs.append(layer(times).item())
    fc.weight.data[0, 1] = 0.3
steps = torch.tensor(stairs)

# %%
# In continuous time, with a post-synaptic current that rises and falls, the time of a spike is a
# smooth function of weights and input times, and has a derivative:
#
# .. math:: \frac{\partial t_j}{\partial w_i} = - \frac{\partial V / \partial w_i}{\dot V(t_j)}
#
# :class:`~snn_temporal_plugins.ExactLIF` computes it. Where the causal set changes the spike time
# has a kink or jumps, and the derivative with it. Everywhere else finite differences confirm it.

neuron = stp.ExactLIF(tau_mem=8.0, tau_syn=4.0, threshold=1.3, max_spikes=1, slope_min=0.0)
smooth_fc = nn.Linear(6, 1, bias=False).double()
smooth_fc.weight.data = fc.weight.data.double()
smooth = stp.Timed(smooth_fc, neuron, t_max=40.0)
exact_times, exact_slopes, differences = [], [], []
step = 1e-6


def fire_at(w):
    """Spike time with another weight of input 1, and the gradient on it."""
    smooth_fc.weight.data[0, 1] = w
    smooth_fc.weight.grad = None
    t = smooth(times.double())[..., 0]
    t.sum().backward()
    return t.item(), smooth_fc.weight.grad[0, 1].item()


for w in weights.double().tolist():
    t, slope = fire_at(w)
    exact_times.append(t)
    exact_slopes.append(slope)
    differences.append((fire_at(w + step)[0] - fire_at(w - step)[0]) / (2 * step))
fired = torch.tensor(exact_times).isfinite()
exact_times, exact_slopes = torch.tensor(exact_times), torch.tensor(exact_slopes)
error = (exact_slopes - torch.tensor(differences)).abs()[fired] / exact_slopes[fired].abs()
same_set = error < 0.1  # a jump between the two probes is no derivative
worst = error[same_set].max().item()
print(f"{int(fired.sum())} weights, largest relative distance to finite differences {worst:.1e}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
shown = steps.isfinite()
left.step(weights[shown], steps[shown], where="post", color=COLOURS[0], label="SingleSpikeIF")
left.plot(weights[fired], exact_times[fired], ".", ms=3, color=COLOURS[1], label="ExactLIF")
left.set(xlabel="weight of input 1", ylabel="spike time", title="spike time against one weight")
left.legend(frameon=False)
some = fired.nonzero().flatten()[::6]
probes = torch.tensor(differences)[some]
right.plot(weights[some], probes, "o", ms=7, mfc="none", color="0.5", label="finite difference")
right.plot(weights[fired], exact_slopes[fired], ".", ms=3, color=COLOURS[1], label="exact")
right.axhline(-1, color=COLOURS[0], label="rule of S4NN")
right.set(xlabel="weight of input 1", ylabel="derivative", title="its derivative", ylim=(-40, 3))
right.legend(frameon=False)
plt.show()

# %%
# The silent neuron
# -----------------
# A neuron that did not fire is in nobody's causal set, so by the rule of S4NN the layer behind it
# sends it no error. With ``error_to_silent=True`` that layer does, and with ``gate="triangle"`` the
# neuron weights the error by how near its largest potential came to the threshold: neurons just
# below it learn, and so do those just above; those far away do not.

gains = torch.linspace(0.0, 2.2, 80)
received = {}
for gate in ("spike", "triangle"):
    hidden = stp.Timed(fc, stp.SingleSpikeIF(1.0, gate=gate), t_max=32)
    behind = stp.Timed(
        nn.Linear(1, 1, bias=False),
        stp.SingleSpikeIF(0.5),
        t_max=32,
        error_to_silent=gate == "triangle",
    )
    nn.init.ones_(behind.synapse.weight)
    sizes, start = [], fc.weight.data.clone()
    for gain in gains:
        fc.weight.data, fc.weight.grad = start * gain, None
        with stp.set_validation(False):  # silence is no mistake here: no warning
            behind(hidden(times)).sum().backward()
        sizes.append(fc.weight.grad[0, 0].abs().item())
    fc.weight.data = start
    received[gate] = torch.tensor(sizes)
peak = gains * fc.weight.data.cumsum(1).max().item()

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for shade, (gate, sizes) in zip(COLOURS, received.items(), strict=False):
    ax.plot(peak, sizes, color=shade, label=f'gate="{gate}"')
ax.axvline(1.0, color="0.4", ls="--", label="threshold")
ax.set(xlabel="largest potential of the window", ylabel="size of the gradient")
ax.set_title("Who learns: the paper's gate and the triangle")
ax.legend(frameon=False)
plt.show()

# %%
# Closing table
# -------------

below = int((received["spike"][peak <= 1.0] > 0).sum())
near = int((received["triangle"][peak <= 1.0] > 0).sum())
print(f"{'gradient':<24}{'on causal inputs':>18}{'on silent neurons':>20}")
print(f"{'rule of S4NN':<24}{'-1':>18}{f'{below} of {int((peak <= 1).sum())}':>20}")
print(f"{'triangular gate':<24}{'up to -1':>18}{f'{near} of {int((peak <= 1).sum())}':>20}")
print(f"{'exact (ExactLIF)':<24}{'-dV/dw / slope':>18}{'phantom spike':>20}")
print(f"exact against finite differences: {worst:.1e}")

# %%
# References
# ----------
# - S. R. Kheradpisheh, T. Masquelier, "S4NN: temporal backpropagation for spiking neural networks
#   with one spike per neuron", arXiv:1910.09495, equation 10: the rule.
# - S. M. Bohte, J. N. Kok, H. La Poutré, "Error-backpropagation in temporally encoded networks of
#   spiking neurons", Neurocomputing 48, 2002: the derivative of a spike time.
# - T. C. Wunderlich, C. Pehle, "Event-based backpropagation can compute exact gradients for spiking
#   neural networks", Scientific Reports 11, 2021, arXiv:2009.08378.
#
# **Next:** :doc:`plot_losses` puts a loss on top of these times.

# sphinx_gallery_thumbnail_number = 2
assert 0 < worst < 1e-3 and below == 0 < near
assert int(same_set.sum()) > 0.95 * len(same_set)
