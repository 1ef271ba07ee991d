"""Packed synapses: equal to the binary ones spike for spike, one bit each, saved and loaded."""

import copy
import io
import pickle
import sys

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

pytestmark = pytest.mark.filterwarnings("ignore::snn_temporal_plugins.SilentLayerWarning")
INF = float("inf")


def layer(inputs=70, outputs=9, threshold=5.5, *, dtype=torch.float32, t_max=40, **options):
    synapse = stp.BinaryLinear(
        inputs, outputs, options.pop("bias", False), scale=options.pop("scale", 0.6875), dtype=dtype
    )
    with torch.no_grad():
        synapse.weight.add_(0.03)  # more positive signs, so that many fire
    neuron = stp.SingleSpikeIF(
        threshold, delay=options.pop("delay", 1), late_drive=options.pop("late_drive", None)
    )
    return stp.Timed(synapse, neuron, t_max=t_max, return_potential=True, **options).eval()


def times(inputs=70, batch=40, dtype=torch.float32, last=44):
    drawn = torch.randint(0, last, (batch, inputs)).to(dtype)
    return drawn.masked_fill_(torch.rand(batch, inputs) < 0.3, INF)


def assert_equal_spikes(binary, packed, inputs):
    found = packed(inputs)
    with torch.no_grad():
        for got, want in zip(found, binary(inputs), strict=True):
            assert torch.equal(got, want)
    return found


cases = pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, torch.float32),
        ({"delay": 0, "t_max": None}, torch.float64),
        ({"threshold": 0.6875 * 8}, torch.float32),  # potentials that land on the threshold
        ({"outputs": 130}, torch.float32),
        ({"late_drive": (31, 0.6875)}, torch.float32),
        ({"late_drive": (5, 1.375), "outputs": 70}, torch.float32),
    ],
)


@cases
def test_kernel_gives_the_spikes_and_potentials_of_the_binary_layer(options, dtype):
    pytest.importorskip("numba")
    binary = layer(dtype=dtype, **options)
    packed = stp.pack(binary)
    assert packed.synapse.serves(packed.neuron, times(dtype=dtype), "numba")
    out, _ = assert_equal_spikes(binary, packed, times(dtype=dtype))
    assert torch.isfinite(out).any()
    early, _ = assert_equal_spikes(binary, packed, times(dtype=dtype, last=8))  # many at once
    assert torch.isfinite(early).any()
    assert_equal_spikes(binary, packed, torch.full((3, 70), INF, dtype=dtype))


def test_kernel_takes_times_between_steps_and_many_inputs():
    pytest.importorskip("numba")
    binary = layer(inputs=1100, threshold=21.3, t_max=50)
    drawn = times(1100, 10) + torch.rand(10, 1100)
    out, _ = assert_equal_spikes(binary, stp.pack(binary), drawn)
    assert torch.isfinite(out).any()


def test_potentials_are_left_out_where_nobody_asks():
    pytest.importorskip("numba")
    binary = layer()
    binary.return_potential = False
    packed = stp.pack(binary)
    assert packed.solve(times(), potential=False)[1].numel() == 0
    assert packed.solve(times())[1].shape == (40, 9)
    inputs = times()
    assert torch.equal(packed(inputs), binary(inputs).detach())


@pytest.mark.parametrize(
    "options",
    [{"backend": "torch"}, {"bias": True}, {"scale": None}],
    ids=["torch", "bias", "mean"],
)
def test_portable_form_gives_the_same_spikes(options):
    binary = layer(**options)
    assert_equal_spikes(binary, stp.pack(binary), times())


def test_scale_per_channel_and_several_spikes_per_input_are_unpacked():
    binary = layer()
    binary.synapse = stp.BinaryLinear(70, 9, scale_per="channel")
    with torch.no_grad():
        binary.synapse.weight.add_(0.03)
    binary.neuron.threshold = 0.35
    assert_equal_spikes(binary, stp.pack(binary), times())
    binary = layer()
    many = torch.stack([times(), times() + 3], 2).sort(2).values
    assert_equal_spikes(binary, stp.pack(binary), many)


def test_convolution_is_packed_too():
    synapse = stp.BinaryConv2d(4, 6, (3, 2), padding=(1, 0), groups=2, bias=True, scale=1.5)
    packed = stp.pack(synapse)
    x = torch.rand(2, 4, 5, 7)
    assert torch.equal(packed(x), synapse(x))
    timed = stp.Timed(synapse, stp.SingleSpikeIF(3.1), t_max=9, return_potential=True)
    assert_equal_spikes(timed, stp.pack(timed), torch.randint(0, 12, (3, 4, 5, 7)).float())
    assert "shape=(6, 2, 3, 2), bias=True, bytes=" in repr(packed)


def test_a_whole_model_is_copied_and_the_original_left_alone():
    model = nn.Sequential(stp.BinaryLinear(20, 33, bias=True), nn.ReLU(), nn.Linear(33, 3))
    packed = stp.pack(model)
    assert isinstance(model[0], stp.BinaryLinear) and isinstance(packed[0], stp.PackedLinear)
    assert not packed.training and not any(p.requires_grad for p in packed.parameters())
    x = torch.rand(5, 20)
    assert torch.equal(packed(x), model(x))
    assert packed[2].weight.data_ptr() != model[2].weight.data_ptr()


def test_a_shared_synapse_stays_shared():
    synapse = stp.BinaryLinear(6, 6)
    packed = stp.pack(nn.Sequential(synapse, nn.ReLU(), synapse))
    assert packed[0] is packed[2]


def test_clocked_model_runs_with_bits():
    synapse, neuron = stp.BinaryLinear(70, 9, scale=0.7), stp.SingleSpikeIF(2.5)
    train = stp.spike_train(times(), 40)
    assert torch.equal(neuron(stp.pack(synapse)(train))[0], neuron(synapse(train))[0])


def test_one_bit_per_synapse_with_rows_of_whole_bytes():
    synapse = stp.BinaryLinear(10, 3, scale=2.5)
    synapse.weight.data.fill_(-1.0)
    synapse.weight.data[1, 0] = 0.0
    synapse.weight.data[1, 9] = 4.0
    packed = stp.pack(synapse)
    assert packed.bits.tolist() == [[0, 0], [1, 2], [0, 0]]
    assert torch.equal(packed.weight, synapse.event_weights()[0])
    assert "in_features=10, out_features=3, bias=False, bytes=10" in repr(packed)


def test_paper_sized_network_takes_a_thirty_first_of_the_float_weights():
    model = nn.Sequential(stp.BinaryLinear(784, 600), stp.BinaryLinear(600, 10))
    real = sum(p.nbytes for p in model.parameters() if p.dim() == 2)
    assert sum(b.nbytes for b in stp.pack(model).buffers()) <= real / 31


def test_bits_are_saved_and_loaded():
    binary = layer()
    packed, other = stp.pack(binary), stp.pack(layer())
    inputs = times()
    before = other(inputs)[0]  # fills the cache of the kernel
    file = io.BytesIO()
    torch.save(packed.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert not torch.equal(before, packed(inputs)[0])
    assert_equal_spikes(binary, other, inputs)
    bare = stp.PackedLinear(70, 9)
    bare.load_state_dict(packed.synapse.state_dict())
    assert torch.equal(bare.weight, packed.synapse.weight)


def test_changed_constants_of_the_neuron_are_followed():
    binary = layer()
    packed, inputs = stp.pack(binary), times()
    packed(inputs)
    for name, value in (("threshold", 3.3), ("late_drive", (30, 0.6875))):
        setattr(binary.neuron, name, value)
        setattr(packed.neuron, name, value)
        assert_equal_spikes(binary, packed, inputs)


def test_copies_and_pickles_are_equal():
    packed, inputs = stp.pack(layer()), times()
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert torch.equal(twin(inputs)[0], packed(inputs)[0])


def test_early_decision_reads_packed_networks():
    model = nn.Sequential(layer(outputs=30), layer(inputs=30, threshold=2.5))
    model[0].return_potential = False
    inputs = times()
    got, want = (stp.first_spike_decision(m, inputs) for m in (stp.pack(model), model))
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_two_threads_give_the_same_bits(set_threads):
    packed, inputs = stp.pack(layer(outputs=70)), times()
    found = []
    for threads in (1, 2):
        set_threads(threads)
        found.append(packed(inputs))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_without_numba_the_portable_form_serves(monkeypatch):
    from snn_temporal_plugins.synapses import packed_events

    monkeypatch.setitem(sys.modules, "snn_temporal_plugins.kernels.packed", None)
    assert packed_events.prepare() is None
    binary = layer()
    assert_equal_spikes(binary, stp.pack(binary), times())


def test_wrong_times_are_named():
    pytest.importorskip("numba")
    packed = stp.pack(layer())
    with pytest.raises(ValueError, match=r"expected times of shape \[B, I=70\].*got \[4, 6\]"):
        packed(torch.zeros(4, 6))
    with pytest.raises(TypeError, match=r"times are torch\.float64 but the weights torch\.float32"):
        packed(times().double())


def test_models_without_binary_synapses_are_refused():
    with pytest.raises(TypeError, match="pack: Sequential holds no binary synapse"):
        stp.pack(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="late_drive needs t_max"):
        stp.pack(layer(late_drive=(3, 0.7), t_max=None))(times())
