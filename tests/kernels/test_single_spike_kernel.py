"""The event-driven kernel is the torch reference, faster: same spikes, same gradients."""

import os
import pickle
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset

import snn_temporal_plugins as stp

pytest.importorskip("numba")
INF = float("inf")


def problem(seed, dtype, *, whole=True, exact=False, bias=False):
    """Times with ties (few or many), silence and spikes outside the window; signed weights.

    Kernels take inputs by 64 and neurons by five vectors: the largest problems hold more.
    """
    g = torch.Generator().manual_seed(seed)
    batch, inputs, outputs = (int(torch.randint(1, n, (), generator=g)) for n in (38, 250, 130))
    latest = 3 * 230 ** torch.rand((), generator=g, dtype=dtype)
    times = latest * torch.rand(batch, inputs, generator=g, dtype=dtype)
    times[torch.rand(batch, inputs, generator=g) < 0.3] = INF
    times = times.floor() if whole else times
    weight, carried = (torch.randn(outputs, inputs, generator=g, dtype=dtype) for _ in range(2))
    errors = torch.randn(2, batch, outputs, generator=g, dtype=dtype)
    errors[:, torch.rand(batch, outputs, generator=g) < 0.6] = 0.0
    if exact:
        weight, carried, errors = (weight * 3).round(), (carried * 3).round(), (errors * 3).round()
    offset = 0.07 * torch.randn(outputs, generator=g, dtype=dtype) if bias else None
    return times, weight, carried, offset, errors


def run(neuron, backend, times, weight, carried, bias, errors, learns=(0, 1), **options):
    """Times, potentials and the gradients of times, weights and bias.

    Errors come to the spike times (0), to the potentials (1), or to both.
    """
    leaves = [times.clone().requires_grad_(), weight.clone().requires_grad_()]
    leaves += [] if bias is None else [bias.clone().requires_grad_()]
    out = neuron.spike_times(
        *leaves[:2],
        backward_weight=carried,
        bias=leaves[2] if bias is not None else None,
        backend=backend,
        **options,
    )
    given = [out[k] for k in learns], leaves, [errors[k] for k in learns]
    return [tensor.detach() for tensor in out] + list(torch.autograd.grad(*given))


@given(
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    delay=st.sampled_from([0, 1]),
    t_max=st.sampled_from([None, 2, 61, 300]),
    gate=st.sampled_from([{}, {"gate": "triangle", "width": 4.0}]),  # exact factors
    to_silent=st.booleans(),
    beta=st.sampled_from([0.0, 2.0]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_whole_weights_and_steps_give_the_same_bits(
    seed, dtype, delay, t_max, gate, to_silent, beta
):
    neuron = stp.SingleSpikeIF(4.0, delay=delay, **gate)  # potentials land on the threshold
    options = {"t_max": t_max, "beta": beta, "error_to_silent": to_silent}
    arguments = problem(seed, dtype, exact=True)
    results = [run(neuron, backend, *arguments, **options) for backend in ("torch", "numba")]
    for reference, kernel in zip(*results, strict=True):
        assert torch.equal(reference, kernel)


@given(
    seed=st.integers(0, 10**6),
    delay=st.sampled_from([0, 1]),
    whole=st.booleans(),
    bias=st.booleans(),
    gate=st.sampled_from([{}, {"gate": "triangle", "width": 2.3}]),
    to_silent=st.booleans(),
    learns=st.sampled_from([(0,), (1,), (0, 1)]),
    length=st.sampled_from([None, 0.7]),
)
@settings(max_examples=90, deadline=None, derandomize=True)
def test_real_weights_agree_to_rounding(seed, delay, whole, bias, gate, to_silent, learns, length):
    neuron = stp.SingleSpikeIF(1.7, delay=delay, **gate)
    options = {"t_max": 301 if bias else None, "beta": 0.3, "error_to_silent": to_silent}
    options |= {"learns": learns, "error_length": length}
    arguments = problem(seed, torch.float64, whole=whole or bias, bias=bias)
    results = [run(neuron, backend, *arguments, **options) for backend in ("torch", "numba")]
    for reference, kernel in zip(*results, strict=True):
        torch.testing.assert_close(reference, kernel, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_kernel_and_clocked_form_are_one_neuron(delay, bias):
    torch.manual_seed(3)
    steps, layer = 23, nn.Linear(19, 37, bias=bias).double()
    nn.init.normal_(layer.weight, 0.1, 0.6)
    times = torch.randint(0, steps + 9, (5, 19)).double()
    times[times >= steps] = INF
    neuron = stp.SingleSpikeIF(0.83, delay=delay)
    timed = stp.Timed(layer, neuron, t_max=steps, backend="numba")
    spikes, _ = neuron(torch.stack([layer(step) for step in stp.spike_train(times, steps)]))
    clocked, error = stp.first_spike_times(spikes), torch.randn(5, 37).double()
    assert torch.isinf(clocked).any() and torch.isfinite(clocked).any()
    assert torch.equal(timed(times), clocked)
    fired = torch.isfinite(clocked)  # a silent neuron's gradient needs the potential
    for a, b in zip(
        torch.autograd.grad(timed(times), [*layer.parameters()], error * fired),
        torch.autograd.grad(clocked, [*layer.parameters()], error * fired),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(0, 6), (3, 0), (0, 0)])
def test_nothing_in_nothing_out(shape):
    times = torch.zeros(shape)
    weight = torch.ones(4, shape[1])
    for backend in ("torch", "numba"):
        results = run(
            stp.SingleSpikeIF(0.7), backend, times, weight, weight, None, torch.ones(2, shape[0], 4)
        )
        assert torch.equal(results[0], torch.full((shape[0], 4), INF))
        assert not results[3].any() and results[2].shape == shape


def test_layout_of_the_arguments_does_not_matter():
    times, weight, carried, _, errors = problem(11, torch.float32)
    strided = [tensor.t().contiguous().t() for tensor in (times, weight, carried)]
    assert not any(tensor.is_contiguous() for tensor in strided)
    neuron = stp.SingleSpikeIF(1.7)
    for a, b in zip(
        run(neuron, "numba", times, weight, carried, None, errors),
        run(neuron, "numba", *strided, None, errors),
        strict=True,
    ):
        assert torch.equal(a, b)
        assert b.is_contiguous()


def test_negative_zero_is_the_first_step():
    times = torch.tensor([[0.5, -0.0, 0.25]])
    out = stp.SingleSpikeIF(0.9).spike_times(
        times, torch.tensor([[1.0, 2.0, 1.0]]), backend="numba"
    )
    assert out[0].item() == 0.0


@pytest.mark.parametrize("gate", ["spike", "triangle"])
def test_threads_do_not_change_a_bit(gate, set_threads):
    g = torch.Generator().manual_seed(5)
    times = torch.randint(0, 99, (61, 83), generator=g).float()
    weight, errors = torch.randn(47, 83, generator=g), torch.randn(2, 61, 47, generator=g)
    neuron, results = stp.SingleSpikeIF(1.7, gate=gate), []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(run(neuron, "numba", times, weight, weight, None, errors))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


class Encoded(Dataset):
    """Every item is the output of a layer: the kernel runs inside the workers."""

    def __init__(self, layer, times):
        self.layer, self.times = layer, times

    def __len__(self):
        return len(self.times)

    def __getitem__(self, index):
        torch.set_num_threads(2)  # workers start with one
        with torch.no_grad():
            return self.layer(self.times[index : index + 1].expand(4, -1))[0]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_forked_workers_and_parent_share_nothing(set_threads):
    torch.manual_seed(0)
    layer = stp.Timed(nn.Linear(31, 17, bias=False), stp.SingleSpikeIF(0.4), backend="numba")
    times = torch.randint(0, 40, (12, 31)).float()
    set_threads(2)
    want = layer(times).detach()  # the parent's pool exists before the fork
    loader = DataLoader(
        Encoded(layer, times), batch_size=3, num_workers=2, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat([*loader]), want)
    assert torch.equal(layer(times), want)


def test_two_python_threads_at_once(set_threads):
    torch.manual_seed(0)
    layer = stp.Timed(nn.Linear(91, 57, bias=False), stp.SingleSpikeIF(0.4), backend="numba")
    times = torch.randint(0, 40, (64, 91)).float()
    want, right = layer(times), []

    def work():
        set_threads(2)
        right.extend(torch.equal(layer(times), want) for _ in range(40))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(right) == 80 and all(right)


def test_repr_shows_the_choice_and_auto_takes_the_kernel():
    linear, neuron = nn.Linear(3, 2, bias=False), stp.SingleSpikeIF()
    assert "backend='auto (numba)'" in repr(stp.Timed(linear, neuron))
    assert "backend='torch'" in repr(stp.Timed(linear, neuron, backend="torch"))
    assert "backend='numba'" in repr(stp.Timed(linear, neuron, backend="numba"))


def test_without_numba_auto_is_the_reference_and_a_named_backend_says_what_to_install(monkeypatch):
    layer = stp.Timed(nn.Linear(3, 2, bias=False), stp.SingleSpikeIF(0.1))
    times = torch.tensor([[1.0, 2.0, INF]])
    saved, want = pickle.dumps(layer), layer(times)
    for name in [name for name in sys.modules if name.startswith("snn_temporal_plugins.kernels")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install 'snn-temporal-plugins\[fast\]'"):
        stp.Timed(nn.Linear(3, 2, bias=False), stp.SingleSpikeIF(), backend="numba")
    assert "auto (torch)" in repr(stp.Timed(nn.Linear(3, 2, bias=False), stp.SingleSpikeIF()))
    loaded = pickle.loads(saved)
    assert "auto (torch)" in repr(loaded)
    assert torch.equal(loaded(times), want)


CASES = [
    {"width": None, "bias": False},
    {"width": None, "bias": True},
    {"width": 2.3, "bias": False},
    {"width": 2.3, "bias": True},
]


@pytest.mark.parametrize("case", CASES)
def test_operator_passes_the_checks_of_torch(case):
    from snn_temporal_plugins.kernels.single_spike import op

    times, weight, carried, bias, errors = problem(2, torch.float32, bias=case["bias"])
    leaves = [tensor.requires_grad_() for tensor in (times, weight)]
    bias = None if bias is None else bias.requires_grad_()
    arguments = (*leaves, carried, bias, 1.7, 1, 301.0, case["width"], 0.3, True)
    tests = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(op.single_spike_if, arguments, test_utils=tests)
    until = times.detach().amin(1, keepdim=True).expand(-1, len(weight)) + 3
    backward = (times.detach(), carried, errors[0], until, 301.0, 0.3, False, True, True)
    torch.library.opcheck(
        op.single_spike_if_backward, backward, test_utils=("test_schema", "test_faketensor")
    )


def network(**options):
    """Two layers whose hidden and output neurons partly stay silent."""
    torch.manual_seed(0)
    layers = []
    for inputs, outputs in ((20, 13), (13, 5)):
        linear = nn.Linear(inputs, outputs, bias=False)
        layers.append(stp.Timed(linear, stp.SingleSpikeIF(0.3), t_max=30, **options))
    times = torch.randint(0, 30, (6, 20)).float()
    times[:, ::3] = INF
    return nn.Sequential(*layers), times


# Inside torch: dynamo makes an instance of a Function, inductor imports torch.jit.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*is deprecated. Please switch to:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Trying to register:UserWarning")
@pytest.mark.parametrize(
    "compiler", ["eager", "aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
)
def test_compiled_as_one_graph(compiler):
    results = []
    for compiled in (False, True):
        model, times = network(error_norm="mean", beta=0.2)
        run = torch.compile(model, fullgraph=True, backend=compiler) if compiled else model
        out = run(times)
        (out.clamp(max=30) * torch.arange(5)).sum().backward()
        results.append([out.detach(), *(parameter.grad for parameter in model.parameters())])
    torch._dynamo.reset()
    assert torch.isinf(results[0][0]).any() and torch.isfinite(results[0][0]).any()
    for eager, fast in zip(*results, strict=True):
        torch.testing.assert_close(eager, fast)


def test_exported_with_any_batch_size():
    model, times = network()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(model.eval(), (times,), dynamic_shapes=({0: batch},))
    for size in (6, 3):
        assert torch.equal(program.module()(times[:size]), model(times[:size]))


def test_autocast_leaves_the_kernel_in_single_precision():
    model, times = network(error_norm="sum")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(times)
    assert out.dtype == torch.float32 and torch.equal(out, model(times))


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        "layer = stp.Timed(torch.nn.Linear(9, 4, bias=False), stp.SingleSpikeIF(0.1))\n"
        "for _ in range(2): layer(torch.rand(3, 9)).nan_to_num(posinf=0.0).sum().backward()\n",
        "layer = stp.pack(stp.Timed(stp.BinaryLinear(9, 4), stp.SingleSpikeIF(0.1), t_max=7))\n"
        "for _ in range(2): layer(torch.rand(3, 9).round())\n",
    ],
    ids=["single spike", "packed"],
)
def test_compilation_is_announced_once_and_a_second_process_compiles_nothing(tmp_path, program):
    program = f"import torch, snn_temporal_plugins as stp\n{program}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    reports, caches = [], []
    for _ in range(2):
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        reports.append(run.stderr)
        caches.append({file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nb*")})
    assert reports[0].count("compiling kernels, once") == 1
    assert "compiling" not in reports[1]
    assert caches[0] and caches[0] == caches[1]  # nothing was compiled, hence nothing written


def test_kernels_are_compiled_anew_when_any_kernel_has_changed():
    """numba asks the file of the function alone, which holds code of other files, too."""
    from snn_temporal_plugins.kernels.common import cpu as common
    from snn_temporal_plugins.kernels.single_spike import cpu

    assert cpu.forward._cache._cache_file._source_stamp == common._STAMP == common._stamp()
