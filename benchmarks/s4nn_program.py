"""The S4NN authors' way to compute, vectorised in NumPy: the yardstick of the benchmarks.

Every image becomes dense spike trains over 256 steps, every layer one matrix product and one
cumulative sum over time, and the weights are updated in place after each image. It is written from
the description of the authors' program and checked against a literal loop in
``tests/papers/test_s4nn_program.py``. The binary variant (BS4NN) takes the signs of the weights and
divides the threshold by the scale of the layer.
"""

import numpy as np

T_MAX = 256


def encode(image):
    """Grey levels 0..255 to times; a black pixel never fires (256)."""
    return (255 - image.astype(np.int64).ravel()) * T_MAX // 255


def layer(times, weight, threshold):
    """Firing times (256: silent) of one layer, and its potentials at step 253."""
    train = (times[:, None] == np.arange(T_MAX - 1)).astype(weight.dtype)  # [I, T-1]
    v = np.cumsum(weight @ train, axis=1)  # [O, T-1]
    above = v > threshold
    fired = np.where(above.any(1), above.argmax(1) + 1, T_MAX)
    return fired, v[:, T_MAX - 3]


class Program:
    """Two layers and their update; ``scales`` makes them binary."""

    def __init__(self, w0, w1, *, threshold=100.0, eta=0.2, decay=1e-6, gamma=3, scales=None):
        self.weights = [w0, w1]
        self.eta, self.decay, self.gamma = eta, decay, gamma
        self.binary = scales is not None
        self.thresholds = [threshold / scale for scale in scales or (1.0, 1.0)]

    def forward(self, image):
        """Times of the inputs, the hidden and the output neurons, and the potentials at 253."""
        times = [encode(image)]
        for weight, threshold in zip(self.weights, self.thresholds, strict=True):
            shown = np.where(weight >= 0, 1.0, -1.0) if self.binary else weight
            fired, readout = layer(times[-1], shown, threshold)
            times.append(fired)
        return *times, readout

    def predict(self, image):
        """First output to fire; the largest potential if none does."""
        *_, fired, readout = self.forward(image)
        return int(fired.argmin()) if fired.min() < T_MAX else int(readout.argmax())

    def train(self, image, label):
        """One image: forward, error, update of both layers in place."""
        inputs, hidden, output, _ = self.forward(image)
        delta = _normalized((self._targets(output, label) - output) / T_MAX)
        w0, w1 = self.weights
        causal = hidden[None, :] < output[:, None]
        w1 -= self.eta * delta[:, None] * causal
        w1 *= 1 - self.eta * self.decay
        delta = _normalized((delta[:, None] * w1 * causal).sum(0))
        w0 -= self.eta * delta[:, None] * (inputs[None, :] < hidden[:, None])
        w0 *= 1 - self.eta * self.decay
        return hidden, output

    def _targets(self, fired, label):
        earliest = fired.min()
        if earliest == T_MAX:
            targets = np.full_like(fired, T_MAX)
            targets[label] = T_MAX - self.gamma
            return targets
        near = fired - earliest < self.gamma
        targets = np.where(near, min(earliest + self.gamma, T_MAX), fired)
        targets[label] = earliest
        return targets


def _normalized(delta):
    length = np.linalg.norm(delta)
    return delta / length if length else delta
