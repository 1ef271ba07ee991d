"""revive_ draws the weights of dead neurons anew, and of no others."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")
T = 16


def layer(synapse, **options):
    return stp.Timed(synapse, stp.SingleSpikeIF(0.7), t_max=T, backend="torch", **options)


def stack(**options):
    """Two layers; hidden neurons 2 and 5 are dead, and output 1."""
    net = nn.Sequential(
        layer(nn.Linear(9, 7, bias=False), init=(0.4, 0.6), **options),
        layer(nn.Linear(7, 4, bias=False), init=(0.4, 0.6), **options),
    )
    net[0].synapse.weight.data[[2, 5]] = -0.3
    net[1].synapse.weight.data[1] = -0.3
    return net


def watched(net, inputs=None):
    with stp.monitor(net) as m:
        net(torch.randint(0, T - 3, (20, 9)).float() if inputs is None else inputs)
    return m


def test_only_dead_hidden_neurons_get_fresh_weights_from_init():
    net = stack()
    before = [part.synapse.weight.detach().clone() for part in net]
    assert stp.revive_(net, watched(net)) == {"0": 2}
    fresh = net[0].synapse.weight.detach()
    dead = torch.tensor([2, 5])
    alive = torch.tensor([0, 1, 3, 4, 6])
    assert torch.equal(fresh[alive], before[0][alive])
    assert ((fresh[dead] >= 0.4) & (fresh[dead] <= 0.6)).all() and fresh[2].ne(fresh[5]).all()
    assert torch.equal(net[1].synapse.weight, before[1])
    assert stp.revive_(net, watched(net)) == {"0": 0}


def test_the_last_layer_is_treated_on_request():
    net = stack()
    assert stp.revive_(net, watched(net), outputs=True) == {"0": 2, "1": 1}
    assert (net[1].synapse.weight[1] >= 0.4).all()


def test_below_is_a_strict_share_of_the_samples():
    net = stack()
    inputs = torch.full((10, 9), INF)
    inputs[0] = 3.0  # every living neuron fires in one sample of ten
    m = watched(net, inputs)
    assert stp.revive_(net, m, below=0.1) == {"0": 2}
    assert stp.revive_(net, m, below=0.11) == {"0": 7}


def test_without_init_the_synapse_draws_weights_and_bias():
    net = layer(nn.Linear(9, 7))
    nn.init.constant_(net.synapse.bias, -0.2)
    net.synapse.weight.data.fill_(0.35)[3] = -0.6
    m = watched(net)
    torch.manual_seed(5)
    want = nn.Linear(9, 7)  # draws in the same order
    torch.manual_seed(5)
    assert stp.revive_(net, m, outputs=True) == {"": 1}
    assert torch.equal(net.synapse.weight[3], want.weight[3])
    assert net.synapse.bias[3] == want.bias[3]
    assert (net.synapse.bias[[0, 1, 2, 4, 5, 6]] == -0.2).all()


def test_init_may_be_a_callable():
    net = nn.Sequential(layer(nn.Linear(9, 7, bias=False), init=nn.init.eye_), stack()[1])
    net[0].synapse.weight.data[4] = -0.5
    assert stp.revive_(net, watched(net)) == {"0": 1}
    assert torch.equal(net[0].synapse.weight.detach()[4], torch.eye(7, 9)[4])


def test_channels_of_a_convolution_are_revived_as_a_whole():
    conv = nn.Conv2d(2, 3, 3, bias=False)
    net = layer(conv, init=(0.5, 0.9))
    nn.init.constant_(conv.weight, 0.2)
    conv.weight.data[1] = -0.2
    inputs = torch.full((6, 2, 5, 5), INF)
    inputs[:, :, :2, :2] = 4.0  # most positions see nothing, and yet the channels live
    m = watched(net, inputs)
    assert m.layers[""].dead > 9
    assert stp.revive_(net, m, outputs=True) == {"": 1}
    assert (conv.weight[[0, 2]] == 0.2).all() and (conv.weight[1] >= 0.5).all()


@pytest.mark.parametrize("amsgrad", [False, True])
def test_optimizer_forgets_the_rows_and_no_others(amsgrad):
    net = stack()
    m = watched(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-9, amsgrad=amsgrad)
    for part in net:
        part.synapse.weight.grad = torch.rand_like(part.synapse.weight) + 0.1
    optimizer.step()
    stp.revive_(net, m, optimizer=optimizer)
    state = optimizer.state[net[0].synapse.weight]
    moments = [v for v in state.values() if v.dim() == 2]
    assert len(moments) == 2 + amsgrad and state["step"] == 1
    for moment in moments:
        assert (moment[[2, 5]] == 0).all() and (moment[[0, 1, 3, 4, 6]] > 0).all()
    assert (optimizer.state[net[1].synapse.weight]["exp_avg"] > 0).all()


def test_an_optimizer_that_made_no_step_has_nothing_to_forget():
    net = stack()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    assert stp.revive_(net, watched(net), optimizer=optimizer) == {"0": 2}
    assert not optimizer.state


@pytest.mark.parametrize("wrapped", [False, True])
def test_averaged_weights_get_the_same_rows(wrapped):
    net = stack()
    average = torch.optim.swa_utils.AveragedModel(net)
    for parameter in average.parameters():
        parameter.data += 0.01
    before = average.module[0].synapse.weight.clone()
    stp.revive_(net, watched(net), averaged=average if wrapped else average.module)
    now, fresh = average.module[0].synapse.weight, net[0].synapse.weight
    assert torch.equal(now[[2, 5]], fresh[[2, 5]])
    assert torch.equal(now[[0, 1, 3, 4, 6]], before[[0, 1, 3, 4, 6]])


def test_fresh_weights_take_over_the_factor_of_the_calibration():
    net = nn.Sequential(layer(nn.Linear(9, 7, bias=False)), layer(nn.Linear(7, 4, bias=False)))
    inputs = torch.randint(0, T - 3, (40, 9)).float()
    report = stp.calibrate_(net, inputs, fire=0.5)
    net[0].synapse.weight.data[2] = -0.3
    m = watched(net, inputs)
    torch.manual_seed(5)
    want = nn.Linear(9, 7, bias=False).weight * report.layers["0"].factor
    torch.manual_seed(5)
    stp.revive_(net, m, calibration=report)
    assert torch.equal(net[0].synapse.weight[2], want[2])


def test_one_scale_of_a_binary_layer_stays():
    synapse = stp.BinaryLinear(9, 7, scale=0.3)
    synapse.weight.data.abs_()[2] *= -1
    net = layer(synapse)
    before = synapse.weight.detach().clone()
    m = watched(net)
    synapse.scale.data.fill_(0.45)
    assert stp.revive_(net, m, outputs=True) == {"": 1}
    assert synapse.scale.item() == pytest.approx(0.45)
    changed = (synapse.weight != before).any(1)
    assert changed.tolist() == [False, False, True, False, False, False, False]


def test_clocked_models_are_revived_through_the_synapse_in_front():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.code = stp.SingleSpikeIF(0.1)
            self.fc1, self.fc2 = nn.Linear(9, 7), nn.Linear(7, 4)
            self.n1, self.n2 = stp.SingleSpikeIF(0.4), stp.SingleSpikeIF(0.4)

        def forward(self, x):
            return self.n2(self.fc2(self.n1(self.fc1(self.code(x)[0]))[0]))

    net = Net()
    nn.init.uniform_(net.fc1.weight, 0.2, 0.3)
    net.fc1.weight.data[6], net.fc1.bias.data[:] = -0.2, 0.0
    with stp.monitor(net) as m:
        net(torch.rand(T, 5, 9))
    # the neurons that encode the input have no weights, and the last layer was not asked for
    assert stp.revive_(net, m) == {"n1": 1}
    assert (net.fc1.weight[:6] >= 0.2).all() and (net.fc1.weight[6] != -0.2).all()


def parametrised():
    net = stack()
    nn.utils.parametrizations.weight_norm(net[0].synapse)
    return net


class Fixed(stp.Synapse):
    """A synapse that cannot draw its weights."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.full((7, 9), -0.3)), None

    def event_weights(self):
        return self.weight, self.weight


class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.a, self.b = nn.Linear(9, 8), stp.SingleSpikeIF(9.0), stp.SingleSpikeIF(9.0)

    def forward(self, x):
        return self.b(self.a(self.fc(x)[..., :3])[0])


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (stack, {"below": 1.5}, ValueError, "below must be between 0 and 1, got 1.5"),
        (stack, {"below": 0}, ValueError, "below must be positive and finite, got 0"),
        (parametrised, {}, TypeError, "0 is parametrised, so its rows cannot be set"),
        (lambda: layer(Fixed()), {"outputs": True}, TypeError, "Fixed has no reset_parameters"),
        (Narrow, {}, ValueError, r"a has \[3\] neurons or channels, but fc 8 rows of weights"),
    ],
)
def test_what_cannot_be_done_is_named_and_nothing_changed(model, options, error, message):
    net = model()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.warns(stp.SilentLayerWarning) if model.__name__ == "<lambda>" else _nothing():
        m = watched(net, torch.rand(T, 5, 9) if isinstance(net, Narrow) else None)
    with pytest.raises(error, match=message):
        stp.revive_(net, m, **options)
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)


def _nothing():
    return torch.enable_grad()


def test_monitors_of_nothing_and_of_another_model_are_refused():
    net = stack()
    with pytest.raises(ValueError, match="the monitor saw no samples"):
        stp.revive_(net, stp.monitor(net))
    with pytest.raises(TypeError, match="m must be a Monitor, got dict"):
        stp.revive_(net, {})
    with pytest.raises(ValueError, match="the monitor watched another model"):
        stp.revive_(nn.Sequential(), watched(net))


class Broken(nn.Linear):
    def reset_parameters(self):
        super().reset_parameters()
        if getattr(self, "ready", False):
            raise RuntimeError("no more")
        self.ready = True


def test_a_draw_that_fails_leaves_the_weights_as_they_were():
    net = layer(Broken(9, 7, bias=False))
    net.synapse.weight.data[2] = -0.3
    before, m = net.synapse.weight.detach().clone(), watched(net)
    with pytest.raises(RuntimeError, match="no more"):
        stp.revive_(net, m, outputs=True)
    assert torch.equal(net.synapse.weight, before)
