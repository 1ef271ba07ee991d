"""Binarised synapses (BS4NN), fully connected and convolutional."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from .. import _checks
from .binarized import BinarySynapse


class BinaryLinear(BinarySynapse):
    r"""Fully connected synapses with binary weights and real latent weights behind them.

    .. math::
        I_j = \alpha \sum_i \operatorname{sign}(w_{ji}) S_i + b_j, \qquad
        \operatorname{sign}(0) = +1

    with latent weights :math:`w` and a scale :math:`\alpha`. The gradient passes to the latent
    weights as if they were the binary ones (without the factor :math:`\alpha`), and the scale gets
    the mean over its synapses instead of the sum:

    .. math::
        \frac{\partial L}{\partial w_{ji}} := \frac{\partial L}{\partial \hat w_{ji}}, \qquad
        \frac{\partial L}{\partial \alpha} :=
            \langle \frac{\partial L}{\partial \hat w_{ji}} \operatorname{sign}(w_{ji})
            \rangle_{ji}, \qquad \hat w_{ji} = \alpha \operatorname{sign}(w_{ji})

    Parameters
    ----------
    in_features, out_features : int
        Numbers I of inputs and O of neurons.
    bias : bool, default=False
        Add a real bias to each current.
    scale : float, optional
        Scale :math:`\alpha` to start with, by default the mean of :math:`|w|`, also where a
        checkpoint of real weights is loaded.
    scale_per : {"layer", "channel"}, default="layer"
        One scale for the layer or one for each neuron.
    learn_scale : bool, default=False
        Whether the scale requires a gradient. A learned scale needs bounds: in the authors'
        settings it drifts without end.
    scale_bounds : tuple of two floats, default=(1e-4, 1e4)
        The scale that is used is clamped to this range.
    backward : {"latent", "straight_through"}, default="latent"
        Which weights carry the error back to the inputs: the latent ones (the paper) or the
        binary ones (straight-through estimator).
    clip : float, optional
        Range ``-clip ... clip`` of the latent weights that carry the error; call
        ``constrain_`` after each step to keep the parameters themselves in it. By default
        none (the paper).
    device, dtype
        As in ``nn.Linear``.

    Raises
    ------
    ValueError
        If an option is outside its range.

    Notes
    -----
    *Shapes.* ``[..., I]`` to ``[..., O]``. It works wherever ``nn.Linear`` does: under
    :class:`~snn_temporal_plugins.Timed`, before clocked neurons, in models of snnTorch and Norse,
    in a ReLU network. A checkpoint of ``nn.Linear`` loads.

    *Exactness.* The scale that is used is rounded to so few bits that every potential, a whole
    number times the scale, is exact in any order of summation: all forms and backends of a
    network of integrate-and-fire neurons give the same spikes and the same ties as whole counts
    against the threshold :math:`\theta / \alpha`. In float32 at 784 inputs this moves the scale by
    less than 1 part in 10,000. (Bias, leak and values other than spikes round as usual.)

    *Silent neurons* do not matter to a synapse: an input that does not spike adds nothing.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural
       networks with temporal coding and learning", Neural Processing Letters, 2021,
       arXiv:2007.04039.
    .. [2] M. Rastegari et al., "XNOR-Net", ECCV 2016, arXiv:1603.05279: the mean of
       :math:`|w|` is the best scale.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> synapse = stp.BinaryLinear(3, 1, scale=2.5)
    >>> _ = synapse.weight.data.copy_(torch.tensor([[0.2, -0.7, 0.0]]))
    >>> synapse(torch.ones(1, 3)).item()
    2.5
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        scale: float | None = None,
        scale_per: str = "layer",
        learn_scale: bool = False,
        scale_bounds: tuple[float, float] = (1e-4, 1e4),
        backward: str = "latent",
        clip: float | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = _checks.integer("BinaryLinear", "in_features", in_features, 1)
        self.out_features = _checks.integer("BinaryLinear", "out_features", out_features, 1)
        self._setup(
            (out_features, in_features),
            bias,
            {"device": device, "dtype": dtype},
            scale=scale,
            scale_per=scale_per,
            learn_scale=learn_scale,
            scale_bounds=scale_bounds,
            backward=backward,
            clip=clip,
        )

    @classmethod
    def from_module(cls, module: nn.Linear, **options: Any) -> BinaryLinear:
        """Binary layer in place of an ``nn.Linear``, whose parameters become the latent ones.

        Parameters
        ----------
        module : nn.Linear
            Its parameters are shared, not copied.
        **options
            ``scale``, ``scale_per``, ``learn_scale``, ``scale_bounds``, ``backward``, ``clip``.
        """
        if not isinstance(module, nn.Linear):
            raise TypeError(f"BinaryLinear: expected an nn.Linear, got {type(module).__name__}.")
        binary = cls(
            module.in_features,
            module.out_features,
            device=module.weight.device,
            dtype=module.weight.dtype,
            **options,
        )
        binary._adopt(module)
        return binary

    def _connect(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, {self._options_repr()}"
        )


class BinaryConv2d(BinarySynapse):
    r"""Convolution with binary weights and real latent weights behind them.

    Everything about the binarisation is as in :class:`BinaryLinear`; the scale belongs to the
    layer or to each output channel.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        As in ``nn.Conv2d``; the image is padded with zeros (no spikes).
    bias : bool, default=False
        Add a real bias to each channel.
    scale, scale_per, learn_scale, scale_bounds, backward, clip
        As in :class:`BinaryLinear`.
    device, dtype
        As in ``nn.Conv2d``.

    Raises
    ------
    ValueError
        If an option is outside its range.

    Notes
    -----
    *Shapes.* ``[B, C, H, W]`` to ``[B, C', H', W']``. A checkpoint of ``nn.Conv2d`` loads.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, arXiv:2007.04039.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.BinaryConv2d(1, 4, 3, padding=1)(torch.ones(2, 1, 6, 6)).shape
    torch.Size([2, 4, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        *,
        scale: float | None = None,
        scale_per: str = "layer",
        learn_scale: bool = False,
        scale_bounds: tuple[float, float] = (1e-4, 1e4),
        backward: str = "latent",
        clip: float | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        plan = nn.Conv2d(  # checks the geometry and brings it into one form
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, device="meta"
        )
        self.in_channels, self.out_channels = plan.in_channels, plan.out_channels
        self.kernel_size, self.stride = plan.kernel_size, plan.stride
        self.padding, self.dilation, self.groups = plan.padding, plan.dilation, plan.groups
        self._setup(
            tuple(plan.weight.shape),
            bias,
            {"device": device, "dtype": dtype},
            scale=scale,
            scale_per=scale_per,
            learn_scale=learn_scale,
            scale_bounds=scale_bounds,
            backward=backward,
            clip=clip,
        )

    @classmethod
    def from_module(cls, module: nn.Conv2d, **options: Any) -> BinaryConv2d:
        """Binary layer in place of an ``nn.Conv2d``, whose parameters become the latent ones.

        Parameters
        ----------
        module : nn.Conv2d
            Its parameters are shared, not copied. It must pad with zeros.
        **options
            ``scale``, ``scale_per``, ``learn_scale``, ``scale_bounds``, ``backward``, ``clip``.
        """
        if not isinstance(module, nn.Conv2d):
            raise TypeError(f"BinaryConv2d: expected an nn.Conv2d, got {type(module).__name__}.")
        if module.padding_mode != "zeros":
            raise ValueError(
                f"BinaryConv2d: padding_mode={module.padding_mode!r} has no binary form; "
                "only 'zeros' (no spike outside the image)."
            )
        binary = cls(
            module.in_channels,
            module.out_channels,
            module.kernel_size,  # type: ignore[arg-type]
            module.stride,  # type: ignore[arg-type]
            module.padding,  # type: ignore[arg-type]
            module.dilation,  # type: ignore[arg-type]
            module.groups,
            device=module.weight.device,
            dtype=module.weight.dtype,
            **options,
        )
        binary._adopt(module)
        return binary

    def _connect(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(
            x,
            weight,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"groups={self.groups}, bias={self.bias is not None}, {self._options_repr()}"
        )
