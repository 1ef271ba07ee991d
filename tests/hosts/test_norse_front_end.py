"""Neurons as Norse's own: cells and sequences, parameters, states, containers."""

import copy
import inspect
import io
import pickle
import subprocess
import sys

import pytest
import torch
from toy_neurons import Filtered

import snn_temporal_plugins as stp

norse = pytest.importorskip("norse.torch")

from snn_temporal_plugins.frontends import norse as front_end  # noqa: E402

STEPS = 9
CELLS = {
    "one": lambda **o: front_end.SingleSpikeIFCell(0.7, delay=1, **o),
    "two": lambda **o: front_end.host_class(Filtered, "cell")(2.5, **o),
    "three": lambda **o: front_end.host_class(Filtered, "cell")(2.5, output="spikes", **o),
}
SEQUENCES = {
    "one": lambda **o: front_end.SingleSpikeIF(0.7, delay=1, **o),
    "two": lambda **o: front_end.host_class(Filtered)(2.5, **o),
    "three": lambda **o: front_end.host_class(Filtered)(2.5, output="spikes", **o),
}


def currents(*shape):
    return 0.6 * torch.rand(STEPS, *(shape or (4, 5)))


def of_core(neuron, current):
    state, outs, states = None, [], []
    for x in current:
        state = neuron.core.initial_state(x) if state is None else state
        out, state = neuron.core.step(x, state)
        outs.append(out)
        states.append(state)
    return torch.stack(outs), states


@pytest.mark.parametrize("kind", CELLS)
def test_cell_gives_the_outputs_and_states_of_the_neuron(kind):
    cell, current = CELLS[kind](), currents()
    outs, states = of_core(cell, current)
    state = None
    for x, want, want_state in zip(current, outs, states, strict=True):
        out, state = cell(x, state)
        assert torch.equal(out, want)
        assert all(map(torch.equal, state, want_state))
        assert state._fields == want_state._fields
    assert isinstance(cell, norse.LIFCell.__mro__[1])


@pytest.mark.parametrize("kind", SEQUENCES)
def test_sequence_gives_the_outputs_and_states_of_the_neuron(kind):
    sequence, current = SEQUENCES[kind](), currents(2, 3, 4)
    outs, states = of_core(sequence, current)
    out, state = sequence(current)
    assert torch.equal(out, outs)
    assert all(map(torch.equal, state, states[-1]))
    first, halfway = sequence(current[:4])
    second, _ = sequence(current[4:], halfway)
    assert torch.equal(torch.cat([first, second]), outs)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_recorded_states_are_stacked_over_time(kind):
    sequence, current = SEQUENCES[kind](record_states=True), currents()
    outs, states = of_core(sequence, current)
    out, recorded = sequence(current)
    assert torch.equal(out, outs)
    for name in recorded._fields:
        assert torch.equal(getattr(recorded, name), torch.stack([getattr(s, name) for s in states]))
    again, _ = sequence(current[4:], states[3])
    assert torch.equal(again, outs[4:])


@pytest.mark.parametrize("kind", CELLS)
def test_containers_carry_the_state(kind):
    current = currents()
    model = norse.SequentialState(CELLS[kind](), torch.nn.Identity(), CELLS[kind]())
    state, outs = None, []
    for x in current:
        out, state = model(x, state)
        outs.append(out)
    assert model.stateful_layers == [True, False, True]
    lifted, _ = norse.Lift(model)(current)
    assert torch.equal(lifted, torch.stack(outs)) and lifted.any()
    whole, _ = norse.SequentialState(SEQUENCES[kind](), SEQUENCES[kind]())(current)
    assert torch.equal(whole, lifted)


def test_sequence_takes_apart_its_input_once():
    current = currents().requires_grad_()
    sequence = SEQUENCES["two"](record_states=True)
    nodes, seen = [sequence(current)[0].grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [parent for parent, _ in node.next_functions]
    names = [node.name() for node in seen]
    assert "UnbindBackward0" in names and "SelectBackward0" not in names


def test_parameters_state_and_step_function_stand_beside_the_classes():
    p = front_end.SingleSpikeIFParameters(threshold=0.4)
    assert p._asdict() == {
        "threshold": 0.4,
        "delay": 0,
        "gate": "spike",
        "width": None,
        "late_drive": None,
    }
    cell, x = front_end.SingleSpikeIFCell(p=p), currents()[0]
    assert cell.p.threshold == 0.4
    out, state = front_end.single_spike_if_feed_forward_step(x, None, p)
    want, want_state = cell(x)
    assert torch.equal(out, want) and torch.equal(state.v, want_state.v)
    assert type(state) is front_end.SingleSpikeIFState is type(want_state)
    again, _ = front_end.single_spike_if_feed_forward_step(x, state, p)
    assert torch.equal(again, cell(x, state)[0])
    default, _ = front_end.single_spike_if_feed_forward_step(x)
    assert torch.equal(default, front_end.SingleSpikeIFCell()(x)[0])


def test_activation_is_the_step_of_this_neuron():
    cell, x = CELLS["two"](), currents()[0]
    out, state = cell.activation(x, cell.state_fallback(x), cell.p, cell.dt)
    want, want_state = cell(x)
    assert torch.equal(out, want) and all(map(torch.equal, state, want_state))
    sequence = SEQUENCES["two"]()
    assert sequence.initial_state(currents()).v.shape == (4, 5)


def test_either_parameters_or_their_values():
    with pytest.raises(TypeError, match="give either p=.* or its values, not both"):
        front_end.SingleSpikeIF(0.5, p=front_end.SingleSpikeIFParameters())


def test_states_move():
    _, state = CELLS["one"]()(currents()[0])
    moved = state.to(torch.float64)
    assert moved.v.dtype == torch.float64 and type(moved) is type(state)
    p = front_end.SingleSpikeIFParameters(torch.tensor(0.5)).to(torch.float64)
    assert p.threshold.dtype == torch.float64 and p.gate == "spike"


@pytest.mark.parametrize("made", [CELLS, SEQUENCES])
@pytest.mark.parametrize("kind", CELLS)
def test_copies_and_files(made, kind):
    neuron, current = made[kind](), currents()
    current = current[0] if made is CELLS else current
    want, state = neuron(current)
    buffer = io.BytesIO()
    torch.save((neuron, state), buffer)
    buffer.seek(0)
    loaded, loaded_state = torch.load(buffer, weights_only=False)
    assert type(loaded_state) is type(state)
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron)), loaded):
        assert type(other) is type(neuron) and torch.equal(other(current)[0], want)
        assert other.activation.__self__ is other


def test_made_functions_and_parameters_pickle_by_name():
    step = front_end.single_spike_if_feed_forward_step
    assert pickle.loads(pickle.dumps(step)) is step
    p = front_end.host_class(Filtered)(2.5).p
    assert pickle.loads(pickle.dumps(p))._fields == ("tau_mem", "threshold", "output")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", CELLS)
def test_output_has_the_dtype_of_the_input(kind, dtype):
    current = currents().to(dtype)
    for out, state in (CELLS[kind]()(current[0]), SEQUENCES[kind]()(current)):
        assert out.dtype == dtype and state.v.dtype == dtype
    wide = CELLS[kind]().initial_state(current[0].float())
    assert CELLS[kind]()(current[0], wide)[0].dtype == dtype
    assert SEQUENCES[kind]()(current, wide)[0].dtype == dtype


@pytest.mark.filterwarnings("ignore:.*should not be instantiated", "ignore:The .grad")  # by torch
@pytest.mark.parametrize("kind", CELLS)
def test_compiled_without_graph_breaks(kind):
    cell, x = CELLS[kind](), currents()[0]
    state = cell.initial_state(x)
    compiled = torch.compile(lambda x, s: cell(x, s), fullgraph=True, backend="eager")
    out, after = compiled(x, state)
    want, want_after = cell(x, state)
    assert torch.equal(out, want) and all(map(torch.equal, after, want_after))


def test_repr_names_the_host():
    assert repr(CELLS["one"]()) == "SingleSpikeIFCell(threshold=0.7, delay=1, host=norse)"
    want = "Filtered(tau_mem=2.5, record_states=True, host=norse)"
    assert repr(SEQUENCES["two"](record_states=True)) == want


def test_classes_are_made_once_and_found_by_name():
    assert stp.get("neuron", "s4nn", host="norse") is front_end.SingleSpikeIF
    assert stp.get("neuron", "s4nn", host="norse.cell") is front_end.SingleSpikeIFCell
    assert pickle.loads(pickle.dumps(front_end.host_class(Filtered, "cell"))).Core is Filtered
    assert {"SingleSpikeIF", "SingleSpikeIFCell"} <= set(dir(front_end))
    names = list(inspect.signature(front_end.host_class(Filtered)).parameters)
    assert names == ["tau_mem", "threshold", "output", "p", "dt", "record_states"]
    for name in ("NoSuchNeuron", "NoSuchCell", "no_such_feed_forward_step"):
        with pytest.raises(AttributeError, match=f"has no neuron '{name}'"):
            getattr(front_end, name)


def test_checkpoint_with_and_without_learned_constants():
    cell = CELLS["two"]()
    cell.load_state_dict({}, strict=True)  # of a LIFCell, which registers nothing
    with torch.no_grad():
        cell.core.decay.fill_(0.3)
    other = CELLS["two"]()
    other.load_state_dict(cell.state_dict(), strict=True)
    assert other.core.decay.item() == pytest.approx(0.3)
    assert [id(p) for p in cell.parameters()] == [id(cell.core.decay)]


def test_missing_host_is_an_import_error_with_the_pip_line():
    code = (
        "import sys; sys.modules['norse'] = None\n"
        "import snn_temporal_plugins as stp\n"
        "try: stp.get('neuron', 's4nn', host='norse')\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'snn-temporal-plugins[norse]'" in run.stdout
