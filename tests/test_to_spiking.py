"""The spiking twin of a ReLU network stays within its guaranteed bound, at every step."""

import copy
import pickle
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.neurons import ClockedNeuron


class Residual(nn.Module):
    """One nn.ReLU instance used twice, F.relu, a method, a branch, a reshape with sizes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(4 * 3 * 3, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        x = F.relu(x - self.body(x))
        x = self.relu(self.body(x) + x)
        x = F.avg_pool2d(x, 2)
        x = self.head(self.drop(x.view(x.size(0), -1))).relu()
        return self.last(x)


def dense():
    return nn.Sequential(
        nn.Linear(20, 14), nn.ReLU(), nn.Linear(14, 11, bias=False), nn.ReLU(), nn.Linear(11, 3)
    )


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6, affine=False),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 4, 2, groups=2), nn.ReLU(), nn.AvgPool2d(2), nn.Identity()),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4, 3),
        nn.ReLU(),
    )


SHAPES = {dense: (20,), convolutional: (2, 6, 6), Residual: (2, 6, 6)}
models = pytest.mark.parametrize("make", SHAPES)


def problem(make, batch=7):
    model = make().double()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, 0.05, 1.4 / module.weight[0].numel() ** 0.5)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.6, 1.7)
    x = torch.randn(batch, *SHAPES[make]).double()
    x[:, ::3] = 0.0
    return model.eval(), x


@models
@pytest.mark.parametrize("steps", [1, 10, 100])
@pytest.mark.parametrize("options", [{}, {"correction": True}, {"encode": False}, {"quantum": 0.3}])
def test_error_is_within_the_bound_at_every_step(make, steps, options):
    model, x = problem(make)
    spiking = stp.to_spiking(model, steps, **options)
    bound = stp.herding_error_bound(spiking, x)
    estimates = spiking(x, return_all=True)
    assert estimates.shape == (steps, *bound.shape)
    for t, error in enumerate((estimates - model(x)).abs(), 1):
        assert (error <= bound / t + 1e-12).all()
    torch.testing.assert_close(spiking(x), estimates[-1])


@models
def test_bound_of_every_unit_holds_and_is_not_far_from_what_happens(make):
    model, x = problem(make)
    steps, counts, inputs = 100, {}, {}
    spiking = stp.to_spiking(model, steps)
    _, bounds = stp.herding_error_bound(spiking, x, return_units=True)
    for name in bounds:

        def count(module, args, out, name=name):
            counts[name] = out.unflatten(0, (steps, -1)).sum(0)

        spiking.graph.get_submodule(name).register_forward_hook(count)

    def activations(module, args, out):
        inputs[len(inputs)] = out

    spiking(x)
    for name, _ in list(spiking.graph.named_modules()):
        if name in bounds:
            setattr(spiking.graph, name, Activation())
            spiking.graph.get_submodule(name).register_forward_hook(activations)
    spiking.encoder = None
    spiking(x, num_steps=1)
    tightest = 0.0
    for want, (name, bound) in zip(inputs.values(), bounds.items(), strict=True):
        error = (counts[name] - steps * want).abs()
        assert (error <= bound + 1e-9).all()
        tightest = max(tightest, (error / bound).max())
    assert tightest > 0.3, "a bound that is never near would prove little"


class Activation(nn.Module):
    def forward(self, current, steps):
        return current.relu()


def test_error_falls_as_one_over_the_number_of_steps():
    model, x = problem(dense, batch=300)
    errors = []
    for steps in (10, 100, 1000):
        errors.append((stp.to_spiking(model, steps)(x) - model(x)).abs().mean())
    slopes = torch.stack(errors).log10().diff()
    assert ((slopes + 1).abs() < 0.05).all()


def test_event_order_has_the_larger_bound():
    model, x = problem(dense)
    spiking = stp.to_spiking(model)
    step, event = (stp.herding_error_bound(spiking, x, order=o) for o in ("step", "event"))
    assert (event > step).all()
    first, second, last = (model[k].weight.abs() for k in (0, 2, 4))
    a = model[1](model[0](x))
    e = 0.5 + (0.5 * (x != 0) + x.abs()) @ first.T
    e = 0.5 + (e + a) @ second.T
    torch.testing.assert_close(event, e @ last.T)


def test_every_place_of_a_reused_relu_is_a_unit_of_its_own():
    model, _ = problem(Residual)
    spiking = stp.to_spiking(model)
    units = [m for m in spiking.modules() if isinstance(m, stp.HerdingReLU)]
    assert len(units) == 4 and len(set(map(id, units))) == 4
    assert isinstance(model.relu, nn.ReLU)


def test_twin_shares_the_parameters_and_trains_them():
    model, x = problem(dense)
    spiking = stp.to_spiking(model, 200)
    weights = torch.randn(7, 3).double()
    (spiking(x) * weights).sum().backward()
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    (model(x) * weights).sum().backward()
    for a, parameter in zip(found, model.parameters(), strict=True):
        assert F.cosine_similarity(a.flatten(), parameter.grad.flatten(), dim=0) > 0.99


def test_steps_in_a_host_loop_give_the_time_parallel_result():
    model, x = problem(dense)
    units = [stp.HerdingQuantizer(), model[0], stp.HerdingReLU(), model[2], stp.HerdingReLU()]
    states, total, steps = {}, 0.0, 30
    for _ in range(steps):
        out = x
        for k, unit in enumerate(units):
            if isinstance(unit, ClockedNeuron):
                out, states[k] = unit.step(out, states.get(k) or unit.initial_state(out))
            else:
                out = unit(out)
        total = total + model[4](out)
    torch.testing.assert_close(stp.to_spiking(model, steps)(x), total / steps)


def test_twin_can_be_copied_and_pickled():
    model, x = problem(convolutional)
    spiking = stp.to_spiking(model, 4)
    assert torch.equal(copy.deepcopy(spiking)(x), spiking(x))
    assert torch.equal(pickle.loads(pickle.dumps(spiking))(x), spiking(x))
    assert "num_steps=4" in repr(spiking)


def test_a_single_relu_is_a_network():
    x = torch.tensor([[-1.3, 0.75, 2.25]])
    assert stp.to_spiking(nn.ReLU(), 4)(x).tolist() == [[0.0, 0.75, 2.25]]


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.relu())


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return (x + y).relu()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
            "1 (MaxPool2d) has no spiking form: the maximum of means over time is not the mean",
        ),
        (nn.Sequential(nn.ReLU(), nn.Softmax(1)), "1 (Softmax) has no spiking form: it does not c"),
        (nn.Sequential(nn.ReLU(), nn.GELU()), "1 (GELU) has no spiking form: whether it commutes"),
        (nn.Sequential(nn.Linear(2, 2)), "the model holds no ReLU"),
        (Functional(lambda x: F.max_pool2d(x, 2)), "has no spiking form: the maximum of means"),
        (Functional(lambda x: x * x), "mul has no spiking form"),
        (Functional(lambda x: x + 2.5), "add has no spiking form"),
        (Functional(lambda x: x.exp()), "exp has no spiking form"),
        (Functional(lambda x: F.dropout(x, 0.5)), "dropout has no spiking form: it is drawn anew"),
        (Functional(lambda x: (x, x)), "an output that is not one tensor has no spiking form"),
        (Functional(lambda x: x if x.sum() > 0 else -x), "Functional cannot be traced by torch.fx"),
        (TwoInputs(), "forward must take one tensor, but also takes y"),
    ],
)
def test_what_has_no_spiking_form_is_named(model, message):
    with pytest.raises(TypeError, match="to_spiking: .*" + re.escape(message)):
        stp.to_spiking(model)


def test_training_mode_of_batch_norm_and_dropout_is_refused():
    model, x = problem(Residual)
    spiking = stp.to_spiking(model)
    model.drop.train()
    with pytest.raises(ValueError, match=r"drop \(Dropout\) is in training mode"):
        spiking(x)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m: stp.to_spiking(m, 0), ValueError, "num_steps must be at least 1, got 0"),
        (lambda m: stp.to_spiking(m)(torch.ones(2, 20), num_steps=0.5), TypeError, "an integer"),
        (
            lambda m: stp.to_spiking(m)(torch.full((2, 20), float("inf"))),
            ValueError,
            "x must be finite, got inf",
        ),
        (lambda m: stp.herding_error_bound(m, torch.ones(2, 20)), TypeError, "got Sequential"),
        (
            lambda m: stp.herding_error_bound(stp.to_spiking(m), torch.ones(2, 20), order="any"),
            ValueError,
            "order must be one of 'step', 'event'; got 'any'",
        ),
    ],
)
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call(dense())
