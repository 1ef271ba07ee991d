"""Neurons as snnTorch's own: states, flags, reset, copies, checkpoints, training loops."""

import copy
import gc
import inspect
import io
import pickle
import subprocess
import sys
import warnings
import weakref

import pytest
import torch
from torch import nn
from toy_neurons import Filtered, NoState, TooMany, TwoGains

import snn_temporal_plugins as stp

snn = pytest.importorskip("snntorch")
from snntorch import utils  # noqa: E402

from snn_temporal_plugins.frontends import snntorch as front_end  # noqa: E402

STEPS = 9
MADE = {
    "Leaky": lambda **flags: front_end.SingleSpikeIF(0.7, delay=1, **flags),
    "Synaptic": lambda **flags: front_end.host_class(Filtered)(2.5, **flags),
    "Alpha": lambda **flags: front_end.host_class(Filtered)(2.5, neuron_output="spikes", **flags),
}
ORDER = {"Leaky": ("v",), "Synaptic": ("a", "v"), "Alpha": ("i", "a", "v")}


def currents(*shape):
    return 0.6 * torch.rand(STEPS, *(shape or (4, 5)))


def of_core(neuron, current):
    """Outputs and states of the bare neuron, states by name."""
    state, outs, states = None, [], []
    for x in current:
        state = neuron.core.initial_state(x) if state is None else state
        out, state = neuron.core.step(x, state)
        outs.append(out)
        states.append(state._asdict())
    return outs, states


@pytest.mark.parametrize("shape", MADE)
def test_explicit_states_are_those_of_the_neuron_and_mem_is_its_potential(shape):
    neuron, current = MADE[shape](), currents()
    outs, states = of_core(neuron, current)
    held = neuron.reset_mem()
    held = held if isinstance(held, tuple) else (held,)
    for x, want, state in zip(current, outs, states, strict=True):
        out, *held = neuron(x, *held)
        assert torch.equal(out, want)
        for name, value in zip(ORDER[shape], held, strict=True):
            assert torch.equal(value, state[name])
    assert isinstance(neuron, getattr(snn, shape)) and torch.equal(neuron.mem, state["v"])


@pytest.mark.parametrize("shape", MADE)
@pytest.mark.parametrize("output", [False, True])
def test_hidden_states_give_the_same_outputs(shape, output):
    neuron, current = MADE[shape](init_hidden=True, output=output), currents()
    outs, states = of_core(neuron, current)
    for x, want, state in zip(current, outs, states, strict=True):
        got = neuron(x)
        if output:
            got, *held = got
            assert torch.equal(held[-1], state["v"]) and len(held) == len(ORDER[shape])
        assert torch.equal(got, want)


@pytest.mark.parametrize("shape", MADE)
@pytest.mark.parametrize("reset", ["utils.reset", "reset_mem", "alias"])
def test_every_way_to_reset_starts_the_neuron_afresh(shape, reset):
    neuron, current = MADE[shape](init_hidden=True), currents()
    net = nn.Sequential(nn.Identity(), neuron)
    first = torch.stack([net(x) for x in current])
    assert first.any()
    if reset == "utils.reset":
        utils.reset(net)
    elif reset == "reset_mem":
        neuron.reset_mem()
    else:
        getattr(neuron, f"init_{shape.lower()}")()
    assert torch.equal(torch.stack([net(x) for x in current]), first)


def test_a_neuron_that_was_called_without_states_goes_on_as_snntorch_does():
    neuron, current = MADE["Leaky"](), currents()
    outs, _ = of_core(neuron, current)
    assert all(torch.equal(neuron(x)[0], want) for x, want in zip(current, outs, strict=True))


def test_states_passed_to_a_neuron_that_holds_them_are_refused():
    neuron = MADE["Synaptic"](init_hidden=True)
    with pytest.raises(TypeError, match="holds its states; .* without syn, mem"):
        neuron(currents()[0], mem=torch.zeros(4, 5))


def test_another_batch_size_starts_afresh():
    neuron = MADE["Synaptic"](init_hidden=True)
    neuron(currents()[0])
    (x,) = currents(7, 5)[:1]
    assert torch.equal(neuron(x), of_core(neuron, [x])[0][0])


def test_one_neuron_may_serve_two_layers_with_separate_states():
    neuron, a, b = MADE["Leaky"](), currents(), currents()
    mem_a = mem_b = torch.zeros(4, 5)
    both = []
    for x, y in zip(a, b, strict=True):
        (out_a, mem_a), (out_b, mem_b) = neuron(x, mem_a), neuron(y, mem_b)
        both.append((out_a, out_b))
    for got, want in zip(zip(*both, strict=True), (a, b), strict=True):
        assert torch.equal(torch.stack(got), torch.stack(of_core(neuron, want)[0]))


@pytest.mark.parametrize("shape", MADE)
def test_copies_of_a_used_neuron_live_their_own_life(shape):
    neuron = MADE[shape](init_hidden=True)
    current = currents().requires_grad_()
    for x in current[:4]:
        neuron(x)
    buffer = io.BytesIO()
    torch.save(neuron, buffer)
    buffer.seek(0)
    copies = [
        copy.deepcopy(neuron),
        pickle.loads(pickle.dumps(neuron)),
        torch.load(buffer, weights_only=False),
    ]
    want = [neuron(x) for x in current[4:]]
    for other in copies:
        assert type(other) is type(neuron)
        assert all(torch.equal(other(x), w) for x, w in zip(current[4:], want, strict=True))
    utils.reset(nn.Sequential(*copies))
    for other in copies:
        assert torch.equal(other(current[0]), of_core(neuron, current[:1])[0][0])


def test_neurons_are_not_kept_alive_by_the_hosts_list():
    neuron = MADE["Leaky"](init_hidden=True)
    copied = copy.deepcopy(neuron)
    gone = weakref.ref(neuron)
    del neuron
    gc.collect()
    assert gone() is None
    copied(currents()[0])
    utils.reset(nn.Sequential(copied))  # walks the list, the dead entry included
    listed = [n for n in snn.SpikingNeuron.instances if isinstance(n, type(copied))]
    assert copied.core in [n.core for n in listed]
    listed[0].some_note = 3
    assert listed[0].some_note == 3


def test_reset_of_an_unused_neuron_is_empty_as_in_snntorch():
    assert MADE["Leaky"]().init_leaky().shape == (0,)
    assert [s.shape for s in MADE["Synaptic"]().reset_mem()] == [(0,), (0,)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shape", MADE)
def test_output_has_the_dtype_of_the_current(shape, dtype):
    neuron, x = MADE[shape](), currents()[0].to(dtype)
    out, *states = neuron(x)
    assert out.dtype == dtype
    single = [s.float() for s in states]
    assert neuron(x, *single)[0].dtype == dtype  # a state from outside, under autocast


@pytest.mark.filterwarnings("ignore:.*should not be instantiated", "ignore:The .grad")  # by torch
@pytest.mark.parametrize("shape", MADE)
def test_compiled_without_graph_breaks(shape):
    neuron, current = MADE[shape](init_hidden=True), currents()
    want = [neuron(x) for x in current]
    neuron.reset_mem()
    compiled = torch.compile(lambda x: neuron(x), fullgraph=True, backend="eager")
    assert all(torch.equal(compiled(x), w) for x, w in zip(current, want, strict=True))


def test_repr_names_the_host_and_the_constants():
    neuron = MADE["Leaky"](init_hidden=True)
    want = "SingleSpikeIF(threshold=0.7, delay=1, init_hidden=True, host=snntorch.Leaky)"
    assert repr(neuron) == want
    assert repr(MADE["Synaptic"]()) == "Filtered(tau_mem=2.5, host=snntorch.Synaptic)"


def test_constants_that_snntorch_code_reads():
    neuron = MADE["Leaky"]()
    assert neuron.threshold.item() == pytest.approx(0.7) and neuron.beta.item() == 1
    assert set(neuron.state_dict()) == set(snn.Leaky(0.9).state_dict())


def test_signature_has_the_neurons_arguments_and_the_hosts():
    names = list(inspect.signature(front_end.host_class(Filtered)).parameters)
    assert names == ["tau_mem", "threshold", "neuron_output", "init_hidden", "output"]


def test_the_hosts_flag_is_not_taken_for_the_neurons_argument():
    with pytest.raises(TypeError, match="output is snnTorch's flag.*is neuron_output"):
        front_end.host_class(Filtered)(2.5, output="spikes")


def test_class_is_made_once_and_found_by_name():
    assert front_end.host_class(stp.SingleSpikeIF) is front_end.SingleSpikeIF
    assert stp.get("neuron", "s4nn", host="snntorch") is front_end.SingleSpikeIF
    assert pickle.loads(pickle.dumps(front_end.host_class(Filtered))).Core is Filtered
    assert "SingleSpikeIF" in dir(front_end)
    with pytest.raises(ImportError, match="cannot import name 'NoSuchNeuron'"):
        from snn_temporal_plugins.frontends.snntorch import NoSuchNeuron  # noqa: F401
    with pytest.raises(AttributeError, match="has no neuron 'SingleSpikeIF_as_Square'"):
        _ = front_end.SingleSpikeIF_as_Square


def test_more_states_of_the_host_than_of_the_neuron_pass_through():
    neuron, current = front_end.SingleSpikeIF_as_Synaptic(0.7), currents()
    outs, states = of_core(neuron, current)
    syn, mem = torch.full((4, 5), 3.5), torch.zeros(4, 5)
    for x, want, state in zip(current, outs, states, strict=True):
        out, syn, mem = neuron(x, syn, mem)
        assert torch.equal(out, want) and torch.equal(mem, state["v"])
    assert (syn == 3.5).all()
    assert neuron.reset_mem()[0].eq(0).all()
    assert type(pickle.loads(pickle.dumps(neuron))) is type(neuron)


def test_neuron_without_threshold_and_potential_called_v():
    neuron = front_end.host_class(TwoGains)()
    out, total, phi = neuron(currents()[0])
    assert neuron.threshold == 1 and neuron.shape == "Synaptic"
    torch.testing.assert_close(phi + out, total)


def test_what_no_class_can_be_made_from():
    for core, message in (
        (nn.ReLU, "subclasses of ClockedNeuron .*got 'ReLU'"),
        (stp.ClockedNeuron, "with initial_state and step, got 'ClockedNeuron'"),
        (TooMany, "TooMany has 4 states, snnTorch's neurons have at most 3"),
        (NoState, r"NoState.State must be a NamedTuple class"),
    ):
        with pytest.raises(TypeError, match=message):
            front_end.host_class(core)


def test_checkpoint_of_the_replaced_neuron_loads_strictly():
    neuron = front_end.host_class(Filtered)(2.5)
    neuron.load_state_dict(snn.Leaky(0.9, threshold=0.8).state_dict(), strict=True)
    assert neuron.core.decay.item() == pytest.approx(0.7)
    with torch.no_grad():
        neuron.core.decay.fill_(0.3)
    other = front_end.host_class(Filtered)(2.5)
    other.load_state_dict(neuron.state_dict(), strict=True)
    assert other.core.decay.item() == pytest.approx(0.3)


def test_another_threshold_in_the_checkpoint_is_said_aloud():
    neuron = MADE["Leaky"]()
    with pytest.warns(UserWarning, match=r"threshold is 1.0 in the checkpoint, but SingleSpike"):
        neuron.load_state_dict(snn.Leaky(0.9).state_dict())
    assert neuron.threshold.item() == pytest.approx(0.7)


def test_backprop_of_the_host_trains_with_its_losses():
    functional = pytest.importorskip("snntorch.functional")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from snntorch import backprop
    hidden = front_end.SingleSpikeIF(0.6, init_hidden=True)
    last = front_end.SingleSpikeIF(0.6, init_hidden=True, output=True)
    net = nn.Sequential(nn.Linear(6, 12), hidden, nn.Linear(12, 3), last)
    nn.init.uniform_(net[0].weight, 0.0, 0.4)
    nn.init.uniform_(net[2].weight, 0.0, 0.4)
    data = [(torch.rand(8, 6), torch.randint(0, 3, (8,)))]
    before = net[0].weight.clone()
    optimizer = torch.optim.SGD(net.parameters(), 0.2)
    loss = backprop.BPTT(
        net, data, optimizer, functional.ce_rate_loss(), num_steps=STEPS, time_var=False
    )
    assert torch.isfinite(loss) and not torch.equal(before, net[0].weight)


def test_missing_host_is_an_import_error_with_the_pip_line():
    code = (
        "import sys; sys.modules['snntorch'] = None\n"
        "import snn_temporal_plugins as stp\n"
        "try: stp.get('neuron', 's4nn', host='snntorch')\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'snn-temporal-plugins[snntorch]'" in run.stdout
