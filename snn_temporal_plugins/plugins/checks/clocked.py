"""Checks of a clocked neuron by itself. Each raises what is wrong."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ...nir import NotExportableError, to_nir
from .subject import BATCH, SIZE, Skip, Subject, finite, loop, same, same_states


def check_shapes_and_types(subject: Subject) -> None:
    """Output and state keep shape, floating type and device of the current."""
    for dtype in (torch.float32, torch.float64):
        for shape in ((BATCH, SIZE), (BATCH, 2, 3, 2)):
            current = subject.currents(*shape, dtype=dtype)
            out, state = loop(subject.fresh().to(dtype), current)
            _like(out, current)
            for name, value in zip(state._fields, state, strict=True):
                assert value.shape[: len(shape)] == shape, f"state {name} is {list(value.shape)}"


def check_half_precision(subject: Subject) -> None:
    """A current in bfloat16 gives an output in bfloat16, as the next layer needs it."""
    current = subject.currents(dtype=torch.bfloat16)
    _like(loop(subject.fresh().to(torch.bfloat16), current)[0], current)


def _like(out: Tensor, current: Tensor) -> None:
    shapes = f"output {list(out.shape)} for current {list(current.shape)}"
    assert out.shape == current.shape, shapes
    assert out.dtype == current.dtype, f"output is {out.dtype} for a current of {current.dtype}"
    assert out.device == current.device, f"output is on {out.device}"


def check_state_is_a_named_tuple(subject: Subject) -> None:
    """``initial_state`` and ``step`` return the ``State`` that the class declares, of tensors."""
    neuron, current = subject.fresh(), subject.currents()
    fields = getattr(neuron.State, "_fields", None)
    assert fields, "State is not a NamedTuple class"
    first = neuron.initial_state(current[0])
    for what, state in (("initial_state", first), ("step", neuron.step(current[0], first)[1])):
        assert isinstance(state, neuron.State), f"{what} returns a {type(state).__name__}"
        assert all(isinstance(v, Tensor) for v in state), f"{what} returns more than tensors"


def check_state_is_complete(subject: Subject) -> None:
    """A fresh neuron goes on from a returned state as the first one would have."""
    current = subject.currents()
    half = len(current) // 2
    neuron = subject.fresh()
    _, state = loop(neuron, current[:half])
    want, want_state = loop(neuron, current[half:], state)
    got, got_state = loop(subject.fresh(), current[half:], state)
    same(got, want, "outputs after a restart from the returned state")
    same_states(got_state, want_state, "after a restart")


def check_same_arguments_same_answer(subject: Subject) -> None:
    """Nothing is remembered between two calls that start from rest."""
    neuron, current = subject.fresh(), subject.currents()
    first, second = loop(neuron, current)[0], loop(neuron, current)[0]
    same(second, first, "second call with the same arguments")


def check_steps_equal_sequence(subject: Subject) -> None:
    """``forward`` over time is the loop over ``step``."""
    current = subject.currents()
    want, want_state = loop(subject.fresh(), current)
    got, got_state = subject.fresh()(current)
    same(got, want, "forward against the loop over step")
    same_states(got_state, want_state, "forward against the loop over step")


def check_train_equals_eval(subject: Subject) -> None:
    """The neuron answers alike in training and in evaluation mode."""
    current = subject.currents()
    want = loop(subject.fresh().train(), current)[0]
    same(loop(subject.fresh().eval(), current)[0], want, "evaluation mode")


def check_batch_rows_are_independent(subject: Subject) -> None:
    """A sample is answered alike whatever else is in the batch, and however large it is."""
    current = subject.currents()
    want = loop(subject.fresh(), current)[0]
    order = torch.tensor([2, 0, 3, 1])
    same(loop(subject.fresh(), current[:, order])[0], want[:, order], "rows in another order")
    neuron = subject.fresh()
    loop(neuron, current)
    same(loop(neuron, current[:, :1])[0], want[:, :1], "one row alone, after a larger batch")


def check_arguments_are_not_changed(subject: Subject) -> None:
    """Neither the current nor the state that is passed in is written to."""
    neuron, current = subject.fresh(), subject.currents()
    state = neuron.initial_state(current[0])
    for x in current:
        before, states_before = x.clone(), [value.clone() for value in state]
        _, after = neuron.step(x, state)
        same(x, before, "the current after the call")
        for value, kept in zip(state, states_before, strict=True):
            same(value, kept, "the state that was passed in, after the call")
        state = after


def check_spike_budget(subject: Subject) -> None:
    """No unit fires more often than the neuron's ``max_spikes``."""
    budget = getattr(subject.fresh(), "max_spikes", None)
    if budget is None:
        raise Skip("the neuron has no limit (max_spikes is None)")
    for factor in (1.0, 1e3):
        outs = loop(subject.fresh(), subject.currents().abs() * factor)[0]
        most = int((outs != 0).sum(0).max())
        assert most <= budget, f"{most} spikes of one unit, max_spikes is {budget}"


def _extremes(subject: Subject) -> dict[str, Tensor]:
    current = subject.currents()
    return {
        "no current": torch.zeros_like(current),
        "weak current": subject.weak_currents(),
        "usual current": current,
        "saturating current": current.abs() * 1e3,
        "strong inhibition": -current.abs() * 1e3,
        "huge current": current * 1e30,
    }


def check_outputs_are_finite(subject: Subject) -> None:
    """No NaN and no infinite output, for silent, saturated and absurd currents; no NaN state."""
    for what, current in _extremes(subject).items():
        out, state = loop(subject.fresh(), current)
        finite(out, f"output at {what}")
        for name, value in zip(state._fields, state, strict=True):
            assert not value.isnan().any(), f"state {name} is NaN at {what}"


def check_gradients_are_finite(subject: Subject) -> None:
    """No NaN and no infinite gradient on the current, for the same currents."""
    for what, current in _extremes(subject).items():
        current.requires_grad_()
        out, _ = loop(subject.fresh(), current)
        if out.requires_grad:
            (out * torch.linspace(0.3, 1.7, out.numel()).view_as(out)).sum().backward()
        finite(current.grad, f"gradient at {what}")


def check_gradient_where_firing(subject: Subject) -> None:
    """A unit that fires passes some gradient to its current."""
    current = subject.currents().requires_grad_()
    out, _ = loop(subject.fresh(), current)
    assert out.requires_grad, "the output does not depend on the current for autograd"
    (out * torch.linspace(0.3, 1.7, out.numel()).view_as(out)).sum().backward()
    assert current.grad is not None and current.grad.any(), "all gradients are zero"


def check_gradient_where_silent(subject: Subject) -> None:
    """A unit that stays silent still passes some gradient: it can learn to fire."""
    current = subject.weak_currents().requires_grad_()
    out, _ = loop(subject.fresh(), current)
    assert out.requires_grad, "the output does not depend on the current for autograd"
    out.sum().backward()
    assert current.grad is not None and current.grad.any(), "a silent unit gets no gradient"


def check_learned_constants_after_a_spike(subject: Subject) -> None:
    """Gradients on learned constants and on the first state stay finite once units have fired.

    A potential that is marked by ``-inf`` after a spike and then multiplied by a learned decay
    gives NaN; multiply under a double ``where``.
    """
    neuron, current = subject.fresh(), subject.currents().abs()
    start = [v.detach().requires_grad_() for v in neuron.initial_state(current[0])]
    outs, _ = loop(neuron, current, neuron.State(*start))
    if not outs.requires_grad:
        raise Skip("the output depends on nothing that is learned")
    outs.sum().backward()
    for name, parameter in neuron.named_parameters():
        finite(parameter.grad, f"gradient on {name} after a spike")
    for name, value in zip(neuron.State._fields, start, strict=True):
        finite(value.grad, f"gradient on the first state {name} after a spike")


def check_state_dict_round_trip(subject: Subject) -> None:
    """A state dict, loaded into another neuron, gives the same answers; it holds no states."""
    neuron, current = subject.fresh(), subject.currents()
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.mul_(0.75)
    before = {name: value.clone() for name, value in neuron.state_dict().items()}
    want = loop(neuron, current)[0]
    assert set(neuron.state_dict()) == set(before), "the state dict grows by being used"
    for name, value in neuron.state_dict().items():
        same(value, before[name], f"{name} in the state dict, after the neuron was used")
    other = subject.fresh()
    other.load_state_dict(before, strict=True)
    same(loop(other, current)[0], want, "neuron with the loaded state dict")


def check_copies(subject: Subject) -> None:
    """deepcopy, pickle and torch.save work before and after a forward pass with gradients."""
    neuron, current = subject.fresh(), subject.currents()
    for _ in range(2):
        want = loop(neuron, current.clone().requires_grad_())[0]
        file = io.BytesIO()
        torch.save(neuron, file)
        file.seek(0)
        copies = {
            "deepcopy": copy.deepcopy(neuron),
            "pickle": pickle.loads(pickle.dumps(neuron)),
            "torch.save": torch.load(file, weights_only=False),
        }
        for how, other in copies.items():
            same(loop(other, current)[0], want, how)


class _Step(nn.Module):
    """One step with the state spread out, as torch.export wants it."""

    def __init__(self, neuron: Any) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, current: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        out, after = self.neuron.step(current, self.neuron.State(*state))
        return out, *after


def check_compiles(subject: Subject) -> None:
    """``torch.compile(fullgraph=True)`` takes a step without a graph break."""
    neuron, current = _Step(subject.fresh()), subject.currents()[0]
    state = neuron.neuron.initial_state(current)
    want = neuron(current, *state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about itself
        torch._dynamo.reset()
        got = torch.compile(neuron, fullgraph=True, backend="eager")(current, *state)
    for a, b in zip(got, want, strict=True):
        same(a, b, "compiled step")


def check_exports(subject: Subject) -> None:
    """``torch.export`` takes a step."""
    neuron, current = _Step(subject.fresh().eval()), subject.currents()[0]
    state = neuron.neuron.initial_state(current)
    want = neuron(current, *state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(neuron, (current, *state))
    for a, b in zip(program.module()(current, *state), want, strict=True):
        same(a, b, "exported step")


def check_nir(subject: Subject) -> None:
    """``to_nir`` gives a graph that a file would keep, or refuses with ``NotExportableError``."""
    if find_spec("nir") is None:
        raise Skip("nir is not installed")
    model = nn.Sequential(nn.Linear(SIZE, SIZE), subject.fresh())
    try:
        graph = to_nir(model, (SIZE,), lossy=True)
    except NotExportableError:
        return
    read = type(graph).from_dict(graph.to_dict())
    assert list(read.nodes) == list(graph.nodes), "the graph loses nodes in a file"
