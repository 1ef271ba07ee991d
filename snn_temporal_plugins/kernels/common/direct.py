"""Tensors handed to kernels directly: the dispatcher of operators costs as much as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def plain(x: Tensor) -> bool:
    """Whether ``x`` is an ordinary tensor outside of any tracing, so that no operator is needed."""
    traced = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return type(x) in (Tensor, torch.nn.Parameter) and not traced


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor in order; no copy if they lie so in memory."""
    plainly = tensor.detach() if tensor.requires_grad else tensor
    return plainly.contiguous().numpy()


def scalar_type(tensor: Tensor) -> type[np.floating]:
    """Scalar type of numpy that belongs to a float tensor."""
    return np.float64 if tensor.dtype == torch.float64 else np.float32


def function(name: str, run: Any, setup_context: Any, backward: Any) -> Any:
    """Autograd function made from what an operator is made from.

    Its last argument is a tuple of all that follow the tensors: torch looks at every argument.
    """

    def forward(ctx: Any, *inputs: Any) -> Any:  # with a setup_context of its own torch would
        *tensors, others = inputs  # inspect the signature in every call
        inputs = *tensors, *others
        output = run(*inputs)
        setup_context(ctx, inputs, output)
        return output

    once = torch.autograd.function.once_differentiable(backward)

    def direct_backward(ctx: Any, *grads: Any) -> Any:
        return (once if torch.is_grad_enabled() else backward)(ctx, *grads)

    members = {"forward": staticmethod(forward), "backward": staticmethod(direct_backward)}
    return type(name, (torch.autograd.Function,), members)
