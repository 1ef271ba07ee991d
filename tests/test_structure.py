"""How the package is built: who may import what, how large files are, what is documented."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import snn_temporal_plugins as stp

PACKAGE = Path(stp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
API = (PACKAGE.parent / "docs" / "api" / "index.rst").read_text().split()

HEAVY = {"snntorch", "norse", "numba", "matplotlib", "torchvision", "rich", "mlxtend", "nir"}
ALLOWED = {"frontends/snntorch.py": {"snntorch"}, "frontends/norse.py": {"norse"}}


def modules_imported_at_import_time(file):
    """Top-level names of absolute imports outside of functions."""
    waiting, found = list(ast.parse(file.read_text()).body), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += list(ast.iter_child_nodes(node))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_optional_packages_are_imported_only_where_they_belong(file):
    name = file.relative_to(PACKAGE).as_posix()
    allowed = ALLOWED.get(name, set())
    if name.startswith("kernels/") and file.name == "cpu.py":
        allowed = {"numba"}
    assert modules_imported_at_import_time(file) & HEAVY <= allowed


def test_importing_the_package_loads_nothing_optional():
    program = "import sys, snn_temporal_plugins; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(run.stdout.split())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_stay_small(file):
    assert len(file.read_text().splitlines()) <= 300


def public_names():
    """Names that users reach: those of the package, and of its public namespaces."""
    names = [name for name in vars(stp) if not name.startswith("_")]
    objects = {name: getattr(stp, name) for name in names}
    found = {n: o for n, o in objects.items() if inspect.isclass(o) or inspect.isfunction(o)}
    for space in ("metrics", "models", "datasets", "plot", "surrogates"):
        module = getattr(stp, space, None)
        for name, value in vars(module).items() if module else ():
            home = getattr(value, "__module__", "") or ""
            ours = home.startswith(f"{stp.__name__}.{space}") and not name.startswith("_")
            if ours and (inspect.isclass(value) or inspect.isfunction(value)):
                found[f"{space}.{name}"] = value
    return found


@pytest.mark.parametrize("name", sorted(public_names()))
def test_public_names_are_listed_and_described(name):
    assert name in API, f"{name} is missing in docs/api/index.rst"
    value = public_names()[name]
    doc = inspect.getdoc(value)
    assert doc and doc[0].isupper()
    if inspect.isfunction(value) and inspect.signature(value).parameters:
        assert "Parameters\n----------" in doc
        assert "Returns\n-------" in doc or value.__annotations__["return"] in (None, "None")
