"""What a trained network of herding units is compared with: its ReLU network, its bound, gradients.

Parts ``conversion`` and ``gradients`` of ``run_deep_spiking_networks.py``, and what the tutorial
page of the paper shares with it.
"""

import copy
from itertools import pairwise
from pathlib import Path

import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "deep_spiking"
SIZES = [784, 200, 200, 10]
RATE = 0.01


def load(split):
    data = stp.datasets.load("mnist", split)
    return data.images.flatten(1), data.labels, data.source


def stored(name):
    """Figures of a full run; empty where its file is not there."""
    path = RESULTS / f"{name}.json"
    return _results.load(path)["figures"] if path.exists() else {}


def network(seed, **options):
    """The same start for every run."""
    torch.manual_seed(seed)
    return stp.HerdingMLP(SIZES, **({"lr": RATE} | options))


def error(scores, labels):
    """Share of samples whose class has not the largest score alone, in percent."""
    own = scores.gather(1, labels.unsqueeze(1))
    return 100 * ((scores >= own).sum(1) != 1).double().mean().item()


def trained(name, args, folder):
    """Network with the weights of a run."""
    net = network(args.seed)
    saved = torch.load(folder / f"{name}_{args.seed}.pt", weights_only=True)
    net.load_state_dict(saved["parts"]["network"])
    return net


def conversion(args, folder):
    """The trained ReLU network, run as a spiking one at several T, in both orders."""
    x, labels, source = load("test")
    start = trained("relu_double", args, folder)
    with torch.no_grad():
        hidden = activations(start.relu(), x)
        figures = law(start.relu(), x[:200])
    want = hidden.pop()
    inputs = [x, *hidden]
    active = [(values != 0).sum(1).double().mean().item() for values in inputs]
    fan_out = torch.tensor(SIZES[1:]).double()
    figures["dense"] = sum(n * m for n, m in pairwise(SIZES))
    figures["skipping"] = sum(n * m for n, m in zip(active, SIZES[1:], strict=True))
    figures["relu_error"] = error(want, labels)
    figures["rows"] = rows = []
    for order in ("step", "event"):
        for steps in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000):
            images = slice(10_000 if steps <= 20 else 2000 if steps <= 100 else 300)
            net = stp.HerdingMLP(SIZES, steps, order=order)
            net.load_state_dict(start.state_dict())
            scores, sent = net(x[images], return_spikes=True)
            differs = scores.argmax(1) != want[images].argmax(1)
            row = {
                "order": order,
                "steps": steps,
                "images": len(scores),
                "error": error(scores, labels[images]),
                "relu_error": error(want[images], labels[images]),
                "differs": 100 * differs.double().mean().item(),
                "readout_times_t": steps * (scores - want[images]).abs().mean().item(),
                "additions": (sent[:, :-1].double().mean(0) @ fan_out).item(),
            }
            if order == "step" and steps <= 20:
                row["twin_differs"] = twin_differs(start.relu(), steps, x, want)
            rows.append(row)
            print(row)
    _results.save(RESULTS / "conversion.json", figures, seed=args.seed, data=source)


@torch.no_grad()
def twin_differs(relu, steps, x, want):
    """Percentage of decisions that ``to_spiking`` changes."""
    twin = stp.to_spiking(relu, steps)
    scores = torch.cat([twin(part) for part in x.split(500)])
    return 100 * (scores.argmax(1) != want.argmax(1)).double().mean().item()


def activations(relu, x):
    """Hidden activations and output."""
    found = []
    for module in relu:
        x = module(x)
        if isinstance(module, torch.nn.ReLU):
            found.append(x)
    return [*found, x]


def spikes(relu, sent):
    """Spikes of all layers for those of the input ``[T, B, I]``, and currents of the output."""
    found = [sent]
    for module in relu:
        if isinstance(module, torch.nn.ReLU):
            sent, _ = stp.HerdingReLU()(sent)
            found.append(sent)
        else:
            sent = module(sent)
    return [*found, sent]


def means(relu, x, all_steps, encode):
    """Means of :func:`spikes` over the first steps, of constant images: ``[step count][layer]``."""
    parts = []
    for part in x.split(25):
        trains = spikes(relu, encode(part.expand(max(all_steps), *part.shape)))
        parts.append([[train[:steps].mean(0) for train in trains] for steps in all_steps])
    return [
        [torch.cat(layer) for layer in zip(*found, strict=True)]
        for found in zip(*parts, strict=True)
    ]


def herded(x):
    """Signed spikes of a stream."""
    return stp.HerdingQuantizer()(x)[0]


@torch.no_grad()
def law(relu, x):
    """Mean distance from the ReLU network in float64, on the same images at every T.

    Also the largest share of the guaranteed bound, over all units and images: of every layer in
    step order, of the output in event order.
    """
    relu, x = copy.deepcopy(relu).double(), x.double()
    all_steps = [10, 20, 50, 100, 200, 500, 1000]
    layers = ["input", "hidden_1", "hidden_2", "output"]
    noisy = [f"bernoulli_{name}" for name in layers]
    errors = {name: [] for name in (*layers, *noisy, "output_event")}
    shares = {name: [] for name in (*layers, "output_event")}
    want = [x, *activations(relu, x)]
    twin = stp.to_spiking(relu)
    output_bound, units = stp.herding_error_bound(twin, x, return_units=True)
    bounds = [(x != 0) / 2, *units.values(), output_bound]
    event_bound = stp.herding_error_bound(twin, x, order="event")
    sent, random = (means(relu, x, all_steps, encode) for encode in (herded, torch.bernoulli))
    for k, steps in enumerate(all_steps):
        event = stp.HerdingMLP(SIZES, steps, order="event").double()
        for layer, own in zip(event.layers, relu[::2], strict=True):
            layer.load_state_dict(own.state_dict())
        for name, got, true, bound in (
            *zip(layers, sent[k], want, bounds, strict=True),
            *zip(noisy, random[k], want, [None] * 4, strict=True),
            ("output_event", event(x), want[-1], event_bound),
        ):
            distance = (got - true).abs()
            errors[name].append(distance.mean().item())
            if bound is not None:
                assert (distance * steps <= bound + 1e-9).all()
                shares[name].append((distance * steps / bound)[bound > 0].max().item())
        print("T", steps, {name: values[-1] for name, values in errors.items()})
    return {
        "steps": all_steps,
        "law_images": len(x),
        "mean_error": errors,
        "slope": {name: slope(all_steps, values) for name, values in errors.items()},
        "largest_share_of_bound": shares,
    }


def slope(x, y):
    """Of a line through the points on logarithmic axes."""
    a, b = (torch.tensor(values).double().log() for values in (x, y))
    return (((a - a.mean()) * b).sum() / ((a - a.mean()) ** 2).sum()).item()


def gradients(args, folder):
    """Cosine between the change by one sample and the exact gradient, early and late."""
    x, labels, source = load("train")
    early = network(args.seed, order="step")
    early.learn(x[:5000], labels[:5000])
    starts = {"early": early, "late": trained("step_sgd_chosen", args, folder)}
    rows = []
    for stage, start in starts.items():
        for steps in (5, 10, 20, 50, 100, 500):
            samples = slice(5000, 5000 + (150 if steps < 100 else 60))
            for reset in ("none", "random", "zero"):
                options = {"steps": steps, "back_reset": reset}
                figures = compare(start, x[samples].double(), labels[samples], **options)
                rows.append({"stage": stage, **options, **figures})
                print(rows[-1])
    _results.save(RESULTS / "gradients.json", rows, seed=args.seed, data=source)


def compare(start, x, labels, *, steps, back_reset):
    """Cosines of the changes of W1, W2, W3: mean over the samples, and of their sums."""
    net = stp.HerdingMLP(SIZES, steps, lr=1e-9, order="step", back_reset=back_reset).double()
    cosines, unchanged, sums = [], 0, [0, 0, 0, 0, 0, 0]
    for sample, label in zip(x.split(1), labels.split(1), strict=True):
        net.load_state_dict(start.state_dict() | {"residue": net.residue})
        relu, before = net.relu(), [weight.clone() for weight in net.weights]
        relu.zero_grad()
        target = torch.nn.functional.one_hot(label, SIZES[-1])
        ((relu(sample).relu() - target) ** 2).sum().div(2).backward()
        exact = [parameter.grad for parameter in relu.parameters()]
        net.learn(sample, label)
        found = [(a - b) / net.lr for a, b in zip(before, net.weights, strict=True)]
        cosines.append([cosine(a, b) for a, b in zip(found, exact, strict=True)])
        unchanged += not found[0].abs().max() > 1e-6
        sums = [a + b for a, b in zip(sums, found + exact, strict=True)]
    return {
        "cosine": torch.tensor(cosines).mean(0).tolist(),
        "cosine_of_sums": [cosine(a, b) for a, b in zip(sums[:3], sums[3:], strict=True)],
        "without_change": unchanged / len(x),
    }


def cosine(a, b):
    """0 where one of them is 0."""
    return (torch.sum(a * b) / (a.norm() * b.norm()).clamp(min=1e-30)).item()
