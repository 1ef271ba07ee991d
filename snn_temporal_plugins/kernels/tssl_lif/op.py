"""Operators of the TSSL-BP neuron and of the PSC filter: schema, fake version, gradient."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...neurons.tssl_rule import STEEPEST, Rule, Run, complete, resolve
from ..common.direct import array, function, plain, scalar_type
from ..common.threads import run_blocks
from . import cpu


def _rows(tensor: Tensor) -> np.ndarray:
    """``[T, ...]`` as a plain array ``[T, N]``."""
    numbers = array(tensor)
    return numbers.reshape(len(numbers), math.prod(numbers.shape[1:]))


def _flat(tensor: Tensor) -> np.ndarray:
    return array(tensor).reshape(-1)


@cache
def _ones(steps: int, double: bool) -> np.ndarray:
    return np.ones(steps, np.float64 if double else np.float32)


def _scales(scale: Tensor | None, steps: int, number: type[np.floating]) -> np.ndarray:
    return _ones(steps, number is np.float64) if scale is None else scale.detach().numpy()


def _run(
    x: Tensor,
    scale: Tensor | None,
    v: Tensor,
    a: Tensor,
    theta_mem: float,
    theta_syn: float,
    threshold: float,
    inter: float,
    intra: float,
    leak: float,
    max_slope: float,
    width: float,
    silence: float,
    layer_rate: float,
    spikes: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run over currents ``x [T, ...]`` from the state ``(v, a)``: the fields of ``Run``.

    Empty ``v`` and ``a`` stand for a start at rest. With ``scale [T]``, ``x [1, ...]`` is a static
    current: that of step t is ``scale[t] * x[0]``.
    The constants are the fields of :class:`~snn_temporal_plugins.neurons.tssl_rule.Rule`.
    """
    run = _results(x, scale)
    number = scalar_type(x)
    run_blocks(
        cpu.forward,
        run.v.numel(),
        _rows(x),
        _scales(scale, len(run.out), number),
        _flat(v),
        _flat(a),
        number(theta_mem),
        number(theta_syn),
        number(threshold),
        spikes,
        *(_rows(run.out), _flat(run.v), _flat(run.a)),
    )
    return run.out, run.v, run.a


def _results(x: Tensor, scale: Tensor | None) -> Run:
    shape = (len(x) if scale is None else len(scale), *x.shape[1:])
    return Run(*(x.new_empty(size) for size in (shape, shape[1:], shape[1:])))


tssl_lif = torch.library.custom_op("snn_temporal_plugins::tssl_lif", _run, mutates_args=())


@tssl_lif.register_fake
def _(x: Tensor, scale: Tensor | None, *others: Any) -> tuple[Tensor, ...]:
    return tuple(_results(x, scale))


def _run_backward(
    grad_out: Tensor,
    grad_v: Tensor,
    grad_a: Tensor,
    x: Tensor,
    scale: Tensor | None,
    v: Tensor,
    a: Tensor,
    theta_mem: float,
    theta_syn: float,
    threshold: float,
    inter: float,
    intra: float,
    leak: float,
    max_slope: float,
    width: float,
    silence: float,
    layer_rate: float,
    spikes: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients on the current and on the first ``v`` and ``a``.

    Empty ``grad_v`` and ``grad_a`` stand for zeros.
    """
    number = scalar_type(x)
    grads = x.new_empty(x.shape), v.new_empty(v.shape), a.new_empty(a.shape)
    theta, keep_a = (1.0, 0.0) if spikes else (theta_syn, 1 - theta_syn)
    constants = (
        *(theta, keep_a, threshold, inter, intra * theta_mem, leak * (1 - theta_mem)),
        *(1 / max_slope, 1 / width, silence, STEEPEST),
    )
    run_blocks(
        cpu.backward,
        x[0].numel(),
        *(_rows(part) for part in (grad_out, x)),
        *(_flat(part) for part in (v, a)),
        scale is not None,
        _scales(scale, len(grad_out), number),
        tuple(number(c) for c in (theta_mem, theta_syn, threshold)),
        tuple(number(c) for c in constants),
        *(_flat(part) for part in (grad_v, grad_a)),
        _rows(grads[0]),
        *(_flat(part) for part in grads[1:]),
    )
    return grads


tssl_lif_backward = torch.library.custom_op(
    "snn_temporal_plugins::tssl_lif_backward", _run_backward, mutates_args=()
)


@tssl_lif_backward.register_fake
def _(
    grad_out: Tensor,
    grad_v: Tensor,
    grad_a: Tensor,
    x: Tensor,
    scale: Tensor | None,
    v: Tensor,
    *others: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return x.new_empty(x.shape), v.new_empty(v.shape), v.new_empty(v.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, ctx.scale, v, a, *constants = inputs
    ctx.save_for_backward(x, v, a)  # the backward pass computes potentials and PSCs once more
    ctx.rule = Rule(*constants)
    ctx.set_materialize_grads(False)
    if ctx.rule.spikes:
        ctx.mark_non_differentiable(output[2])


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    x, v, a = ctx.saved_tensors
    rule, scale, direct = ctx.rule, ctx.scale, plain(x)
    if rule.layer_rate >= 0:
        forward: Any = _run if direct else tssl_lif
        rule = resolve(rule, forward(x, scale, v, a, *rule._replace(spikes=True))[0])
    steps = len(x) if scale is None else len(scale)
    run: Any = _run_backward if direct else tssl_lif_backward
    grads = complete(grads, x, steps, x.new_empty(0))
    grad_x, grad_v, grad_a = run(*grads, x, scale, v, a, *rule)
    return grad_x, None, grad_v, None if rule.spikes else grad_a, *[None] * len(rule)


tssl_lif.register_autograd(_backward, setup_context=_setup_context)
_Direct = function("TSSL", _run, _setup_context, _backward)


def run(x: Tensor, v: Tensor, a: Tensor, rule: Rule, scale: Tensor | None = None) -> Run:
    """Run over currents ``x [T, ...]`` from the state ``(v, a)``; see ``tssl_lif``."""
    if not plain(x):
        return Run(*tssl_lif(x, scale, v, a, *rule))
    learns = torch.is_grad_enabled() and (x.requires_grad or v.requires_grad or a.requires_grad)
    return Run(*(_Direct.apply(x, scale, v, a, rule) if learns else _run(x, scale, v, a, *rule)))


def _psc(x: Tensor, a: Tensor, theta: float) -> Tensor:
    """PSCs of ``x [T, ...]`` from the PSC ``a [...]`` of the start."""
    out, state = torch.empty_like(x, memory_format=torch.contiguous_format), a.clone()
    number = scalar_type(x)
    run_blocks(
        cpu.filter_forward, a.numel(), _rows(x), number(theta), _flat(state), out.flatten(1).numpy()
    )
    return out


psc_op = torch.library.custom_op("snn_temporal_plugins::psc", _psc, mutates_args=())


@psc_op.register_fake
def _(x: Tensor, a: Tensor, theta: float) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _psc_backward(grad: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    """Gradients on the train and on the PSC of the start."""
    grad_x, grad_a = grad.new_empty(grad.shape), grad.new_zeros(grad.shape[1:])
    number = scalar_type(grad)
    run_blocks(
        cpu.filter_backward,
        grad_a.numel(),
        _rows(grad),
        number(theta),
        number(1 - theta),
        grad_a.view(-1).numpy(),
        grad_x.flatten(1).numpy(),
    )
    return grad_x, grad_a


psc_backward = torch.library.custom_op(
    "snn_temporal_plugins::psc_backward", _psc_backward, mutates_args=()
)


@psc_backward.register_fake
def _(grad: Tensor, theta: float) -> tuple[Tensor, Tensor]:
    return grad.new_empty(grad.shape), grad.new_empty(grad.shape[1:])


def _psc_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.theta = inputs[2]


def _psc_gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    run = _psc_backward if plain(grad) else psc_backward
    return *run(grad, ctx.theta), None


psc_op.register_autograd(_psc_gradient, setup_context=_psc_context)
_DirectPSC = function("PSC", _psc, _psc_context, _psc_gradient)


def psc(x: Tensor, a: Tensor, theta: float) -> Tensor:
    """PSCs of ``x [T, ...]`` from the PSC ``a [...]`` of the start."""
    return _DirectPSC.apply(x, a, (theta,)) if plain(x) else psc_op(x, a, theta)
