"""swap, plan_swap, swap_synapses, reset_: what is replaced, carried, dropped and refused."""

import copy
import gc

import pytest
import torch
from torch import nn
from toy_neurons import Filtered, TwoGains

import snn_temporal_plugins as stp
from snn_temporal_plugins import plugins
from snn_temporal_plugins.plugins.plan import refuse_containers

snn = pytest.importorskip("snntorch")
from snntorch import utils  # noqa: E402

from snn_temporal_plugins.frontends import snntorch as front_end  # noqa: E402


class Net(nn.Module):
    """Explicit states, an alias, a nested container, a dictionary of layers."""

    def __init__(self, **options):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 5), snn.Leaky(beta=0.9, threshold=0.3, **options)
        self.deep = nn.ModuleDict({"a": nn.ModuleList([nn.Linear(5, 4), snn.Leaky(beta=0.8)])})
        self.alias = self.lif1
        self.lif2 = snn.Leaky(beta=0.7, threshold=0.6)

    def forward(self, x):
        mem1, mem2, outs = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        mem3 = self.deep["a"][1].init_leaky()
        for step in x:
            spk, mem1 = self.alias(self.fc1(step), mem1)
            spk, mem3 = self.deep["a"][1](self.deep["a"][0](spk), mem3)
            spk, mem2 = self.lif2(spk, mem2)
            outs.append(spk)
        return torch.stack(outs)


@pytest.mark.parametrize("key", [snn.Leaky, "snntorch.Leaky", "snntorch._neurons.leaky.Leaky"])
@pytest.mark.parametrize("inplace", [False, True])
def test_every_neuron_is_replaced_wherever_it_sits(key, inplace):
    net = Net()
    before = [*net.modules()]
    swapped = stp.swap(net, {key: "single_spike_if"}, inplace=inplace)
    assert (swapped is net) == inplace
    assert swapped.alias is swapped.lif1 and isinstance(swapped.lif1.core, stp.SingleSpikeIF)
    assert isinstance(swapped.deep["a"][1].core, stp.SingleSpikeIF)
    assert not any(type(module) is snn.Leaky for module in swapped.modules())
    if not inplace:
        assert all(a is b for a, b in zip(before, net.modules(), strict=True))
    for parameter in swapped.parameters():
        nn.init.constant_(parameter, 0.35)
    out = swapped(torch.rand(7, 3, 6))
    assert out.sum(0).max() == 1


def test_what_the_old_neuron_had_is_carried():
    old = snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True, output=True).double().eval()
    (new,) = stp.swap(nn.Sequential(old), {snn.Leaky: "s4nn"})
    assert (new.init_hidden, new.output, new.core.threshold, new.training) == (
        True,
        True,
        0.3,
        False,
    )
    assert new.threshold.dtype == torch.float64


def test_overrides_precede_what_would_be_carried():
    net = nn.Sequential(snn.Leaky(beta=0.9, threshold=0.3))
    assert stp.swap(net, {snn.Leaky: "s4nn"}, threshold=2.5, delay=1)[0].core.delay == 1
    plan = stp.plan_swap(net, {snn.Leaky: "s4nn"}, threshold=2.5)
    assert plan.replacements[0].new.core.threshold == 2.5 and plan.replacements[0].carried == []


def test_without_carrying_only_the_call_is_kept():
    net = nn.Sequential(snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True, inhibition=False))
    (new,) = stp.swap(net, {snn.Leaky: "s4nn"}, carry=False)
    assert new.init_hidden and new.core.threshold == 1


def test_plan_prints_what_is_replaced_carried_dropped_and_what_else_changes():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.MaxPool2d(2),
        snn.Leaky(beta=0.9, threshold=0.3, learn_threshold=True, init_hidden=True),
    )
    text = str(stp.plan_swap(model, {snn.Leaky: "s4nn"}))
    for part in (
        "SingleSpikeIF(threshold=0.3, delay=0, init_hidden=True, host=snntorch.Leaky)",
        "threshold=0.3",
        "does not leak",
        "has its own gradient rule",
        "threshold is a constant of SingleSpikeIF; it stays 0.3",
        "losses on mem become infinite",
        "accuracy_rate",
        "BatchNorm",
        "FirstSpikePool2d",
        "calibrate_",
        "create the optimiser from its parameters",
        "blank image",
    ):
        assert part in text, part
    assert type(model[3]) is snn.Leaky
    assert "no new parameters" in str(stp.plan_swap(model, {snn.Leaky: "s4nn"}, inplace=True))


def test_plan_names_new_parameters():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), snn.Synaptic(alpha=0.8, beta=0.9))
    plan = stp.plan_swap(model, {"1": Filtered}, tau_mem=2.5, inplace=True)
    assert plan.replacements[0].new_parameters == ["1.core.decay"]
    assert "1.core.decay" in str(plan) and "add the new parameters" in str(plan)
    reasons = dict(plan.replacements[0].dropped)
    assert reasons["beta"] == "Filtered has tau_mem=..." and "bias" not in str(plan)


def test_checkpoint_of_the_original_loads_strictly():
    net = nn.Sequential(
        nn.Linear(3, 2), snn.Synaptic(alpha=0.8, beta=0.9), nn.Linear(2, 2), snn.Leaky(beta=0.9)
    )
    for name in ("s4nn", "tssl_lif", "dsn"):
        swapped = stp.swap(net, {"1": name, "3": "s4nn"})
        swapped.load_state_dict(net.state_dict(), strict=True)
        assert torch.equal(swapped[0].weight, net[0].weight)
        again = stp.swap(net, {"1": name, "3": "s4nn"})
        again.load_state_dict(swapped.state_dict(), strict=True)


def test_names_precede_classes_and_where_chooses():
    net = Net()
    swapped = stp.swap(net, {"lif2": _plain_leaky, snn.Leaky: "s4nn"}, where=_not_deep)
    assert type(swapped.lif2) is snn.Leaky and swapped.lif2.beta == 0.25
    assert type(swapped.deep["a"][1]) is snn.Leaky
    assert isinstance(swapped.lif1.core, stp.SingleSpikeIF)


def _not_deep(module, name):
    return not name.startswith("deep")


def _plain_leaky(module, **options):
    return snn.Leaky(beta=0.25, **options)


class OwnLeaky(snn.Leaky):
    pass


def test_subclasses_are_not_taken_for_their_base():
    net = nn.Sequential(snn.Leaky(beta=0.9), OwnLeaky(beta=0.9))
    assert type(stp.swap(net, {snn.Leaky: "s4nn"})[1]) is OwnLeaky
    assert isinstance(stp.swap(net, {OwnLeaky: "s4nn"})[1].core, stp.SingleSpikeIF)


def test_fewer_states_pass_the_others_through():
    net = nn.Sequential(snn.Synaptic(alpha=0.8, beta=0.9, threshold=0.5))
    swapped = stp.swap(net, {snn.Synaptic: "s4nn"})
    syn, mem = swapped[0].init_synaptic()
    spk, syn, mem = swapped[0](torch.full((2, 3), 0.7), syn, mem)
    assert spk.all() and not syn.any() and (mem == 0.7).all()


def test_more_states_need_a_neuron_that_holds_them():
    hidden = nn.Sequential(snn.Leaky(beta=0.9, init_hidden=True))
    assert isinstance(stp.swap(hidden, {snn.Leaky: "tssl_lif"})[0], snn.Synaptic)
    for options in ({}, {"init_hidden": True, "output": True}):
        net = nn.Sequential(snn.Leaky(beta=0.9, **options))
        with pytest.raises(plugins.StateArityError, match="0: .*passes 1 state.*TSSLLIF has 2"):
            stp.swap(net, {snn.Leaky: "tssl_lif"})


def test_swapped_copy_of_a_used_model_and_the_hosts_list():
    net = nn.Sequential(
        nn.Linear(4, 3),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.Linear(3, 2),
        snn.Leaky(beta=0.6, init_hidden=True),
    )
    x = torch.rand(2, 4)
    net(x).sum()
    held = net[3].mem
    with pytest.raises(RuntimeError):
        copy.deepcopy(net)
    swapped = stp.swap(net, {"1": "s4nn"})
    assert net[3].mem is held and held.grad_fn is not None
    assert torch.equal(swapped[3].mem, held) and swapped[3].mem.grad_fn is None
    utils.reset(swapped)  # the copy of the neuron that stayed is known to the host
    assert not swapped[3].mem.any() and not swapped[1].mem.any()
    listed = snn.SpikingNeuron.instances
    assert any(n is net[1] for n in listed)
    old = net[1]
    stp.swap(net, {"1": "s4nn"}, inplace=True)
    assert not any(n is old for n in listed)


def test_swap_leaves_no_neurons_behind_in_the_hosts_list():
    net = nn.Sequential(snn.Leaky(beta=0.9))
    gc.collect()
    before = len([n for n in snn.SpikingNeuron.instances if n.__class__ is not type(None)])
    stp.swap(net, {snn.Leaky: "s4nn"})
    gc.collect()
    after = len([n for n in snn.SpikingNeuron.instances if n.__class__ is not type(None)])
    assert after == before


def test_a_shared_neuron_stays_shared_and_back_is_possible():
    lif = snn.Leaky(beta=0.9, threshold=0.4, init_hidden=True)
    net = nn.Sequential(lif, nn.Sequential(nn.Identity(), lif))
    swapped = stp.swap(net, {snn.Leaky: "s4nn"})
    assert swapped[0] is swapped[1][1]
    plan = stp.plan_swap(net, {snn.Leaky: "s4nn"})
    assert plan.replacements[0].names == ["0", "1.1"]
    back = stp.swap(swapped, {type(swapped[0]): lambda m: snn.Leaky(0.9, threshold=0.4)})
    assert back.state_dict().keys() == net.state_dict().keys()


def refused(error, message, model, mapping, **options):
    with pytest.raises(error, match=message) as caught:
        stp.swap(model, mapping, **options)
    assert isinstance(caught.value, plugins.SwapError)


def test_nothing_matched():
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    error = plugins.NothingMatchedError
    refused(error, "no module is a Leaky; the model holds Linear, ReLU", net, {snn.Leaky: "s4nn"})
    net.neurons = [snn.Leaky(beta=0.9)]
    refused(error, "neurons holds a Leaky in a plain container", net, {snn.Leaky: "s4nn"})


@pytest.mark.parametrize("container", [list, tuple, lambda m: dict(enumerate(m))])
def test_neuron_that_a_plain_container_holds_as_well(container):
    net = Net()
    net.everything = container([net.lif1])
    refused(
        plugins.UnsupportedContainerError,
        "everything, a plain container, holds a Leaky",
        net,
        {snn.Leaky: "s4nn"},
    )


def test_recurrent_neurons_own_weights():
    net = nn.Sequential(snn.RLeaky(beta=0.9, linear_features=3))
    refused(
        plugins.WeightsWouldBeLostError,
        r"0 \(RLeaky\) owns input or recurrent weights",
        net,
        {snn.RLeaky: "s4nn"},
    )


def test_sequence_neurons_of_snntorch():
    neuron = snn.LeakyParallel(input_size=3, hidden_size=2)
    refused(
        (plugins.TimeLayoutError, plugins.WeightsWouldBeLostError),
        "takes a sequence per call",
        nn.Sequential(neuron),
        {type(neuron): "s4nn"},
    )


def test_class_made_for_another_host():
    norse = pytest.importorskip("norse.torch")
    from snn_temporal_plugins.frontends import norse as other

    error = plugins.BackendMismatchError
    net = nn.Sequential(snn.Leaky(beta=0.9))
    refused(
        error, "0 is a neuron of snntorch, .*made for norse", net, {snn.Leaky: other.SingleSpikeIF}
    )
    net = nn.Sequential(norse.LIFCell())
    mapping = {norse.LIFCell: front_end.SingleSpikeIF}
    refused(error, "0 is a neuron of norse, .*made for snntorch", net, mapping)
    mapping = {norse.LIFCell: other.SingleSpikeIF}
    refused(plugins.TimeLayoutError, "0 takes a step per call, SingleSpikeIF a seq", net, mapping)
    assert stp.swap(net, {norse.LIFCell: other.SingleSpikeIFCell})[0].core.threshold == 1


def test_a_host_class_may_be_given():
    net = nn.Sequential(snn.Leaky(beta=0.9, threshold=0.4))
    assert stp.swap(net, {snn.Leaky: front_end.SingleSpikeIF})[0].core.threshold == 0.4


def test_modules_that_are_no_neurons_need_a_function():
    net = nn.Sequential(nn.ReLU())
    refused(plugins.NotAHostNeuronError, r"0 \(ReLU\) is no neuron of", net, {nn.ReLU: "s4nn"})
    swapped = stp.swap(
        net, {nn.ReLU: lambda m, **o: front_end.SingleSpikeIF(0.5, init_hidden=True)}
    )
    assert swapped[0].init_hidden
    with pytest.raises(TypeError, match="function for 0 must return a module, got 3"):
        stp.swap(net, {nn.ReLU: lambda m: 3})
    with pytest.raises(TypeError, match="a value must be a registered name, a class, or"):
        stp.swap(net, {nn.ReLU: 3})


def test_class_that_is_no_neuron():
    net = nn.Sequential(snn.Leaky(beta=0.9))
    refused(plugins.SwapError, "ReLU is neither a clocked neuron nor", net, {snn.Leaky: nn.ReLU})


def test_containers_that_cannot_be_changed_from_outside():
    error, mapping = plugins.UnsupportedContainerError, {snn.Leaky: "s4nn"}
    net = nn.Sequential(snn.Leaky(beta=0.9))
    refused(
        error,
        "the model is a OptimizedModule.*swap first and comp",
        torch.compile(net, backend="eager"),
        mapping,
    )
    refused(
        error, "0 is a DataParallel.*model.module", nn.Sequential(nn.DataParallel(net)), mapping
    )
    refused(error, "the model itself is a Leaky", snn.Leaky(beta=0.9), mapping)
    with pytest.raises(error, match="GraphModule"):
        refuse_containers(torch.fx.symbolic_trace(nn.Sequential(nn.ReLU())))


@pytest.mark.parametrize(
    "attach",
    [
        lambda m: m.register_forward_hook(print),
        lambda m: m.register_forward_pre_hook(print),
        lambda m: m.register_full_backward_hook(print),
    ],
)
def test_hooks_would_be_lost(attach):
    net = nn.Sequential(snn.Leaky(beta=0.9))
    attach(net[0])
    refused(plugins.HooksAttachedError, r"0 \(Leaky\) has hooks", net, {snn.Leaky: "s4nn"})


def test_parametrisations_would_be_lost():
    net = nn.Sequential(nn.Linear(3, 2))
    nn.utils.parametrizations.weight_norm(net[0])
    with pytest.raises(plugins.HooksAttachedError, match="0 .* has parametrisations"):
        stp.swap_synapses(net, {type(net[0]): "binary_linear"})


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inhibition": True}, "0: inhibition: SingleSpikeIF has no winner-take-all"),
        ({"state_quant": torch.round}, "0: state_quant: .*does not quantise"),
        ({"graded_spikes_factor": 2.5}, "0: graded_spikes_factor: .*own size"),
        ({"threshold": torch.tensor([0.3, 0.4])}, "0: threshold: one value per neuron"),
    ],
)
def test_options_that_cannot_be_honoured(options, message):
    net = nn.Sequential(snn.Leaky(beta=0.9, **options))
    refused(plugins.OptionNotSupportedError, message, net, {snn.Leaky: "s4nn"})
    (name,) = options
    plan = stp.plan_swap(net, {snn.Leaky: "s4nn"}, carry="drop")
    assert name in dict(plan.replacements[0].dropped)
    with pytest.raises(plugins.SwapError, match='carry must be True, False or "drop"'):
        stp.swap(net, {snn.Leaky: "s4nn"}, carry="none")


def test_vector_threshold_may_be_overridden():
    net = nn.Sequential(snn.Leaky(beta=0.9, threshold=torch.tensor([0.3, 0.4])))
    assert stp.swap(net, {snn.Leaky: "s4nn"}, threshold=0.35)[0].core.threshold == 0.35


def test_arguments_the_new_neuron_does_not_take():
    net = nn.Sequential(snn.Leaky(beta=0.9))
    refused(plugins.SwapError, "0: .*unexpected keyword argument 'tau'", net, {"0": "s4nn"}, tau=3)
    refused(plugins.SwapError, "0: .*delay must be one of 0, 1", net, {"0": "s4nn"}, delay=3)


def test_threshold_of_a_neuron_without_one_is_dropped():
    plan = stp.plan_swap(nn.Sequential(snn.Synaptic(0.9, 0.8)), {"0": TwoGains})
    assert dict(plan.replacements[0].dropped)["threshold"] == "TwoGains has no threshold"


def test_bad_mappings():
    net = nn.Sequential(snn.Leaky(beta=0.9))
    for mapping in ({}, [snn.Leaky]):
        with pytest.raises(TypeError, match="mapping must be a dictionary with entries"):
            stp.swap(net, mapping)
    with pytest.raises(TypeError, match="a key must be a class or a string, got 3"):
        stp.swap(net, {3: "s4nn"})
    refused(
        plugins.SwapError, "'lif7' is neither a module of this model nor", net, {"lif7": "s4nn"}
    )
    refused(plugins.SwapError, "'torch.nn' is not a class", net, {"torch.nn": "s4nn"})
    with pytest.raises(plugins.UnknownPluginError, match="No neuron is called 'lif'"):
        stp.swap(net, {snn.Leaky: "lif"})


def test_synapses_become_binary():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(8, 3, bias=False))
    swapped = stp.swap_synapses(net)
    assert isinstance(swapped[0], stp.BinaryConv2d) and isinstance(swapped[2], stp.BinaryLinear)
    assert swapped[2].weight is not net[2].weight
    assert torch.equal(swapped[2].weight, net[2].weight)
    stp.swap_synapses(net, {nn.Linear: "bs4nn"}, inplace=True)
    assert isinstance(net[2], stp.BinaryLinear) and type(net[0]) is nn.Conv2d


def test_synapse_targets_that_do_not_fit():
    net = nn.Sequential(nn.Linear(3, 2, bias=False))
    with pytest.raises(plugins.SwapError, match=r"0: ReLU has no from_module\(module"):
        stp.swap_synapses(net, {nn.Linear: nn.ReLU})
    with pytest.raises(plugins.SwapError, match="0: .*expected an nn.Conv2d, got Linear"):
        stp.swap_synapses(net, {nn.Linear: "binary_conv2d"})
    replaced = stp.swap_synapses(net, {"0": lambda m: nn.Linear(3, 2)})
    assert replaced[0].bias is not None


def test_reset_reaches_every_depth_of_one_model_only():
    neuron, other = snn.Leaky(beta=0.9, init_hidden=True), snn.Leaky(beta=0.9, init_hidden=True)
    made = front_end.SingleSpikeIF(0.9, init_hidden=True)
    net = nn.Sequential(nn.Sequential(nn.Sequential(neuron)), made)
    for module in (neuron, other, made):
        module(torch.full((2, 3), 0.4))
    assert stp.reset_(net) is net
    assert not neuron.mem.any() and not made.mem.any() and other.mem.all()
