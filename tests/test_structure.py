"""Rules of the tree: who imports what, what is documented, how long a file may be."""

import ast
import enum
import inspect
import re
import subprocess
import sys
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import snn_temporal_plugins as stp

PACKAGE = Path(stp.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(file.relative_to(PACKAGE).as_posix() for file in PACKAGE.rglob("*.py"))
LONGEST = 300

CODE = "kernels/*/tile.py kernels/common/lanes.py kernels/common/team.py"  # writes instructions

# package -> the only files that may import it, and whether they may do so while being imported
OPTIONAL = {
    "snntorch": ("frontends/snntorch.py", True),
    "norse": ("frontends/norse.py", True),
    "numba": (CODE + " kernels/*/cpu.py", True),
    "llvmlite": (CODE + " kernels/common/cpu.py", True),  # numba is built on it
    "matplotlib": ("plot*.py", False),
    "nir": ("nir*.py", False),
    "nirtorch": ("nir*.py", False),
    "torchvision": ("datasets/*.py", False),
    "mlxtend": ("datasets/*.py", False),
    "rich": ("*.py", False),
    "pytest": ("plugins/checks/run.py", False),
}
ALWAYS = {"torch", "numpy", *sys.stdlib_module_names}


@cache
def tree_of(file):
    return ast.parse((PACKAGE / file).read_text())


def imported_packages(nodes):
    """Top-level names of absolute imports among syntax nodes."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def run_at_import(tree):
    """Nodes outside function bodies, except under ``if TYPE_CHECKING``."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


@pytest.mark.parametrize("file", FILES)
def test_optional_packages_are_imported_only_where_they_belong(file):
    everywhere = set(imported_packages(ast.walk(tree_of(file))))
    at_import = set(imported_packages(run_at_import(tree_of(file))))
    for package in everywhere - ALWAYS:
        assert package in OPTIONAL, f"{file} imports {package}, which no rule knows"
        home, early = OPTIONAL[package]
        allowed = any(fnmatch(file, pattern) for pattern in home.split())
        assert allowed, f"{file} imports {package}, which belongs to {home}"
        assert early or package not in at_import, f"{file} must import {package} when it is used"


def test_import_takes_torch_and_numpy_alone():
    heavy = [*OPTIONAL, "sklearn", "scipy", "pandas", "torch._dynamo", "torch._inductor"]
    code = (
        "import sys, torch; before = set(sys.modules); import snn_temporal_plugins;"
        f"print([name for name in {heavy} if name in set(sys.modules) - before])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("file", FILES)
def test_files_stay_readable(file):
    assert len((PACKAGE / file).read_text().splitlines()) <= LONGEST


def public_names():
    """Exported objects, those of exported modules included, by their dotted name."""
    found = {}
    for name, value in vars(stp).items():
        if name.startswith("_") or not name_is_exported(PACKAGE / "__init__.py", name):
            continue
        if isinstance(value, ModuleType):
            for inner, thing in vars(value).items():
                home = getattr(thing, "__module__", "") or ""
                if not inner.startswith("_") and home.startswith(value.__name__):
                    found[f"{name}.{inner}"] = thing
        else:
            found[name] = value
    return found


@cache
def name_is_exported(init, name):
    return re.search(rf"\bas {name}$", init.read_text(), re.MULTILINE) is not None


def exported(name):
    """Whether a name inside a package is re-exported by it, or belongs to a module of one file."""
    module, _, inner = name.rpartition(".")
    if not module:
        return True
    init = PACKAGE / module / "__init__.py"
    return not init.exists() or name_is_exported(init, inner)


PUBLIC = {name: thing for name, thing in public_names().items() if exported(name)}
WITH_DOCSTRING = {
    name: thing
    for name, thing in PUBLIC.items()
    if inspect.isfunction(thing) or inspect.isclass(thing)
}


def parameters_of(thing):
    """Names of the parameters a reader must be told about."""
    if inspect.isclass(thing):
        plain = issubclass(thing, enum.Enum | BaseException | tuple) or inspect.isabstract(thing)
        made_by_a_function = ":func:" in thing.__doc__.splitlines()[0]
        if plain or made_by_a_function or "__init__" not in vars(thing):
            return []
        signature = inspect.signature(thing.__init__)
        return [name for name in signature.parameters if name != "self"]
    return list(inspect.signature(thing).parameters)


def sections(docstring):
    """Sections of a numpydoc docstring: title -> text."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    assert len(set(parts[1::2])) == len(parts[1::2]), "a section appears twice"
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("name", sorted(WITH_DOCSTRING))
def test_public_names_say_what_they_take_and_return(name):
    thing = WITH_DOCSTRING[name]
    assert "__doc__" in vars(thing) or inspect.isfunction(thing), "an inherited docstring"
    assert thing.__doc__ and thing.__doc__[0].isupper(), "no docstring"
    found = sections(thing.__doc__)
    text = found.get("Parameters", "") + found.get("Other Parameters", "")
    described = set(re.findall(r"\*{0,2}(\w+)", " ".join(re.findall(r"^\S.*", text, re.MULTILINE))))
    missing = [parameter for parameter in parameters_of(thing) if parameter not in described]
    assert not missing, f"{name} does not describe {missing}"
    if inspect.isfunction(thing):
        returns = inspect.signature(thing).return_annotation
        assert returns in (None, "None") or {"Returns", "Yields"} & set(found), "no Returns"
    plain = inspect.isclass(thing) and not parameters_of(thing)
    assert plain or "Examples" in found, "no example"


CONSTANTS = {name for name, thing in PUBLIC.items() if isinstance(thing, str | int | float)}


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - CONSTANTS))
def test_public_names_stand_in_the_api_pages(name):
    listed = re.findall(r"^   ([\w.]+)$", (ROOT / "docs/api/index.rst").read_text(), re.MULTILINE)
    assert name in listed


def test_the_api_pages_list_nothing_that_is_not_public():
    listed = re.findall(r"^   ([\w.]+)$", (ROOT / "docs/api/index.rst").read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    for name in listed:
        thing = stp
        for part in name.split("."):
            thing = getattr(thing, part)
