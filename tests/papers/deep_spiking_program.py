"""The units and the network of "Deep Spiking Networks" as literal loops over spikes.

Nothing here is vectorised, and no formula is shared with the package: a quantiser subtracts one
spike at a time, a network hands on one spike at a time. Lists of floats only.
"""

import math


def quantise(stream, phi=0.0, quantum=1.0):
    """Signed spikes of one unit per step: emit while more than half a quantum is left."""
    out = []
    for x in stream:
        phi, spikes = phi + x, 0
        while abs(phi) > quantum / 2:
            sign = 1 if phi > 0 else -1
            phi -= sign * quantum
            spikes += sign
        out.append(spikes)
    return out, phi


def rectify(stream, quantum=1.0, correction=False):
    """Positive spikes only; with correction negative ones while the count is positive."""
    phi, count, out = 0.0, 0, []
    for x in stream:
        phi, spikes = phi + x, 0
        while phi > quantum / 2:
            phi, spikes = phi - quantum, spikes + 1
        while correction and phi < -quantum / 2 and count + spikes > 0:
            phi, spikes = phi + quantum, spikes - 1
        count += spikes
        out.append(spikes)
    return out, phi


def round_half_to_zero(p):
    """R(p): the count of a quantiser whose sum moved from 0 to p without turning."""
    return int(math.copysign(max(0, math.ceil(abs(p) - 0.5)), p))


class Network:
    """Fully connected network, trained by error spikes; weights are nested lists [in][out]."""

    def __init__(self, weights, steps, *, order, update, gate, smooth, rate, quantum=1.0):
        self.weights, self.steps = weights, steps
        self.order, self.update, self.gate, self.smooth = order, update, gate, smooth
        self.rate, self.quantum = rate / steps**2, quantum
        self.sizes = [len(weights[0])] + [len(w[0]) for w in weights]
        self.back = [[0.0] * n for n in self.sizes]  # carried from sample to sample
        self.additions = {"forward": 0, "backward": 0, "update": 0}
        self.spikes = [0] * len(self.sizes)
        self.errors = [0] * len(self.sizes)
        self.passed = [0] * len(self.sizes)

    def start(self):
        self.phi = [[0.0] * n for n in self.sizes]
        self.total = [[0.0] * n for n in self.sizes]
        self.count = [[0] * n for n in self.sizes]
        self.error_count = [[0] * n for n in self.sizes]

    def crossings(self, phi, signed, quantum=1.0):
        """All spikes that are due, with the largest residue first, then the first unit."""
        due = []
        for j in range(len(phi)):
            while phi[j] > quantum / 2 or (signed and phi[j] < -quantum / 2):
                sign = 1 if phi[j] > 0 else -1
                due.append((-abs(phi[j]), j, sign))
                phi[j] -= sign * quantum
        return [(j, sign) for _, j, sign in sorted(due)]

    def forward(self, x):
        """One step; the spikes of the output layer."""
        for i, value in enumerate(x):
            self.phi[0][i] += value
            self.total[0][i] += value
        queue = self.crossings(self.phi[0], signed=True)
        for layer in range(len(self.sizes)):
            for j, sign in queue:
                self.spikes[layer] += 1
                self.count[layer][j] += sign
            if layer == len(self.weights):
                return queue
            sent = []
            for i, sign in queue:
                for j, w in enumerate(self.weights[layer][i]):
                    self.phi[layer + 1][j] += sign * w
                    self.total[layer + 1][j] += sign * w
                    self.additions["forward"] += 1
                if self.order == "event":
                    sent += self.crossings(self.phi[layer + 1], signed=False)
            if self.order == "step":
                sent = self.crossings(self.phi[layer + 1], signed=False)
            queue = sent

    def incoming(self, layer, i):
        """What an error is multiplied by: the input of a synapse so far."""
        if not self.smooth:
            return self.count[layer][i]
        return self.total[layer][i] if layer == 0 else max(0.0, self.total[layer][i])

    def size(self, layer):
        """Of an error spike: a whole one of the output, a quantum of a hidden unit."""
        return 1.0 if layer == len(self.weights) else self.quantum

    def change(self, layer, j, error):
        error *= self.size(layer)
        for i in range(self.sizes[layer - 1]):
            value = self.incoming(layer - 1, i)
            if value:
                self.weights[layer - 1][i][j] -= self.rate * error * value
                self.additions["update"] += 1

    def backward(self, queue):
        """Error spikes of the output layer, all the way down."""
        for layer in range(len(self.weights), 0, -1):
            sent, through = [], []
            for j, sign in queue:
                self.errors[layer] += 1
                if self.total[layer][j] < 0:
                    continue
                through.append((j, sign))
                self.passed[layer] += 1
                self.error_count[layer][j] += sign
                if layer > 1:
                    for i in range(self.sizes[layer - 1]):
                        self.back[layer - 1][i] += (
                            sign * self.size(layer) * self.weights[layer - 1][i][j]
                        )
                        self.additions["backward"] += 1
                    if self.order == "event":
                        sent += self.crossings(self.back[layer - 1], True, self.quantum)
                if self.update == "fsgd" and self.order == "event":
                    self.change(layer, j, sign)
            if self.update == "fsgd" and self.order == "step":
                for j, sign in through:
                    self.change(layer, j, sign)
            if layer > 1 and self.order == "step":
                sent = self.crossings(self.back[layer - 1], True, self.quantum)
            queue = sent

    def launch(self, errors):
        spikes = [(j, 1 if e > 0 else -1) for j, e in enumerate(errors) for _ in range(abs(e))]
        if self.order == "step":
            self.backward(spikes)
        else:
            for spike in spikes:
                self.backward([spike])

    def train_one(self, x, label):
        self.start()
        later = []
        for _ in range(self.steps):
            errors = [0] * self.sizes[-1]
            for j, sign in self.forward(x):
                errors[j] += sign
            errors[label] -= 1
            if self.gate == "causal":
                self.launch(errors)
            else:
                later.append(errors)
        for errors in later:
            self.launch(errors)
        if self.update == "sgd":
            for layer in range(1, len(self.sizes)):
                for j, error in enumerate(self.error_count[layer]):
                    if error:
                        self.change(layer, j, error)

    def scores(self, x):
        self.start()
        for _ in range(self.steps):
            self.forward(x)
        return [total / self.steps for total in self.total[-1]]
