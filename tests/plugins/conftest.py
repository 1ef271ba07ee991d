import subprocess
import sys
from pathlib import Path

import pytest

from snn_temporal_plugins.plugins import registry

PACKAGE = Path(__file__).parents[1] / "thirdparty"


@pytest.fixture(scope="session")
def thirdparty_folder(tmp_path_factory):
    """The plug-in package of tests/thirdparty, pip-installed into a folder of its own."""
    source = tmp_path_factory.mktemp("source")  # pip writes build files beside the sources
    for file in PACKAGE.rglob("*"):
        if file.suffix in (".py", ".toml"):
            copy = source / file.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(file.read_text())
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture
def thirdparty(thirdparty_folder, monkeypatch):
    """The installed plug-in package, on the path for one test."""
    monkeypatch.syspath_prepend(str(thirdparty_folder))
    registry.refresh()
    yield thirdparty_folder
    monkeypatch.undo()
    registry.refresh()
