import torch
from torch import nn

import snn_temporal_plugins as stp

digits = stp.datasets.load("mnist", "train")
times = stp.latency(digits.pixels, t_max=256).flatten(1)  # bright = early, black = never (inf)
rule = {"t_max": 256, "error_norm": "sum", "beta": 0.1}  # the learning rule of S4NN
hidden = stp.Timed(nn.Linear(784, 400, bias=False), stp.SingleSpikeIF(100.0), init=(0, 5), **rule)
output = stp.Timed(nn.Linear(400, 10, bias=False), stp.SingleSpikeIF(100.0), init=(0, 48), **rule)
model = nn.Sequential(hidden, output)
loss, optimizer = stp.RankOrderLoss(256, gamma=5), torch.optim.SGD(model.parameters(), lr=0.4)
for batch in torch.randperm(len(times)).split(32):
    optimizer.zero_grad()
    loss(model(times[batch]), digits.labels[batch]).backward()
    optimizer.step()
print(stp.first_spike_decision(model, times[:10]).label, digits.labels[:10])
