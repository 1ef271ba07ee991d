"""Shared fixtures: determinism, an empty() that cannot be mistaken for zeros, real digits, and an
environment with another plug-in package. The only conftest, so that any folders can run together.
"""

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.plugins import registry

TESTS = Path(__file__).parent
SAME_KERNELS = ("exact", "tssl", "deep_spiking|herding|herded", "binary|packed|bs4nn", "norse")

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    torch.set_num_threads(max(1, torch.get_num_threads() // int(workers)))


def pytest_collection_modifyitems(config, items):
    """Give files that need the same kernels to one worker, so that it compiles them once."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        named = (words for words in SAME_KERNELS if re.search(words, item.path.stem))
        item.add_marker(pytest.mark.xdist_group(next(named, str(item.path))))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nan_in_empty_tensors():
    """Fill uninitialised memory with NaN, so that an unwritten output cannot pass."""
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(before)
    torch.utils.deterministic.fill_uninitialized_memory = fill


@pytest.fixture(params=["OpenMP", "Python"])
def set_threads(request, monkeypatch):
    """``torch.set_num_threads`` for one test, where kernels share any work, by either pool."""
    pytest.importorskip("numba")
    from snn_temporal_plugins.kernels.common import threads

    monkeypatch.setattr(threads, "SMALL", 0)
    if request.param == "Python":
        monkeypatch.setattr(threads, "OPENMP", 0)
    elif not threads.OPENMP:
        pytest.skip("torch has no GNU OpenMP here")
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def real_digits():
    """200 genuine MNIST digits: uint8 images [N, 28, 28] and labels [N]."""
    try:
        digits = stp.datasets.load("mnist", "train", download=False).subset(slice(200))
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    return digits.pixels.squeeze(1).numpy(), digits.labels.numpy()


class Environment:
    """A virtual environment that sees the packages of this one, and installs without network."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python*/site-packages")
        here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lines = [f"import site; site.addsitedir({path!r})" for path in sorted(here)]
        (self.site / "packages_of_the_tests.pth").write_text("\n".join(lines))

    def run(self, *arguments):
        """Run Python there, on this checkout of the package; what it printed."""
        command = [self.python, *arguments]
        where = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
        ran = subprocess.run(command, capture_output=True, text=True, env=where)
        assert not ran.returncode, ran.stderr
        return ran.stdout


@pytest.fixture(scope="session")
def thirdparty_environment(tmp_path_factory):
    """The plug-in package of tests/thirdparty, pip-installed into an environment of its own."""
    source = tmp_path_factory.mktemp("source")  # pip writes build files beside the sources
    for file in (TESTS / "thirdparty").rglob("*"):
        if file.suffix in (".py", ".toml"):
            copy = source / file.relative_to(TESTS / "thirdparty")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(file.read_text())
    environment = Environment(tmp_path_factory.mktemp("environment"))
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    environment.run("-m", "pip", "install", *offline, str(source))
    return environment


@pytest.fixture
def thirdparty(thirdparty_environment, monkeypatch):
    """The installed plug-in package, on the path for one test."""
    monkeypatch.syspath_prepend(str(thirdparty_environment.site))
    registry.refresh()
    yield thirdparty_environment.site
    monkeypatch.undo()
    registry.refresh()
