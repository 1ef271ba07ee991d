"""Pooling on spikes: the earliest of a window, or their sum."""

from __future__ import annotations

import importlib
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from . import _backends, _checks
from .codes import first_spike_times, spike_train


class _Pool2d(nn.Module):
    """What poolings share: the window and the choice of an implementation."""

    backends = ("numba",)
    _operator: str  #: its folder in ``kernels``

    def __init__(self, kernel: int, backend: str) -> None:
        super().__init__()
        owner = type(self).__name__
        self.kernel = _checks.integer(owner, "kernel", kernel, 1)
        self.backend = _checks.choice(owner, "backend", backend, ("auto", "torch", *self.backends))
        self._choose()

    def _choose(self) -> None:
        owner = type(self).__name__
        self._chosen = _backends.load(owner, self.backend, self.backends, self.load_backend)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._choose()  # of this machine

    def load_backend(self, backend: str) -> None:
        """Import what one of ``backends`` needs; ``ImportError`` if it is not installed."""
        importlib.import_module(f"{__package__}.kernels.{self._operator}.op")

    def extra_repr(self) -> str:
        chosen = _backends.describe(self.backend, self._chosen)
        return f"{self._constants()}, backend={chosen!r}"

    def _constants(self) -> str:
        return f"kernel={self.kernel}"


class FirstSpikePool2d(_Pool2d):
    r"""Earliest spike of each window.

    .. math:: t_{out} = \min_{i \in \text{window}} t_i

    Parameters
    ----------
    kernel : int
        Height and width of the window, in pixels; windows do not overlap, and what is left over
        at the right and lower border is dropped, as in ``nn.MaxPool2d``.
    backend : {"auto", "torch", "numba"}, default="auto"
        ``"torch"`` is the reference; ``"auto"`` takes the kernel where it is installed and the
        images are on the CPU.

    Raises
    ------
    ValueError
        If ``kernel`` is below 1, or the input has another shape.

    Notes
    -----
    *Shapes.* Spike times ``[B, C, H, W]`` to ``[B, C, H', W']``, or a spike train
    ``[T, B, C, H, W]`` to one that holds only the first spike of each window. (``nn.MaxPool2d``
    on a train would let a window fire in several steps.)

    *Gradient.* All of it goes to the earliest input of the window; among several, to the first.

    *Silent neurons.* A window without a spike has time ``inf``.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Ganjtabesh, S. J. Thorpe, T. Masquelier, "STDP-based spiking deep
       convolutional neural networks for object recognition", Neural Networks 99, 2018,
       arXiv:1611.01421: pooling neurons pass on the first spike of their window.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> times = torch.tensor([[[[5.0, 3.0], [float("inf"), 9.0]]]])
    >>> stp.FirstSpikePool2d(2)(times).flatten().tolist()
    [3.0]
    """

    _operator = "first_spike_pool"

    def __init__(self, kernel: int, *, backend: str = "auto") -> None:
        super().__init__(kernel, backend)

    def forward(self, spikes: Tensor) -> Tensor:
        """Pool spike times ``[B, C, H, W]`` or a spike train ``[T, B, C, H, W]``."""
        if spikes.dim() == 4:
            _checks.spike_times("FirstSpikePool2d", spikes)
            if _backends.on(self.backend, self._chosen, spikes) == "numba":
                from .kernels.first_spike_pool.op import pool

                return pool(spikes, self.kernel)
            return -F.max_pool2d(-spikes, self.kernel)
        if spikes.dim() == 5:
            return spike_train(self(first_spike_times(spikes)), len(spikes)).to(spikes.dtype)
        raise ValueError(
            "FirstSpikePool2d: expected times [B, C, H, W] or a train [T, B, C, H, W], "
            f"got {list(spikes.shape)}."
        )


class SumPool2d(_Pool2d):
    r"""Scaled sum of each window.

    .. math:: y = s \sum_{i \in \text{window}} x_i

    Parameters
    ----------
    kernel : int, default=2
        Height and width of the window, in pixels; windows do not overlap, and what is left over
        at the right and lower border is dropped.
    scale : float, default=1.1
        Factor :math:`s`. The default is that of the authors' program of TSSL-BP, whose pooling is
        a convolution with a fixed kernel of ones: a 2 x 2 window puts out up to 4.4.
    backend : {"auto", "torch", "numba"}, default="auto"
        ``"torch"`` is the reference; ``"auto"`` takes the kernel where it is installed and the
        images are on the CPU.

    Raises
    ------
    ValueError
        If ``kernel`` is below 1, ``scale`` is not positive, or the input has another shape.

    Notes
    -----
    *Shapes.* ``[B, C, H, W]`` to ``[B, C, H', W']``, or over time ``[T, B, C, H, W]``. The sum is
    linear, so spikes and PSCs may go through it alike.

    *Silent neurons* add nothing.

    References
    ----------
    .. [1] W. Zhang, P. Li, "Temporal spike sequence learning via backpropagation for deep spiking
       neural networks", arXiv:2002.10085; the factor is that of the authors' program.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.SumPool2d(2, scale=0.5)(torch.ones(1, 1, 4, 4)).flatten().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """

    _operator = "sum_pool"

    def __init__(self, kernel: int = 2, scale: float = 1.1, *, backend: str = "auto") -> None:
        super().__init__(kernel, backend)
        self.scale = _checks.positive("SumPool2d", "scale", scale)

    def _constants(self) -> str:
        return f"{super()._constants()}, scale={self.scale:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``[B, C, H, W]`` or ``[T, B, C, H, W]``."""
        if x.dim() not in (4, 5):
            raise ValueError(
                f"SumPool2d: expected [B, C, H, W] or [T, B, C, H, W], got {list(x.shape)}."
            )
        if _backends.on(self.backend, self._chosen, x) == "numba":
            from .kernels.sum_pool.op import pool

            return pool(x, self.kernel, self.scale)
        pooled = F.avg_pool2d(x.flatten(0, -4), self.kernel) * (self.scale * self.kernel**2)
        return pooled.unflatten(0, x.shape[:-3])
