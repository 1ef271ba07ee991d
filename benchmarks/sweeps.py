"""How the cost of a training step grows with time steps, width, and lit inputs; peak memory."""

import re
import subprocess
import sys
from pathlib import Path

import torch
from contestants import Clocked, Relu, Timed
from field import MAKERS
from timing import medians, slope

BATCH, HIDDEN = 128, 400


def time_steps(images, labels, *, seconds, quick):
    """The same spikes at finer steps; the clocked form only while it is bearable."""
    sizes = [16, 64, 256, 1024, 4096] if not quick else [64, 4096]
    x, y = images[:BATCH], labels[:BATCH]
    trained = Timed(HIDDEN)
    trained.learn(images, labels)
    jobs = {}
    for t_max in sizes:
        torch.manual_seed(0)
        for name, kind, backend in (("Timed", Timed, "numba"), ("clocked", Clocked, "torch")):
            if kind is Clocked and t_max > 1024:
                continue
            contestant = kind(HIDDEN, backend, t_max)
            contestant.load(trained)
            jobs[f"{name} {t_max}"] = lambda contestant=contestant: contestant.train(x, y)
    relu = Relu(HIDDEN)
    jobs["ReLU"] = lambda: relu.train(x, y)
    return _rows("T", medians(jobs, seconds=seconds, limit=30), sizes)


def width(images, labels, *, seconds, quick):
    """Hidden neurons."""
    sizes = [100, 200, 400, 800, 1600, 3200] if not quick else [100, 400]
    x, y, jobs = images[:BATCH], labels[:BATCH], {}
    for hidden in sizes:
        torch.manual_seed(0)
        timed, relu = Timed(hidden), Relu(hidden)
        timed.learn(images[:12800], labels[:12800])
        jobs[f"Timed {hidden}"] = lambda timed=timed: timed.train(x, y)
        jobs[f"ReLU {hidden}"] = lambda relu=relu: relu.train(x, y)
    return _rows("hidden neurons", medians(jobs, seconds=seconds, limit=30), sizes)


def lit_inputs(images, labels, *, seconds, quick):
    """Share of inputs that spike, at random; the weights keep the first layer's drive."""
    sizes = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0] if not quick else [0.05, 0.5]
    y, jobs = labels[:BATCH], {}
    trained = Timed(HIDDEN)
    trained.learn(images, labels)
    generator = torch.Generator().manual_seed(0)
    for share in sizes:
        x = torch.randint(1, 256, (BATCH, 784), generator=generator).to(torch.uint8)
        x[torch.rand(x.shape, generator=generator) >= share] = 0
        timed, relu = Timed(HIDDEN), Relu(HIDDEN)
        timed.load(trained)
        with torch.no_grad():
            timed.model[0].synapse.weight.mul_(0.19 / share)  # 0.19 of MNIST's pixels are lit
        jobs[f"Timed {share}"] = lambda timed=timed, x=x: timed.train(x, y)
        jobs[f"ReLU {share}"] = lambda relu=relu, x=x: relu.train(x, y)
    return _rows("lit inputs", medians(jobs, seconds=seconds, limit=30), sizes)


def _rows(variable, times, sizes):
    """Milliseconds per size and contestant, and the exponents of growth."""
    names = dict.fromkeys(name.split()[0] for name in times)
    rows = {}
    for name in names:
        found = {size: times.get(f"{name} {size}", times.get(name)) for size in sizes}
        known = {size: t for size, t in found.items() if t is not None}
        exponent = slope([*known], [*known.values()]) if len(known) > 1 else None
        rows[name] = {"ms": {s: 1e3 * t for s, t in known.items()}, "exponent": exponent}
    return {"variable": variable, "rows": rows}


def memory(names, *, hidden=HIDDEN, batch=BATCH):
    """Peak MiB of a process that makes three training steps, one process for each contestant."""
    program = [sys.executable, str(Path(__file__)), str(hidden), str(batch)]
    peaks = {}
    for name in ("import alone", *names):
        found = subprocess.run([*program, name], capture_output=True, text=True)
        if found.returncode == 0:
            peaks[name] = float(found.stdout.split()[-1])
    return peaks


def _peak(hidden, batch, name):
    torch.set_num_threads(1)
    if name != "import alone":
        x = torch.randint(1, 256, (batch, 784)).to(torch.uint8)
        x[torch.rand(x.shape) > 0.19] = 0  # as many lit pixels as MNIST has
        y = torch.randint(0, 10, (batch,))
        contestant = MAKERS[name](hidden)
        if contestant.one_by_one:
            contestant.load(Timed(hidden))
        for _ in range(3):
            contestant.train(x, y)
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's peak
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    print(_peak(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
