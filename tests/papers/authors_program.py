"""The programs of the S4NN and BS4NN authors, literally: one image at a time, one step at a time.

Written from the description of what those programs do, to be read beside it: `t_max` stands for
"never fired", a neuron that crosses in step c fires in step c + 1, and causes are strictly earlier.
"""

import numpy as np

T_MAX = 256
UNIT_DIGITS = (4, 1, 0, 7, 9, 2, 3, 5, 8, 6)  # the digit each output unit of S4NN stands for


def encode(image, zero=T_MAX):
    """Grey levels 0..255 to times; a black pixel stands at `zero` (256 in S4NN, 255 in BS4NN)."""
    image = np.asarray(image, dtype=np.int64).ravel()
    times = (255 - image) * 256 // 255
    times[image == 0] = zero
    return times


def firing_times(times, weight, threshold):
    """Clock-driven layer over the steps 0..254, and its potential at step 253."""
    v = np.zeros(len(weight))
    fired = np.full(len(weight), T_MAX)
    for step in range(T_MAX - 1):
        v = v + weight[:, times == step].sum(axis=1)
        fired[(v > threshold) & (fired == T_MAX)] = step + 1
        if step == T_MAX - 3:
            readout = v.copy()
    return fired, readout


def target_times(fired, label, gamma, push_when_silent):
    earliest = fired.min()
    target = fired.copy()
    if earliest == T_MAX:
        if push_when_silent:
            target[label] = T_MAX - gamma
        return target
    for j in range(len(fired)):
        if j == label:
            target[j] = earliest
        elif fired[j] - earliest < gamma:
            target[j] = min(earliest + gamma, T_MAX)
    return target


def normalized(delta):
    length = np.sqrt((delta**2).sum())
    return delta / length if length != 0 else delta


def hidden_error(delta, weight, hidden, output):
    error = np.zeros(len(hidden))
    for i in range(len(hidden)):
        for j in range(len(output)):
            if hidden[i] < output[j]:
                error[i] += delta[j] * weight[j, i]
    return normalized(error)


def s4nn_sample(image, label, w0, w1, *, threshold, eta, decay, gamma):
    """One image through S4NN; changes `w0` and `w1` in place, returns the two firing times."""
    inputs = encode(image)
    hidden, _ = firing_times(inputs, w0, threshold)
    output, _ = firing_times(hidden, w1, threshold)
    error = (target_times(output, label, gamma, True) - output) / T_MAX
    delta = normalized(error)
    w1 -= eta * delta[:, None] * (hidden[None, :] < output[:, None])
    w1 *= 1 - eta * decay
    back = hidden_error(delta, w1, hidden, output)  # with the weights just changed
    w0 -= eta * back[:, None] * (inputs[None, :] < hidden[:, None])
    w0 *= 1 - eta * decay
    return hidden, output


def bs4nn_sample(image, label, w0, w1, alpha, *, threshold, eta, mu, gamma):
    """One image through BS4NN; changes `w0`, `w1` and `alpha` (two scales) in place."""
    inputs = encode(image, zero=T_MAX - 1)
    hidden, _ = firing_times(inputs, np.sign(w0), threshold / alpha[0])
    output, _ = firing_times(hidden, np.sign(w1), threshold / alpha[1])
    error = (target_times(output, label, gamma, False) - output) / T_MAX
    delta = normalized(error)
    gradient = delta[:, None] * (hidden[None, :] < output[:, None])
    w1 -= eta * gradient
    alpha[1] -= mu * (gradient * np.sign(w1)).mean()
    back = hidden_error(delta, w1, hidden, output)
    gradient = back[:, None] * (inputs[None, :] < hidden[:, None])
    w0 -= eta * gradient
    alpha[0] -= mu * (gradient * np.sign(w0)).mean()
    return hidden, output


def decisions(output, readout):
    """The authors' decision: the set of classes that fire first, else the largest potential."""
    if output.min() < T_MAX:
        return set(np.flatnonzero(output == output.min()).tolist())
    return {int(readout.argmax())}
