"""Deep Spiking Networks on MNIST: training by spikes alone, beside the ReLU network.

    python tutorials/02_papers/run_deep_spiking_networks.py training     # about an hour
    python tutorials/02_papers/run_deep_spiking_networks.py variants
    python tutorials/02_papers/run_deep_spiking_networks.py conversion   # needs the training
    python tutorials/02_papers/run_deep_spiking_networks.py gradients    # needs the training
    python tutorials/02_papers/run_deep_spiking_networks.py settings     # how CHOSEN was chosen

Results go to docs/results/deep_spiking/; a part goes on where it was interrupted. The network is
784-200-200-10 without biases, T = 10, batch 1, images in the order of the file. Runs without
"chosen" in their name have the constants of the authors' program: weights 0.01 N(0, 1), learning
rate 0.01. Those of the others were chosen on the last 10,000 training images, see ``SETTINGS``.

The authors' program trains on 50,000 images and reports the error on the 10,000 validation
images of the same file (its loader takes the third part of the pickled data for the second);
here all 60,000 images are learned and the error is that of the canonical 10,000 test images,
after the last epoch.
"""

import copy
import operator
from functools import reduce
from itertools import pairwise
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results, _training
from snn_temporal_plugins.kernels.herding.op import learn_relu

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "deep_spiking"
SIZES = [784, 200, 200, 10]
RATE, BATCH = 0.01, 1000  # images are learned one by one; a batch is one call
SGD, FSGD = {"order": "event"}, {"order": "event", "update": "fsgd"}
STEP_SGD = {"order": "step"}
DECAY = {"decay": True}
CHOSEN = {"decay": True, "lr": 0.02}  # of all but "sgd" in event order, see SETTINGS
TRAINED = {  # how the spiking network learns; "relu" is the factor of the ReLU network's gradient
    "sgd": SGD,
    "fsgd": FSGD,
    "step_sgd": STEP_SGD,
    "relu": {"relu": 1.0},
    "relu_double": {"relu": 2.0},
    "sgd_chosen": SGD | DECAY,
    "fsgd_chosen": FSGD | CHOSEN,
    "step_sgd_chosen": STEP_SGD | CHOSEN,
    "relu_chosen": {"relu": 1.0} | CHOSEN,
}
SETTINGS = {  # ideas, on the first 50,000 images; the error is that of the last 10,000
    "step_sgd_decay": STEP_SGD | DECAY,
    "step_sgd_double_decay": STEP_SGD | CHOSEN,
    "step_sgd_fine": STEP_SGD | CHOSEN | {"error_quantum": 0.25},
    "step_sgd_smooth": STEP_SGD | CHOSEN | {"smooth": True},
    "step_sgd_t20": STEP_SGD | CHOSEN | {"num_steps": 20},
    "step_sgd_final_gate": STEP_SGD | CHOSEN | {"gate": "final"},
    "step_fsgd_double_decay": {"order": "step", "update": "fsgd"} | CHOSEN,
    "relu_decay": {"relu": 1.0} | DECAY,
    "relu_double_decay": {"relu": 1.0} | CHOSEN,
    "sgd_decay": SGD | DECAY,
    "sgd_half_decay": SGD | DECAY | {"lr": 0.005},
    "sgd_double_decay": SGD | CHOSEN,
    "sgd_fine": SGD | DECAY | {"error_quantum": 0.25},
    "fsgd_decay": FSGD | DECAY,
    "fsgd_double_decay": FSGD | CHOSEN,
}
VARIANTS = {
    "baseline": {"order": "event"},
    "fractional": {"order": "event", "update": "fsgd"},
    "smooth": {"order": "event", "smooth": True},
    "smooth_fractional": {"order": "event", "smooth": True, "update": "fsgd"},
    "back_zero": {"order": "event", "back_reset": "zero"},
    "back_random": {"order": "event", "back_reset": "random"},
    "t5": {"order": "event", "num_steps": 5},
    "t20": {"order": "event", "num_steps": 20},
    "step_order": {"order": "step"},
    "step_final_gate": {"order": "step", "gate": "final"},
}


def load(split):
    data = stp.datasets.load("mnist", split)
    return data.images.flatten(1), data.labels, data.source


def network(seed, **options):
    """The same start for every run."""
    torch.manual_seed(seed)
    return stp.HerdingMLP(SIZES, **({"lr": RATE} | options))


def error(scores, labels):
    """Share of samples whose class has not the largest score alone, in percent."""
    own = scores.gather(1, labels.unsqueeze(1))
    return 100 * ((scores >= own).sum(1) != 1).double().mean().item()


def per_image(counts):
    """Operations of one image, on average."""
    n = counts.samples
    figures = {f"{name}_additions": getattr(counts, name) / n for name in ("forward", "backward")}
    figures["update_additions"] = counts.update / n
    for name in ("spikes", "errors", "passed"):
        figures |= {f"{name}_{k}": v / n for k, v in enumerate(getattr(counts, name))}
    return figures


def train(name, options, args, folder, x, labels, x_test, labels_test):
    """Rows of one run; the weights, and their mean over the last quarter, are in its checkpoint.

    With ``decay`` the learning rate falls to 0, linearly from call to call.
    """
    options = dict(options)
    factor, decay, shuffle = (options.pop(key, None) for key in ("relu", "decay", "shuffle"))
    spiking = factor is None
    net = network(args.seed, **({"order": "event"} | options))
    average = AveragedModel(net)
    checkpoint = folder / f"{name}_{args.seed}.pt"
    saved = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else {"history": []}
    learned, epoch_now, rate = [], len(saved["history"]), net.lr
    calls, call = args.epochs * -(-len(x) // BATCH), epoch_now * -(-len(x) // BATCH)

    def step(inputs, targets):
        nonlocal call
        net.lr = rate * (1 - call / calls) if decay else rate
        call += 1
        if spiking:
            learned.append(net.learn(inputs, targets))
            right = learned[-1].right
        else:
            right = learn_relu(inputs, targets, net.weights, net.lr * factor)
        if epoch_now >= 0.75 * args.epochs:
            average.update_parameters(net)
        return right

    def after_epoch(epoch):
        nonlocal epoch_now
        epoch_now = epoch + 1
        last = epoch + 1 == args.epochs
        row = {"relu_error": error(net.relu()(x_test), labels_test)}
        if spiking or last:
            row["spiking_error"] = error(net(x_test), labels_test)
        if spiking:
            row |= per_image(reduce(operator.add, learned))
            learned.clear()
        if last:
            mean = average.module
            row["spiking_training_error"] = error(net(x), labels)
            row["relu_training_error"] = error(net.relu()(x), labels)
            row["average_spiking_error"] = error(mean(x_test), labels_test)
            row["average_relu_error"] = error(mean.relu()(x_test), labels_test)
        return row

    with torch.no_grad():
        return _training.fit(
            step,
            x,
            labels,
            epochs=args.epochs,
            batch_size=BATCH,
            seed=args.seed,
            shuffle=bool(shuffle),
            after_epoch=after_epoch,
            parts={"network": net, "average": average},
            checkpoint=checkpoint,
            title=name,
        )


def several(part, runs, args, folder):
    """Train ``runs``, one after the other; each is written down when it is done."""
    x, labels, source = load("train")
    x_test, labels_test, _ = load("test")
    if part == "settings":
        x_test, labels_test, x, labels = x[-10000:], labels[-10000:], x[:50000], labels[:50000]
    if not args.full:
        x, labels, x_test, labels_test = x[:2000], labels[:2000], x_test[:1000], labels_test[:1000]
    settings = {"sizes": SIZES, "epochs": args.epochs, "images": len(x), "data": source}
    for name in args.only or runs:
        options = {"lr": RATE} | runs[name]
        rows = train(name, runs[name], args, folder, x, labels, x_test, labels_test)
        if args.full:
            path = RESULTS / f"{part}_{name}.json"
            _results.save(path, rows, seed=args.seed, options=options, **settings)


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
        figures = law(start.relu(), x[:300])
    want = hidden.pop()
    inputs = [x, *hidden]
    active = [(values != 0).sum(1).double().mean().item() for values in inputs]
    figures["dense"] = sum(n * fan_out for n, fan_out in pairwise(SIZES))
    figures["skipping"] = sum(n * fan_out for n, fan_out in zip(active, SIZES[1:], strict=True))
    figures["relu_error"] = error(want, labels)
    figures["rows"] = rows = []
    for order in ("step", "event"):
        for steps in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000):
            images = slice(10_000 if steps <= 20 else 2000 if steps <= 100 else 300)
            net = stp.HerdingMLP(SIZES, steps, order=order)
            net.load_state_dict(start.state_dict())
            scores = net(x[images])
            differs = scores.argmax(1) != want[images].argmax(1)
            row = {
                "order": order,
                "steps": steps,
                "images": len(scores),
                "error": error(scores, labels[images]),
                "relu_error": error(want[images], labels[images]),
                "differs": 100 * differs.double().mean().item(),
                "readout_times_t": steps * (scores - want[images]).abs().mean().item(),
                "additions": net.count(x[images], labels[images]).forward / len(scores),
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


def spikes_per_step(relu, x, steps):
    """Mean spikes of the hidden units, and mean output."""
    sent, _ = stp.HerdingQuantizer()(x.expand(steps, *x.shape))
    found = []
    for module in relu:
        if isinstance(module, torch.nn.ReLU):
            sent, _ = stp.HerdingReLU()(sent)
            found.append(sent.mean(0))
        else:
            sent = module(sent)
    return [*found, sent.mean(0)]


@torch.no_grad()
def law(relu, x):
    """Mean distance from the ReLU network in float64, on the same images at every T.

    Also the largest share of the guaranteed bound, over all units and images: of every layer in
    step order, of the output in event order.
    """
    relu, x = copy.deepcopy(relu).double(), x.double()
    all_steps = [10, 20, 50, 100, 200, 500, 1000]
    layers = ["hidden_1", "hidden_2", "output"]
    means = {name: [] for name in (*layers, "output_event", "input", "bernoulli_input")}
    shares = {name: [] for name in (*layers, "output_event")}
    want = activations(relu, x)
    twin = stp.to_spiking(relu)
    output_bound, unit_bounds = stp.herding_error_bound(twin, x, return_units=True)
    bounds = [*unit_bounds.values(), output_bound]
    event_bound = stp.herding_error_bound(twin, x, order="event")
    for steps in all_steps:
        parts = [spikes_per_step(relu, part, steps) for part in x.split(50)]
        found = [torch.cat(part) for part in zip(*parts, strict=True)]
        event = stp.HerdingMLP(SIZES, steps, order="event").double()
        for layer, own in zip(event.layers, relu[::2], strict=True):
            layer.load_state_dict(own.state_dict())
        herded, _ = stp.HerdingQuantizer()(x[:50].expand(steps, 50, -1))
        noise = torch.binomial(torch.full_like(x, steps), x) / steps
        for name, got, true, bound in (
            *zip(layers, found, want, bounds, strict=True),
            ("output_event", event(x), want[-1], event_bound),
            ("input", herded.mean(0), x[:50], None),
            ("bernoulli_input", noise, x, None),
        ):
            means[name].append((got - true).abs().mean().item())
            if bound is not None:
                shares[name].append(((got - true).abs() * steps / bound).max().item())
        print("T", steps, {name: values[-1] for name, values in (means | shares).items()})
    return {
        "steps": all_steps,
        "law_images": len(x),
        "mean_error": means,
        "slope": {name: slope(all_steps, values) for name, values in means.items()},
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


def main():
    parser = _training.options(__doc__.splitlines()[0], epochs=20)
    parser.add_argument(
        "part", choices=["training", "settings", "variants", "conversion", "gradients"]
    )
    only = "train these runs only"
    parser.add_argument("--only", nargs="*", metavar="RUN", help=only)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "deep_spiking_networks")
    args = _training.parse(parser)
    if args.part == "training":
        several(args.part, TRAINED, args, args.folder)
    elif args.part == "settings":
        several(args.part, SETTINGS, args, args.folder / args.part)
    elif args.part == "variants":
        args.epochs = min(args.epochs, 4)  # as in the authors' table
        several(args.part, VARIANTS, args, args.folder / args.part)
    elif args.part == "conversion":
        conversion(args, args.folder)
    else:
        gradients(args, args.folder)


if __name__ == "__main__":
    main()
