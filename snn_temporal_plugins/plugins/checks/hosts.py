"""Checks of the host classes made from a neuron; skipped where the host is not installed."""

from __future__ import annotations

import gc
import weakref
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from .. import swap
from .subject import SIZE, Skip, Subject, finite, loop, same, same_states

PACKAGE = __package__.partition(".")[0]


def _host(name: str) -> tuple[Any, Any]:
    """Front end and library of a host, or skip."""
    try:
        front_end = import_module(f"{PACKAGE}.frontends.{name}")
    except ImportError as error:
        raise Skip(f"{name} is not installed") from error
    return front_end, import_module("snntorch" if name == "snntorch" else "norse.torch")


def _run(neuron: Any, current: Tensor) -> Tensor:
    return torch.stack([neuron(x) for x in current])


def check_snntorch_states(subject: Subject) -> None:
    """Explicit states and ``init_hidden``/``output`` give the outputs of the bare neuron."""
    front_end, _ = _host("snntorch")
    make, current = front_end.host_class(subject.core).from_core, subject.currents()
    want = loop(subject.fresh(), current)[0]
    explicit = make(subject.fresh())
    held = explicit.reset_mem()
    held = held if isinstance(held, tuple) else (held,)
    outs = []
    for x in current:
        out, *held = explicit(x, *held)
        outs.append(out)
    same(torch.stack(outs), want, "explicit states")
    hidden = make(subject.fresh(), init_hidden=True)
    same(_run(hidden, current), want, "init_hidden=True")
    last = make(subject.fresh(), init_hidden=True, output=True)
    same(torch.stack([last(x)[0] for x in current]), want, "init_hidden=True, output=True")


def check_snntorch_reset(subject: Subject) -> None:
    """``utils.reset``, ``reset_mem`` and our ``reset_`` start the neuron afresh."""
    front_end, snntorch = _host("snntorch")
    utils = import_module("snntorch.utils")
    neuron = front_end.host_class(subject.core).from_core(subject.fresh(), init_hidden=True)
    net, current = nn.Sequential(neuron), subject.currents()
    want = _run(net, current)
    assert isinstance(neuron, snntorch.SpikingNeuron), "not a neuron for snnTorch"
    ways = {"utils.reset": utils.reset, "reset_": swap.reset_, "reset_mem": _reset_mem}
    for name, reset in ways.items():
        reset(net)
        same(_run(net, current), want, f"after {name}")


def _reset_mem(net: Any) -> None:
    net[0].reset_mem()


def check_snntorch_checkpoint(subject: Subject) -> None:
    """The checkpoint of the neuron it replaces loads with ``strict=True``."""
    front_end, snntorch = _host("snntorch")
    neuron = front_end.host_class(subject.core).from_core(subject.fresh())
    threshold = neuron.threshold.clone()
    neuron.load_state_dict(snntorch.Leaky(0.9, threshold=threshold).state_dict(), strict=True)


def check_snntorch_frees_neurons(subject: Subject) -> None:
    """Neither the host's list of neurons nor anything else keeps a neuron alive."""
    front_end, _ = _host("snntorch")
    neuron = front_end.host_class(subject.core).from_core(subject.fresh(), init_hidden=True)
    _run(neuron, subject.currents())
    gone = weakref.ref(neuron), weakref.ref(neuron.core)
    del neuron
    if any(ref() is not None for ref in gone):
        gc.collect()  # takes longer than all the rest
    assert not any(ref() is not None for ref in gone), "the neuron is still referenced somewhere"


def _train(outs: Tensor, model: nn.Module) -> None:
    if outs.requires_grad:
        outs.square().sum().backward()
    for name, parameter in model.named_parameters():
        finite(parameter.grad, f"gradient on {name} of a swapped model")


def check_snntorch_swap(subject: Subject) -> None:
    """Swapped into a model and back again; in between the model trains with finite gradients."""
    front_end, snntorch = _host("snntorch")
    old = snntorch.Leaky(0.9, init_hidden=True)
    net = nn.Sequential(
        nn.Linear(SIZE, 7), old, nn.Linear(7, 3), snntorch.Leaky(0.9, init_hidden=True)
    )
    host = front_end.host_class(subject.core)

    def put_in(module: nn.Module) -> nn.Module:
        return host.from_core(subject.fresh(), init_hidden=True)

    swapped = swap.swap(net, {snntorch.Leaky: put_in})
    current = subject.currents()
    _train(_run(swapped, current), swapped)
    back = swap.swap(swapped, {"1": _leaky(snntorch), "3": _leaky(snntorch)})
    back.load_state_dict(net.state_dict(), strict=True)
    same(_run(back, current), _run(net, current), "model after swapping in and back")


def _leaky(snntorch: Any) -> Any:
    return lambda module: snntorch.Leaky(0.9, init_hidden=True)


def check_norse_cell_and_sequence(subject: Subject) -> None:
    """Cell, sequence and recorded states are those of the bare neuron."""
    front_end, _ = _host("norse")
    current = subject.currents()
    want, want_state = loop(subject.fresh(), current)
    cell = front_end.host_class(subject.core, "cell").from_core(subject.fresh())
    outs, state = [], None
    for x in current:
        out, state = cell(x, state)
        outs.append(out)
    same(torch.stack(outs), want, "cell")
    same_states(state, want_state, "cell")
    make = front_end.host_class(subject.core).from_core
    for options in ({}, {"record_states": True}):
        got, states = make(subject.fresh(), **options)(current)
        same(got, want, f"sequence {options}")
        last = type(want_state)(*(v[-1] for v in states)) if options else states
        same_states(last, want_state, f"sequence {options}")


def check_norse_containers(subject: Subject) -> None:
    """``SequentialState`` and ``Lift`` recognise the neuron and carry its state."""
    front_end, norse = _host("norse")
    current = subject.currents()
    cell = front_end.host_class(subject.core, "cell").from_core(subject.fresh())
    model = norse.SequentialState(nn.Identity(), cell)
    assert model.stateful_layers == [False, True], "SequentialState does not see the state"
    want = loop(subject.fresh(), current)[0]
    same(norse.Lift(model)(current)[0], want, "cell in SequentialState in Lift")


def check_norse_swap(subject: Subject) -> None:
    """Swapped into a model; it trains with finite gradients."""
    front_end, norse = _host("norse")
    net = norse.SequentialState(
        norse.Lift(nn.Linear(SIZE, 7)), norse.LIF(), norse.Lift(nn.Linear(7, 3))
    )
    host = front_end.host_class(subject.core)

    def put_in(module: nn.Module) -> nn.Module:
        return host.from_core(subject.fresh())

    swapped = swap.swap(net, {norse.LIF: put_in})
    _train(swapped(subject.currents())[0], swapped)
