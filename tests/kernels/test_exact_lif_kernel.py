"""The kernel of ExactLIF is the torch reference, faster: same spikes, same gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import snn_temporal_plugins as stp

pytest.importorskip("numba")
INF = float("inf")


def problem(seed, dtype):
    """Ties, silence, several spikes per input; weights of both signs."""
    g = torch.Generator().manual_seed(seed)
    batch, inputs, outputs, copies = torch.randint(1, 9, (4,), generator=g).tolist()
    copies = copies % 3 + 1
    times = 5 * torch.rand(batch, inputs, copies, generator=g, dtype=torch.float64)
    times[torch.rand(times.shape, generator=g) < 0.3] = INF
    if seed % 2:
        times = (5 * times).round() / 5  # ties
    times = times if copies > 1 else times[..., 0]
    spread = 3 / max(1.0, inputs**0.5)
    weight, carrier = (
        spread * torch.randn(outputs, inputs, generator=g, dtype=torch.float64) for _ in range(2)
    )
    errors = torch.randn(batch, outputs, 6, generator=g, dtype=torch.float64)
    errors[torch.rand(errors.shape, generator=g) < 0.4] = 0.0
    on_level = torch.randn(batch, outputs, generator=g, dtype=torch.float64)
    return [x.to(dtype) for x in (times, weight + 0.2, carrier, errors, on_level)]


def run(neuron, backend, times, weight, carrier, errors, on_level, **options):
    """Times, potentials and all gradients."""
    leaves = [times.clone().requires_grad_(), weight.clone().requires_grad_()]
    out, level = neuron.spike_times(*leaves, backward_weight=carrier, backend=backend, **options)
    leaves += list(neuron.parameters())
    grads = torch.autograd.grad([out, level], leaves, [errors, on_level])
    return [out.detach(), level.detach(), *grads], neuron.truncated


@given(
    seed=st.integers(0, 10**6),
    tau_mem=st.sampled_from([0.5, 1.5, 1.5015, 3.0, 6.0, INF]),
    t_max=st.sampled_from([None, 3.7]),
    silent=st.sampled_from(["phantom", "constant", "none"]),
    truncation=st.sampled_from(["ignore", "warn"]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore::snn_temporal_plugins.TruncatedSpikesWarning")
def test_kernel_and_reference_agree(seed, tau_mem, t_max, silent, truncation):
    learn = ("threshold", "tau_syn") + (() if tau_mem == INF else ("tau_mem",))
    neuron = stp.ExactLIF(
        tau_mem,
        1.5,
        0.6,
        max_spikes=6,
        silent=silent,
        push=0.0 if silent == "none" else 0.3,
        truncation=truncation,
        learn=learn,
        slope_min=0.3,
    ).double()
    for name in learn:  # a parameter starts in float32
        getattr(neuron, name).data.fill_({"threshold": 0.6, "tau_syn": 1.5}.get(name, tau_mem))
    arguments = problem(seed, torch.float64)
    results = [run(neuron, backend, *arguments, t_max=t_max) for backend in ("torch", "numba")]
    assert results[0][1] == results[1][1]
    for reference, kernel in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(kernel, reference, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("tau_mem", [3.0, 6.0])
def test_single_precision_keeps_the_counts_of_all_but_touching_neurons(tau_mem):
    neuron = stp.ExactLIF(tau_mem, 1.5, 0.6, max_spikes=6, truncation="ignore")
    different = total = 0
    for seed in range(20):
        arguments = problem(2 * seed, torch.float64)
        double, _ = run(neuron, "numba", *arguments)
        single, _ = run(neuron, "numba", *[x.float() for x in arguments])
        a, b = double[0], single[0].double()
        same = torch.isfinite(a).sum(2) == torch.isfinite(b).sum(2)
        different, total = different + int((~same).sum()), total + same.numel()
        error = (a - b)[same].nan_to_num(0).abs()
        assert error.median() < 1e-6
    assert different <= 2e-3 * total


def test_number_of_threads_does_not_change_a_bit(set_threads):
    g = torch.Generator().manual_seed(5)
    times = 3 * torch.rand(9, 30, generator=g)
    weight = 0.5 * torch.randn(600, 30, generator=g) + 0.2  # three chunks
    neuron = stp.ExactLIF(3.0, 1.5, 0.6, max_spikes=6, truncation="ignore")
    results = []
    for threads in (1, 3):
        set_threads(threads)
        rest = weight, torch.ones(9, 600, 6), torch.ones(9, 600)
        results.append(run(neuron, "numba", times, weight, *rest)[0])
    for one, several in zip(*results, strict=True):
        assert torch.equal(one, several)


def test_operators_pass_the_checks_of_torch():
    from snn_temporal_plugins.kernels.exact_lif.op import exact_lif

    times, weight, carrier, *_ = problem(3, torch.float64)
    constants = [torch.tensor(x, dtype=torch.float64) for x in (0.6, 3.0, 1.5)]
    torch.library.opcheck(
        exact_lif,
        (times, weight, carrier, *constants, True, 6, INF, True, 0.05, "phantom", 0.0),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_potentials_are_left_out_on_request():
    times, weight, *_ = problem(4, torch.float64)
    neuron = stp.ExactLIF(3.0, 1.5, 0.6, truncation="ignore", silent="none")
    with_peaks = neuron.spike_times(times, weight, backend="numba")
    without = neuron.spike_times(times, weight, backend="numba", peaks=False)
    assert torch.equal(with_peaks[0], without[0]) and not without[1].any()
