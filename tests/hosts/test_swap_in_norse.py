"""swap on models of Norse: containers, cells and sequences, carried parameters."""

import pytest
import torch
from torch import nn
from toy_neurons import Filtered

import snn_temporal_plugins as stp
from snn_temporal_plugins import plugins

norse = pytest.importorskip("norse.torch")

from snn_temporal_plugins.frontends import norse as front_end  # noqa: E402


def parameters(**values):
    return norse.LIFParameters(**{name: torch.tensor(v) for name, v in values.items()})


def test_cells_and_sequences_get_the_form_they_are_called_in():
    model = norse.SequentialState(
        norse.Lift(nn.Linear(6, 4)), norse.LIF(p=parameters(v_th=0.4)), norse.Lift(norse.LIFCell())
    )
    swapped = stp.swap(model, {norse.LIF: "s4nn", norse.LIFCell: "s4nn"})
    assert type(swapped[1]) is front_end.SingleSpikeIF and swapped[1].core.threshold == 0.4
    assert type(swapped[2].lifted_module) is front_end.SingleSpikeIFCell
    spikes, _ = swapped[1](swapped[0](torch.rand(7, 3, 6)))
    assert spikes.shape == (7, 3, 4)


def test_containers_look_again_which_modules_have_state():
    lift = norse.Lift(nn.ReLU())
    model = norse.SequentialState(nn.ReLU(), norse.LIFCell(), nn.Sequential(lift))
    mapping = {
        "0": lambda m: front_end.SingleSpikeIFCell(0.4),
        "1": lambda m: nn.Identity(),
        "2.0.lifted_module": lambda m: front_end.SingleSpikeIFCell(0.4),
    }
    swapped = stp.swap(model, mapping)
    assert swapped.stateful_layers == [True, False, False]
    assert swapped[2][0].is_stateful and not lift.is_stateful
    out, state = norse.SequentialState(swapped[0], swapped[1])(torch.rand(3, 2))
    assert state[1] is None and out.shape == (3, 2)


def test_what_is_carried_and_dropped():
    p = norse.LIFParameters(
        v_th=torch.tensor(0.6), v_reset=torch.tensor(0.1), tau_mem_inv=torch.tensor(50.0)
    )
    model = norse.SequentialState(norse.LIF(p=p, dt=0.002, record_states=True))
    plan = stp.plan_swap(model, {norse.LIF: "s4nn"})
    (replacement,) = plan.replacements
    assert replacement.carried == ["record_states=True", "threshold=0.6"]
    assert replacement.new.dt == 0.002 and replacement.new.record_states
    assert dict(replacement.dropped) == {
        "tau_syn_inv": "SingleSpikeIF counts in steps: it does not leak",
        "tau_mem_inv": "SingleSpikeIF counts in steps: it does not leak",
        "v_leak": "SingleSpikeIF has no v_leak",
        "v_reset": "SingleSpikeIF has its own rule after a spike",
        "method": "SingleSpikeIF has its own gradient rule",
        "alpha": "SingleSpikeIF has its own gradient rule",
    }
    plan = stp.plan_swap(model, {"0": Filtered}, tau_mem=2.5)
    assert dict(plan.replacements[0].dropped)["tau_mem_inv"].endswith("give tau_mem=...")
    assert stp.swap(model, {"0": "s4nn"}, carry=False)[0].core.threshold == 1


def test_constants_come_along_from_one_of_ours_to_another():
    model = norse.SequentialState(front_end.host_class(Filtered)(2.5, 0.35))
    (new,) = stp.swap(model, {"0": "tssl_lif"}, tau_syn=3.5)
    assert (new.core.tau_mem, new.core.threshold, new.core.tau_syn) == (2.5, 0.35, 3.5)


def test_neurons_with_weights_are_refused():
    model = norse.SequentialState(norse.LIFRecurrent(3, 2))
    with pytest.raises(plugins.WeightsWouldBeLostError, match=r"0 \(LIFRecurrent\) owns"):
        stp.swap(model, {norse.LIFRecurrent: "s4nn"})
    with pytest.raises(plugins.WeightsWouldBeLostError, match=r"0 \(LILinearCell\) owns"):
        stp.swap(norse.SequentialState(norse.LILinearCell(3, 2)), {norse.LILinearCell: "s4nn"})


def test_state_hooks_of_the_container_are_seen():
    model = norse.SequentialState(norse.LIFCell())
    model.register_forward_state_hooks(print)
    with pytest.raises(plugins.HooksAttachedError, match=r"0 \(LIFCell\) has hooks"):
        stp.swap(model, {norse.LIFCell: "s4nn"})


def test_swapped_cell_loads_the_checkpoint_and_trains():
    model = norse.SequentialState(nn.Linear(4, 3), norse.LIFCell())
    swapped = stp.swap(model, {norse.LIFCell: Filtered}, tau_mem=2.5)
    swapped.load_state_dict(model.state_dict(), strict=True)
    nn.init.uniform_(swapped[0].weight, 0.2, 0.5)
    state, total = None, 0
    for x in torch.rand(6, 5, 4):
        out, state = swapped(x, state)
        total = total + out.sum()
    total.backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in swapped.parameters())
    stp.reset_(swapped)  # nothing to reset: the state is the caller's
