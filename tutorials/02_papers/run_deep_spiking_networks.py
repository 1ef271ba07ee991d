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

import operator
from functools import reduce
from pathlib import Path

import torch
from deep_spiking_studies import (
    RATE,
    RESULTS,
    ROOT,
    SIZES,
    conversion,
    error,
    gradients,
    load,
    network,
)
from torch.optim.swa_utils import AveragedModel

from snn_temporal_plugins import _results, _training
from snn_temporal_plugins.kernels.herding.op import learn_relu

BATCH = 1000  # images are learned one by one; a batch is one call
SGD, FSGD = {"order": "event"}, {"order": "event", "update": "fsgd"}
STEP_SGD = {"order": "step"}
DECAY = {"decay": True}
CHOSEN = {"decay": True, "lr": 0.02}  # of all but "sgd" in event order, see SETTINGS
FINE = {"error_quantum": 0.25}
TRAINED = {  # how the spiking network learns; "relu" is the factor of the ReLU network's gradient
    "sgd": SGD,
    "fsgd": FSGD,
    "step_sgd": STEP_SGD,
    "relu": {"relu": 1.0},
    "relu_double": {"relu": 2.0},
    "sgd_chosen": SGD | DECAY,
    "fsgd_chosen": FSGD | CHOSEN,
    "step_sgd_chosen": STEP_SGD | CHOSEN | FINE,
    "relu_chosen": {"relu": 1.0} | CHOSEN,
}
SETTINGS = {  # ideas, on the first 50,000 images; the error is that of the last 10,000
    "step_sgd_decay": STEP_SGD | DECAY,
    "step_sgd_double_decay": STEP_SGD | CHOSEN,
    "step_sgd_fine": STEP_SGD | CHOSEN | FINE,
    "step_sgd_finer": STEP_SGD | CHOSEN | {"error_quantum": 0.1},
    "step_sgd_smooth": STEP_SGD | CHOSEN | {"smooth": True},
    "step_sgd_fine_smooth": STEP_SGD | CHOSEN | FINE | {"smooth": True},
    "step_sgd_fine_t20": STEP_SGD | CHOSEN | FINE | {"num_steps": 20},
    "step_sgd_t20": STEP_SGD | CHOSEN | {"num_steps": 20},
    "step_sgd_final_gate": STEP_SGD | CHOSEN | {"gate": "final"},
    "step_fsgd_double_decay": {"order": "step", "update": "fsgd"} | CHOSEN,
    "relu_decay": {"relu": 1.0} | DECAY,
    "relu_double_decay": {"relu": 1.0} | CHOSEN,
    "sgd_decay": SGD | DECAY,
    "sgd_half_decay": SGD | DECAY | {"lr": 0.005},
    "sgd_double_decay": SGD | CHOSEN,
    "sgd_fine": SGD | DECAY | FINE,
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
