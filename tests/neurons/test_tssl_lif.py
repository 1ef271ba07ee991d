"""TSSLLIF as a module: its two forms, its kernel, its states and what it refuses.

The rule itself is compared with a literal loop in ``tests/papers/test_tssl_bp.py``.
"""

import copy
import importlib.util
import pickle

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.neurons.base import ClockedNeuron
from snn_temporal_plugins.neurons.tssl_lif import TSSLSpikeState, TSSLState

HAS_NUMBA = importlib.util.find_spec("numba") is not None
BACKENDS = ["torch"] + ["numba"] * HAS_NUMBA
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="needs numba")


def gradients(unit, x, *, seed=5, state=None):
    """Output, last state, and the gradients of currents (and state) under random errors."""
    leaf = x.clone().requires_grad_()
    parts = [] if state is None else [part.clone().requires_grad_() for part in state]
    out, last = unit(leaf, parts or None)
    g = torch.Generator().manual_seed(seed)
    results = [part for part in (out, *last) if part.requires_grad]
    errors = [torch.randn(part.shape, generator=g, dtype=x.dtype) for part in results]
    leaves = [leaf, *parts]
    return [
        out.detach(),
        *(part.detach() for part in last),
        *torch.autograd.grad(results, leaves, errors, allow_unused=True),
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 5, 4)])
@pytest.mark.parametrize("output", ["psc", "spikes"])
def test_any_trailing_shape_is_a_row_of_neurons(backend, shape, output):
    x = 1.4 * torch.randn(7, *shape).double()
    unit = stp.TSSLLIF(3.5, 2.5, 0.7, output=output, backend=backend)
    whole, flat = gradients(unit, x, seed=5), gradients(unit, x.flatten(1), seed=5)
    assert len(whole) == len(flat) == len(unit.State._fields) + 2
    for a, b in zip(whole, flat, strict=True):
        assert torch.equal(a.reshape(b.shape), b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_window_may_be_cut_anywhere(backend, output, cut):
    unit = stp.TSSLLIF(4.5, 2.5, 0.8, output=output, backend=backend)
    x = 1.3 * torch.randn(9, 2, 6).double()
    runs = []
    for parts in ([9], [cut, 9 - cut]):
        leaf, state, outs = x.clone().requires_grad_(), None, []
        for piece in leaf.split(parts):
            out, state = unit(piece, state)
            outs.append(out)
        out = torch.cat(outs)
        (grad,) = torch.autograd.grad((out * torch.linspace(-2, 3, 9).view(-1, 1, 1)).sum(), leaf)
        runs.append((out, *state, grad))
    for one, two in zip(*runs, strict=True):
        torch.testing.assert_close(two, one, atol=1e-12, rtol=0)


def test_states_are_named_tuples_that_say_which_form_it_is():
    x = torch.randn(3, 2, 4)
    assert type(stp.TSSLLIF()(x)[1]) is TSSLState
    assert type(stp.TSSLLIF(output="spikes")(x)[1]) is TSSLSpikeState
    assert TSSLState._fields == ("v", "a") and TSSLSpikeState._fields == ("i", "v", "a")
    assert issubclass(stp.TSSLLIF, ClockedNeuron)


def test_psc_and_spike_form_are_one_network():
    """The filter commutes with weights and sum pooling; float64, so that spikes are equal."""
    first, second = nn.Linear(64, 48, bias=False).double(), nn.Linear(12, 5, bias=False).double()
    with torch.no_grad():
        first.weight.mul_(3.0)
        second.weight.mul_(4.0)
    pool, psc, grads = stp.SumPool2d(2), stp.PSC(2.5), []
    spikes = (torch.rand(8, 3, 64) < 0.4).double()
    for output in ("psc", "spikes"):
        unit = stp.TSSLLIF(4.5, 2.5, 0.8, output=output)
        x = spikes if output == "spikes" else psc(spikes)
        hidden, _ = unit(first(x))
        out, _ = unit(second(pool(hidden.view(8, 3, 3, 4, 4)).flatten(2)))
        out = psc(out) if output == "spikes" else out
        loss = stp.SpikeTrainDistance(2.5, pattern=(0, 1, 1))(out, torch.tensor([0, 4, 2]))
        grads.append((out, *torch.autograd.grad(loss, [first.weight, second.weight])))
    assert grads[0][0].count_nonzero() > 20
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["psc", "spikes"])
def test_dead_inputs_and_extreme_currents_leave_no_nan(backend, output):
    x = torch.zeros(6, 1, 5)
    x[..., 1], x[..., 2], x[..., 3] = 1e30, -1e30, 1.0 + 1e-7
    v = torch.tensor([[0.0, 3.0, -3.0, 1.0, 9.0]])  # above the threshold: du may be negative
    state = [torch.zeros(1, 5)] * (output == "spikes") + [v, torch.zeros(1, 5)]
    for part in gradients(stp.TSSLLIF(output=output, backend=backend), x, state=state):
        assert part is None or part.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_far_silent_neuron_still_gets_a_little_gradient(backend):
    x = torch.full((5, 1, 1), -40.0, requires_grad=True)
    out, _ = stp.TSSLLIF(backend=backend)(x)
    out.sum().backward()
    assert (x.grad > 1e-4).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("rate", "twin"), [(0.9, "always"), (0.0, "never")])
def test_layer_fallback_is_one_decision_for_the_whole_layer(backend, rate, twin):
    x = 1.2 * torch.randn(6, 4, 9).double()
    layer = stp.TSSLLIF(fallback="layer", layer_rate=rate, backend=backend)
    for a, b in zip(
        gradients(layer, x), gradients(stp.TSSLLIF(fallback=twin, backend=backend), x), strict=True
    ):
        assert torch.equal(a, b)


def test_layer_fallback_needs_the_whole_window():
    unit = stp.TSSLLIF(fallback="layer")
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r'fallback="layer" needs the whole window'):
        unit.step(x, unit.initial_state(x))


@needs_numba
@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("size", [1, 511, 512, 1300])
def test_kernel_is_the_reference(output, size):
    """Around the size of a piece; spikes and PSCs to the last bit."""
    x = 1.1 * torch.randn(5, size)
    x[1, ::5] = 1.0
    slow, fast = (
        gradients(stp.TSSLLIF(output=output, backend=name), x) for name in ("torch", "numba")
    )
    states = len(fast) - 1
    for a, b in zip(slow[:states], fast[:states], strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(fast[-1], slow[-1], atol=2e-6, rtol=2e-6)


@needs_numba
def test_any_number_of_threads_gives_the_same_bits(set_threads):
    x, runs = 1.1 * torch.randn(6, 3001), []
    for threads in (1, 2, 3):
        set_threads(threads)
        runs.append(gradients(stp.TSSLLIF(output="spikes", backend="numba"), x))
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


@needs_numba
def test_non_contiguous_currents_and_errors():
    x = torch.randn(4, 5, 6, 7).to(memory_format=torch.channels_last)[:, ::2]
    fast, slow = (stp.TSSLLIF(backend=name) for name in ("numba", "torch"))
    for a, b in zip(gradients(fast, x), gradients(slow, x.contiguous()), strict=True):
        torch.testing.assert_close(a, b)
    leaf = x.clone().requires_grad_()
    out, _ = fast(leaf)
    out.sum().backward()  # an expanded gradient
    other = x.clone().requires_grad_()
    slow(other)[0].sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_gradient_nothing_is_kept(backend):
    unit, x = stp.TSSLLIF(backend=backend), 1.5 * torch.randn(5, 2, 30)
    with torch.no_grad():
        out, state = unit(x)
    trained, last = unit(x.clone().requires_grad_())
    assert not out.requires_grad and trained.requires_grad
    assert torch.equal(out, trained) and all(map(torch.equal, state, last))


@needs_numba
@pytest.mark.parametrize(
    "compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiled_as_one_graph(compiler, output):
    unit, x = stp.TSSLLIF(output=output, backend="numba"), 1.5 * torch.randn(5, 3, 8)
    compiled = torch.compile(lambda c: unit(c)[0], fullgraph=True, backend=compiler)
    results = []
    for run in (compiled, lambda c: unit(c)[0]):
        leaf = x.clone().requires_grad_()
        out = run(leaf)
        results.append((out, *torch.autograd.grad(out.square().sum(), leaf)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_leaves_the_neuron_in_single_precision(backend):
    layer, unit = nn.Linear(6, 4, bias=False), stp.TSSLLIF(backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, state = unit(layer(torch.randn(5, 2, 6)))
    assert out.dtype == state.v.dtype == torch.float32
    out.sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_pickle_copy_and_state_dict():
    unit = stp.TSSLLIF(4.5, 2.5, 0.7, output="spikes", intra=False)
    x = 1.5 * torch.randn(5, 2, 6)
    for twin in (pickle.loads(pickle.dumps(unit)), copy.deepcopy(unit)):
        assert torch.equal(twin(x)[0], unit(x)[0]) and repr(twin) == repr(unit)
    assert not unit.state_dict()


def test_repr_says_what_differs():
    text = repr(stp.TSSLLIF(output="spikes", intra=False, backend="torch"))
    assert "output='spikes'" in text and "intra=False" in text and "backend='torch'" in text
    assert "inter" not in text
    chosen = "numba" if HAS_NUMBA else "torch"
    assert f"auto ({chosen})" in repr(stp.TSSLLIF())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau_mem": 1.0}, "tau_mem must be more than 1 and finite, got 1.0"),
        ({"tau_syn": 0.5}, "tau_syn must be at least 1 and finite, got 0.5"),
        ({"threshold": 0.0}, "threshold must be positive"),
        ({"output": "current"}, "output must be one of 'psc', 'spikes'"),
        ({"fallback": "sometimes"}, "fallback must be one of 'neuron'"),
        ({"silence": -1.0}, "silence must be positive"),
        ({"layer_rate": -0.5}, "layer_rate must be at least 0"),
        ({"width": 0.0}, "width must be positive"),
        ({"max_slope": float("inf")}, "max_slope must be positive and finite"),
        ({"backend": "cuda"}, "backend must be one of"),
    ],
)
def test_constants_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=f"TSSLLIF: {message}"):
        stp.TSSLLIF(**arguments)


def test_currents_and_states_that_do_not_fit():
    unit, x = stp.TSSLLIF(), torch.zeros(4, 2, 3)
    with pytest.raises(TypeError, match="current must be a tensor, got list"):
        unit([1.0])
    with pytest.raises(TypeError, match=r"current must be of a float type, got torch.int64"):
        unit(torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"current must have shape \[T, B, ...\] with T >= 1"):
        unit(torch.zeros(0, 2, 3))
    with pytest.raises(ValueError, match=r"state must be \(v, a\), got 1 values"):
        unit(x, (x[0],))
    with pytest.raises(ValueError, match=r"state must be \(v, a\), got Tensor"):
        unit(x, x)
    with pytest.raises(ValueError, match=r"a of the state must be torch.float32 of shape \[2, 3\]"):
        unit(x, (x[0], x[0, 0]))
    with pytest.raises(ValueError, match="v of the state is on meta but the current is on cpu"):
        unit(x, (x[0].to("meta"), x[0]))


def test_a_named_backend_that_is_missing_is_an_error(monkeypatch):
    def missing(self, backend):
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(stp.TSSLLIF, "load_backend", missing)
    monkeypatch.setattr(stp.PSC, "load_backend", missing)
    assert "auto (torch)" in repr(stp.TSSLLIF()) and "auto (torch)" in repr(stp.PSC(3.0))
    for build in (stp.TSSLLIF, lambda **options: stp.PSC(3.0, **options)):
        with pytest.raises(ImportError, match=r"pip install 'snn-temporal-plugins\[fast\]'"):
            build(backend="numba")
