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
