"""Stock neurons of the hosts that fire the very spikes of a :class:`TSSLLIF`.

To run a trained network in the host alone: same weights, times a gain, other modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from .. import _checks
from ..neurons.tssl_lif import TSSLLIF

KINDS = {
    "snntorch.Leaky": "psc",
    "snntorch.Synaptic": "spikes",
    "norse.LIF": "spikes",
    "norse.LIFCell": "spikes",
    "norse.LIFBoxCell": "psc",
}


def to_stock(
    neuron: TSSLLIF, kind: str, *, dt: float = 0.001, **options: Any
) -> tuple[nn.Module, float]:
    r"""Neuron of a host with identical spikes, and the gain on its input.

    Parameters
    ----------
    neuron : TSSLLIF
        Only its constants are used.
    kind : {"snntorch.Leaky", "snntorch.Synaptic", "norse.LIF", "norse.LIFCell", "norse.LIFBoxCell"}
        ``snntorch.Leaky`` and ``norse.LIFBoxCell`` have no synaptic current: feed them
        ``gain * W a`` with the PSCs :math:`a` of the layer below (of their own spikes by
        :class:`~snn_temporal_plugins.PSC`), as in the PSC form. The others filter their input:
        feed them ``gain * W s`` with its spikes, as in the spike form.
    dt : float, default=0.001
        Length of a time step in seconds, for Norse.
    **options
        Further arguments of the host's neuron, for instance ``spike_grad``.

    Returns
    -------
    module : nn.Module
    gain : float
        Multiply the current :math:`W a` or :math:`W s` with it: 1, :math:`1/\tau_s`,
        :math:`\tau_m` or :math:`\tau_m / \tau_s`.

    Raises
    ------
    ValueError
        If there is no such kind, or ``dt`` is not positive.
    ImportError
        If the host is not installed.

    Notes
    -----
    The gradients are those of the host. snnTorch's ``Synaptic`` needs ``reset_delay=False``: with
    its default the reset also wipes out the input of the next step, and a tenth of the spikes
    differ. *Silent neurons* are silent in both.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> from snn_temporal_plugins.frontends.stock import to_stock
    >>> leaky, gain = to_stock(stp.TSSLLIF(tau_mem=4.0), "snntorch.Leaky")
    >>> round(leaky.beta.item(), 3), gain
    (0.75, 1.0)
    """
    _checks.choice("to_stock", "kind", kind, KINDS)
    dt = _checks.positive("to_stock", "dt", dt)
    mem, syn, threshold = neuron.tau_mem, neuron.tau_syn, neuron.threshold
    host, name = kind.split(".")
    front = import_module(f"{__package__}.{host}")  # says what to install where the host is missing
    if host == "snntorch":
        reset = {"threshold": threshold, "reset_mechanism": "zero"}
        if name == "Leaky":
            return front.snn.Leaky(1 - 1 / mem, **reset, **options), 1.0
        decays = 1 - 1 / syn, 1 - 1 / mem
        return front.snn.Synaptic(*decays, reset_delay=False, **reset, **options), 1 / syn
    library = front.norse_torch
    constants = {"tau_mem_inv": 1 / (mem * dt), "v_th": threshold, "v_reset": 0.0}
    if name == "LIFBoxCell":
        return library.LIFBoxCell(library.LIFBoxParameters(**constants), dt=dt, **options), mem
    constants["tau_syn_inv"] = 1 / (syn * dt)
    made = getattr(library, name)(library.LIFParameters(**constants), dt=dt, **options)
    return made, mem / syn
