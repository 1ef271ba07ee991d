"""The engine against literal loops over single spikes, and against the limits of the paper."""

import itertools
import pickle

import deep_spiking_program as program
import pytest
import torch

import snn_temporal_plugins as stp

pytest.importorskip("numba")

SIZES = (9, 21, 18, 4)
STEPS, RATE = 6, 0.037
OPTIONS = list(itertools.product(["step", "event"], ["sgd", "fsgd"], ["causal", "final"], [False]))
OPTIONS += [("event", "fsgd", "causal", True), ("step", "sgd", "causal", True)]
rules = pytest.mark.parametrize(("order", "update", "gate", "smooth"), OPTIONS)


def network(steps=STEPS, *, grid=False, seed=0, sizes=SIZES, **options):
    torch.manual_seed(seed)
    made = stp.HerdingMLP(sizes, steps, lr=RATE, **options).double()
    for layer in made.layers:
        torch.nn.init.normal_(layer.weight, 0.06, 1.9 / layer.in_features**0.5)
        if grid:
            layer.weight.data.mul_(8).round_().div_(8)
    return made


def samples(n, *, grid=False, seed=1, inputs=SIZES[0]):
    g = torch.Generator().manual_seed(seed)
    x = 1.6 * torch.rand(n, inputs, generator=g).double() - 0.5
    x[:, ::4] = 0.0
    x[:, 1] = x[:, 2]  # equal residues: the order is that of the units
    x[0] = 0.0
    labels = torch.randint(0, SIZES[-1], (n,), generator=g)
    return ((8 * x).round() / 8 if grid else x), labels


def literal(net):
    weights = [weight.T.tolist() for weight in net.weights]
    options = {k: getattr(net, k) for k in ("order", "update", "gate", "smooth")}
    return program.Network(
        weights, net.num_steps, rate=net.lr, quantum=net.error_quantum, **options
    )


def assert_same(net, oracle):
    for weight, rows in zip(net.weights, oracle.weights, strict=True):
        torch.testing.assert_close(
            weight, torch.tensor(rows, dtype=torch.float64).T, atol=1e-12, rtol=0
        )
    back = torch.tensor([*itertools.chain(*oracle.back[1:-1])], dtype=torch.float64)
    torch.testing.assert_close(net.error_quantum * net.residue, back, atol=1e-12, rtol=0)


@rules
@pytest.mark.parametrize(("grid", "quantum"), [(False, 1.0), (True, 1.0), (False, 0.3)])
def test_training_equals_loops_over_single_spikes(order, update, gate, smooth, grid, quantum):
    options = {"order": order, "update": update, "gate": gate, "smooth": smooth}
    net = network(grid=grid, error_quantum=quantum, **options)
    before = [weight.clone() for weight in net.weights]
    oracle, (x, labels) = literal(net), samples(7, grid=grid)
    for sample, label in zip(x.tolist(), labels.tolist(), strict=True):
        oracle.train_one(sample, label)
    counts = net.learn(x, labels)
    assert_same(net, oracle)
    assert counts.samples == 7
    assert list(counts.spikes) == oracle.spikes and min(counts.spikes) > 0
    assert list(counts.errors) == oracle.errors and min(counts.errors[1:]) > 0
    assert list(counts.passed) == oracle.passed and counts.passed < counts.errors
    found = {k: getattr(counts, k) for k in ("forward", "backward", "update")}
    assert found == oracle.additions
    assert counts.additions == sum(found.values())
    assert all((a != b).any() for a, b in zip(before, net.weights, strict=True))


@pytest.mark.parametrize("order", ["step", "event"])
@pytest.mark.parametrize("grid", [False, True])
def test_inference_equals_loops_over_single_spikes(order, grid):
    net = network(grid=grid, order=order)
    x, labels = samples(6, grid=grid)
    oracle = literal(net)
    want = torch.tensor([oracle.scores(sample) for sample in x.tolist()], dtype=torch.float64)
    scores, spikes = net(x, return_spikes=True)
    torch.testing.assert_close(scores, want, atol=1e-12, rtol=0)
    assert spikes.sum(0).tolist() == oracle.spikes
    counts = net.count(x, labels)
    assert counts.forward == oracle.additions["forward"]
    ranks = (want >= want.gather(1, labels.unsqueeze(1))).sum(1)
    assert counts.right == (ranks == 1).sum() < 6, "a silent sample ties"


def test_a_long_queue_is_sorted_like_a_short_one():
    """More than 16 spikes in a step go through the counting sort."""
    sizes = (60, 7, 4)
    net = network(order="event", sizes=sizes, seed=3)
    x = torch.rand(3, 60, generator=torch.Generator().manual_seed(2)).double() + 0.4
    x[:, 10:20] = x[:, 10:11]
    oracle = literal(net)
    want = torch.tensor([oracle.scores(sample) for sample in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(net(x), want, atol=1e-12, rtol=0)
    single = net.float()
    want, found = want.float(), single(x.float())
    assert (want - found).abs().median() < 1e-5


@pytest.mark.parametrize("order", ["step", "event"])
@pytest.mark.parametrize("steps", [1, 10, 100])
def test_outputs_stay_within_the_guaranteed_bound(order, steps):
    net = network(steps, order=order)
    x, _ = samples(30)
    spiking = stp.to_spiking(net.relu(), steps)
    bound = stp.herding_error_bound(spiking, x, order=order)
    assert ((net(x) - net.relu()(x)).abs() <= bound / steps + 1e-12).all()
    if order == "step":
        torch.testing.assert_close(net(x), spiking(x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("order", ["step", "event"])
@pytest.mark.parametrize("steps", [1, 10, 100])
def test_counts_of_every_hidden_unit_stay_within_its_bound(order, steps):
    """Counts of the loops, which the engine equals."""
    net, (x, _) = network(steps, order=order), samples(4)
    twin, relu, oracle = stp.to_spiking(net.relu()), net.relu(), literal(net)
    _, bounds = stp.herding_error_bound(twin, x, order=order, return_units=True)
    assert len(bounds) == 2
    for b, sample in enumerate(x.tolist()):
        oracle.scores(sample)
        activation = x[b]
        for k, bound in enumerate(bounds.values()):
            activation = relu[2 * k : 2 * k + 2](activation)
            error = torch.tensor(oracle.count[k + 1]) - steps * activation
            assert (error.abs() <= bound[b] + 1e-9).all()


def update_of(steps, options, x, labels):
    """Change of the weights by one sample, in units of the learning rate."""
    net = network(steps, **options)
    before = [weight.clone() for weight in net.weights]
    net.lr = 1e-9  # the weights of the sample stay what they are
    net.learn(x, labels)
    pairs = zip(before, net.weights, strict=True)
    return torch.cat([((a - b) / net.lr).flatten() for a, b in pairs])


@pytest.mark.parametrize("order", ["step", "event"])
@pytest.mark.parametrize(("update", "share"), [("sgd", 1.0), ("fsgd", 0.5)])
def test_change_of_the_weights_tends_to_the_gradient_of_the_relu_network(order, update, share):
    x, labels = samples(3, seed=5)
    x, labels = x[2:], labels[2:]
    dense = network().relu()
    target = torch.nn.functional.one_hot(labels, SIZES[-1])
    ((dense(x).relu() - target) ** 2).sum().div(2).backward()
    want = torch.cat([parameter.grad.flatten() for parameter in dense.parameters()])
    assert want.any()
    found = update_of(2000, {"order": order, "update": update}, x, labels)
    torch.testing.assert_close(found, share * want, atol=0.02 * want.abs().max(), rtol=0)


def test_without_carried_residues_small_errors_are_never_sent():
    torch.manual_seed(0)
    x, labels = samples(40)
    sent = {}
    for reset in ("none", "random", "zero"):
        net = network(back_reset=reset)
        for layer in net.layers:
            layer.weight.data.mul_(0.05)
        sent[reset] = net.learn(x, labels).errors[1]
    assert sent["zero"] == 0 < min(sent["none"], sent["random"])


def test_random_residues_follow_the_generator_and_zero_ones_forget():
    x, labels = samples(8)
    results = []
    for seed in (4, 4, 5):
        net = network(back_reset="random")
        torch.manual_seed(seed)
        net.learn(x, labels)
        results.append(net.weights[0])
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    net = network(back_reset="zero")
    other = network(back_reset="zero")
    other.residue.fill_(0.37)
    net.learn(x, labels)
    other.learn(x, labels)
    assert torch.equal(net.weights[0], other.weights[0])


def test_learning_in_two_parts_through_a_file_is_learning_at_once():
    x, labels = samples(12)
    whole, parts = network(update="fsgd"), network(update="fsgd")
    total = whole.learn(x, labels)
    first = parts.learn(x[:5], labels[:5])
    parts = pickle.loads(pickle.dumps(parts))
    restored = network(update="fsgd", seed=8)
    restored.load_state_dict(parts.state_dict())
    assert first + restored.learn(x[5:], labels[5:]) == total
    assert torch.equal(whole.weights[0], restored.weights[0])
    assert torch.equal(whole.residue, restored.residue)


def test_same_bits_for_one_and_two_threads(set_threads):
    net, (x, _) = network(order="event"), samples(9)
    results = []
    for threads in (1, 2):
        set_threads(threads)
        results.append(net(x))
    assert torch.equal(*results)


def test_relu_network_shares_the_weights():
    net = network()
    assert [p.data_ptr() for p in net.relu().parameters()] == [w.data_ptr() for w in net.weights]


def test_dense_comparison_is_gradient_descent_sample_by_sample():
    from snn_temporal_plugins.kernels.herding.op import learn_relu

    net, (x, labels) = network(), samples(6)
    dense = network(seed=0).relu()
    right = 0
    for sample, label in zip(x, labels, strict=True):
        out = dense(sample)
        right += int((out >= out[label]).sum() == 1)
        target = torch.nn.functional.one_hot(label, SIZES[-1])
        dense.zero_grad()
        ((out.relu() - target) ** 2).sum().div(2).backward()
        with torch.no_grad():
            for parameter in dense.parameters():
                parameter -= RATE * parameter.grad
    assert learn_relu(x, labels, net.weights, RATE) == right
    for weight, parameter in zip(net.weights, dense.parameters(), strict=True):
        torch.testing.assert_close(weight, parameter.detach(), atol=1e-12, rtol=0)


def test_a_diverging_network_is_stopped_and_left_as_it_was():
    net = network()
    net.layers[0].weight.data.mul_(500)
    before, (x, labels) = net.weights[0].clone(), samples(5)
    for call in (lambda: net.learn(x, labels), lambda: net(x)):
        with pytest.raises(RuntimeError, match="more than 64 spikes per unit in one step"):
            call()
    assert torch.equal(net.weights[0], before) and not net.residue.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x, y: stp.HerdingMLP([7]), r"sizes must name inputs and outputs, got \[7\]"),
        (lambda n, x, y: stp.HerdingMLP([7, 0]), r"sizes\[1\] must be at least 1, got 0"),
        (lambda n, x, y: stp.HerdingMLP([7, 3], order="depth"), "order must be one of 'step', 'ev"),
        (lambda n, x, y: stp.HerdingMLP([7, 3], update="adam"), "update must be one of 'sgd', 'fs"),
        (lambda n, x, y: stp.HerdingMLP([7, 3], back_reset="no"), "back_reset must be one of"),
        (lambda n, x, y: stp.HerdingMLP([7, 3], gate="open"), "gate must be one of 'causal'"),
        (lambda n, x, y: stp.HerdingMLP([7, 3], lr=-0.1), "lr must be at least 0"),
        (lambda n, x, y: n.learn(x[:, :5], y), r"x must have shape \[B, 9\], got \[5, 5\]"),
        (lambda n, x, y: n.learn(x, y + 9), r"targets must lie in 0 ... 3"),
        (lambda n, x, y: n(x / 0.0), "x must be finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(network(), *samples(5))


def test_other_types_are_refused():
    with pytest.raises(
        TypeError, match="x must be torch.float64 as the weights, got torch.float32"
    ):
        network()(torch.ones(2, 9))


def test_repr_shows_how_it_learns():
    text = repr(network(update="fsgd", smooth=True, error_quantum=0.5))
    assert "lr=0.037, update='fsgd', order='step', back_reset='none', gate='causal'" in text
    assert "error_quantum=0.5, smooth=True" in text
