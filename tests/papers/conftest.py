import pytest

import snn_temporal_plugins as stp


@pytest.fixture(scope="session")
def real_digits():
    """200 genuine MNIST digits: uint8 images [N, 28, 28] and labels [N]."""
    try:
        digits = stp.datasets.load("mnist", "train", download=False).subset(slice(200))
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    return digits.pixels.squeeze(1).numpy(), digits.labels.numpy()
