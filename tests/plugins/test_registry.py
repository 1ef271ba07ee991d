"""Plug-ins are found by name; whatever is wrong with one is said when it is used."""

import subprocess
import sys
import warnings
from importlib import metadata

import pytest

import snn_temporal_plugins as stp
from snn_temporal_plugins import plugins
from snn_temporal_plugins.plugins import builtin, registry
from snn_temporal_plugins.plugins.spec import GROUPS

SPEC = """
from snn_temporal_plugins import NeuronSpec
THING = NeuronSpec("thing", "{module}:Thing", aliases=("thingy",))
OTHER_NAME = NeuronSpec("something_else", "{module}:Thing")
LATER = NeuronSpec("later", "{module}:Thing", api_version=2)
MISSING = NeuronSpec("missing", "{module}:NoSuchClass")
S4NN = NeuronSpec("single_spike_if", "{module}:Thing")
NOT_A_SPEC = "hello"
class Thing: pass
"""


@pytest.fixture(autouse=True)
def _clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_session", {})
    monkeypatch.delenv(registry.DISABLE, raising=False)
    registry.refresh()
    yield
    monkeypatch.undo()
    registry.refresh()


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Put a distribution with the given neuron entry points on the path."""

    def install(name: str, **points: str) -> str:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(SPEC.format(module=module))
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{module}-2.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.5\n")
        lines = [f"{point} = {module}:{target}" for point, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[" + GROUPS["neuron"] + "]", *lines]))
        monkeypatch.syspath_prepend(str(tmp_path))
        registry.refresh()
        return module

    return install


def test_our_neuron_is_found_by_name_and_alias():
    assert stp.get("neuron", "single_spike_if") is stp.SingleSpikeIF
    assert stp.get("neuron", "s4nn") is stp.SingleSpikeIF
    assert stp.get("neuron", "snn-temporal-plugins:s4nn") is stp.SingleSpikeIF


def test_every_builtin_spec_has_its_entry_point_and_no_other(request):
    tomllib = pytest.importorskip("tomllib")
    text = (request.config.rootpath / "pyproject.toml").read_text()
    declared = tomllib.loads(text)["project"]["entry-points"]
    expected: dict = {}
    for variable, spec in vars(builtin).items():
        if isinstance(spec, plugins.PluginSpec):
            group = expected.setdefault(GROUPS[spec.kind], {})
            group[spec.name] = f"{builtin.__name__}:{variable}"
    assert declared == expected


def test_every_builtin_spec_can_be_loaded():
    for entry in registry.entries():
        if entry.distribution == registry.OWN:
            assert entry.spec.summary and callable(entry.spec.load())


def test_entry_points_of_the_installed_package_are_not_listed_twice():
    names = [(spec.kind, spec.name) for spec in stp.list_plugins()]
    assert len(names) == len(set(names))


def test_listing_and_loading_import_no_host():
    code = (
        "import sys, snn_temporal_plugins as stp; stp.list_plugins(); stp.get('neuron', 's4nn');"
        "print([h for h in ('snntorch', 'norse', 'numba', 'matplotlib') if h in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_unknown_name_lists_what_there_is():
    with pytest.raises(plugins.UnknownPluginError, match=r"Did you mean 'single_spike_if'\?"):
        stp.get("neuron", "single_spike_fi")
    with pytest.raises(plugins.UnknownPluginError, match=r"'zzz'\. Known: .*single_spike_if"):
        stp.get("neuron", "zzz")


def test_unknown_kind_and_host_are_refused():
    with pytest.raises(ValueError, match="kind must be one of neuron, synapse"):
        stp.get("neurons", "s4nn")
    with pytest.raises(ValueError, match="host must be one of snntorch, norse"):
        stp.get("neuron", "s4nn", host="brian")


def test_installed_plugin_is_found(distribution):
    module = distribution("one-lab", thing="THING")
    assert stp.get("neuron", "thing") is sys.modules[module].Thing
    assert stp.get("neuron", "thingy") is sys.modules[module].Thing
    (entry,) = [e for e in registry.entries("neuron") if e.name == "thing"]
    assert (entry.distribution, entry.version) == ("one-lab", "2.5")


def test_clash_is_an_error_on_use_and_the_qualified_name_resolves_it(distribution):
    distribution("one-lab", thing="THING")
    module = distribution("two-lab", thing="THING")
    assert [s.name for s in stp.list_plugins("neuron")].count("thing") == 2
    with pytest.raises(plugins.PluginConflictError, match="'one-lab:thing' or 'two-lab:thing'"):
        stp.get("neuron", "thing")
    assert stp.get("neuron", "two-lab:thing") is sys.modules[module].Thing


def test_builtin_cannot_be_shadowed(distribution):
    module = distribution("one-lab", single_spike_if="S4NN")
    assert stp.get("neuron", "single_spike_if") is stp.SingleSpikeIF
    assert stp.get("neuron", "one-lab:single_spike_if") is sys.modules[module].Thing


def test_broken_plugin_warns_once_in_the_list_and_raises_on_use(distribution):
    distribution("one-lab", thing="NO_SUCH_SPEC")
    with pytest.warns(RuntimeWarning, match=r"'thing' .*cannot be loaded.*left out"):
        names = [spec.name for spec in stp.list_plugins()]
    assert "thing" not in names
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stp.list_plugins()
    with pytest.raises(plugins.PluginLoadError, match="cannot be loaded") as caught:
        stp.get("neuron", "thing")
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("NOT_A_SPEC", "must be a NeuronSpec, got str"),
        ("OTHER_NAME", "holds a spec of another name, 'something_else'"),
    ],
)
def test_entry_point_must_name_a_fitting_spec(distribution, target, message):
    distribution("one-lab", thing=target)
    with pytest.raises(plugins.PluginLoadError, match=message):
        stp.get("neuron", "thing")


def test_core_that_cannot_be_imported(distribution):
    distribution("one-lab", missing="MISSING")
    with pytest.raises(plugins.PluginLoadError, match="'one_lab:NoSuchClass'"):
        stp.get("neuron", "missing")


def test_plugin_for_another_interface_version(distribution):
    distribution("one-lab", later="LATER")
    with pytest.raises(plugins.PluginVersionError, match=r"interface 2; .* has interface 1"):
        stp.get("neuron", "later")


@pytest.mark.parametrize("value", ["thing", "one-lab", "zzz, one-lab:thing"])
def test_disable_variable_hides_a_plugin(distribution, monkeypatch, value):
    distribution("one-lab", thing="THING")
    assert stp.get("neuron", "thing")
    monkeypatch.setenv(registry.DISABLE, value)
    assert "thing" not in [spec.name for spec in stp.list_plugins()]
    with pytest.raises(plugins.UnknownPluginError, match="thing"):
        stp.get("neuron", "thing")


def test_disabled_name_is_said_to_be_disabled(distribution, monkeypatch):
    distribution("one-lab", thing="THING")
    monkeypatch.setenv(registry.DISABLE, "thing")
    with pytest.raises(plugins.UnknownPluginError, match="switched off by SNN_TEMPORAL_PLUGINS"):
        stp.get("neuron", "one-lab:thing")


class Notebook(stp.SingleSpikeIF):
    """A neuron somebody wrote in a notebook."""


def test_register_makes_a_class_known():
    spec = stp.register(stp.NeuronSpec("notebook", Notebook))
    assert stp.get("neuron", "notebook") is Notebook
    assert stp.register(stp.NeuronSpec("notebook", Notebook)) == spec  # the cell runs again


def test_register_refuses_taken_names():
    stp.register(stp.NeuronSpec("notebook", Notebook))
    other = stp.NeuronSpec("notebook", stp.SingleSpikeIF)
    with pytest.raises(plugins.PluginConflictError, match="taken by session:notebook; pass overr"):
        stp.register(other)
    stp.register(other, override=True)
    assert stp.get("neuron", "notebook") is stp.SingleSpikeIF
    with pytest.raises(plugins.PluginConflictError, match="built-in names cannot be replaced"):
        stp.register(stp.NeuronSpec("s4nn", Notebook), override=True)


def test_register_with_override_precedes_an_installed_plugin(distribution):
    distribution("one-lab", thing="THING")
    spec = stp.NeuronSpec("thing", Notebook)
    with pytest.raises(plugins.PluginConflictError, match="taken by one-lab:thing"):
        stp.register(spec)
    stp.register(spec, override=True)
    assert stp.get("neuron", "thing") is Notebook


def test_register_takes_only_specs():
    with pytest.raises(TypeError, match="must be a NeuronSpec or its like"):
        stp.register(Notebook)
    with pytest.raises(TypeError, match="must be a NeuronSpec or its like"):
        stp.register(plugins.PluginSpec("base", Notebook))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("", "a:B"), ValueError, "a name must be a string without colon"),
        (("a:b", "a:B"), ValueError, "a name must be a string without colon"),
        (("ab", "a.B"), ValueError, "must have the form 'module:Class'"),
        (("ab", 3), TypeError, "must be 'module:Class' or a class"),
    ],
)
def test_bad_spec(arguments, error, message):
    with pytest.raises(error, match=message):
        stp.NeuronSpec(*arguments)


def test_bad_spec_options():
    with pytest.raises(TypeError, match="aliases must be a tuple of strings"):
        stp.NeuronSpec("ab", "a:B", aliases="b")
    with pytest.raises(ValueError, match=r"hosts\['norse'\] must have the form"):
        stp.NeuronSpec("ab", "a:B", hosts={"norse": "a.B"})


def test_hand_written_host_class_is_taken():
    by_hand = {"norse": "snn_temporal_plugins.timed:Timed"}
    stp.register(stp.NeuronSpec("notebook", Notebook, hosts=by_hand))
    assert stp.get("neuron", "notebook", host="norse") is stp.Timed


def test_only_neurons_have_hosts():
    stp.register(plugins.LossSpec("some_loss", Notebook))
    with pytest.raises(ValueError, match="only neurons have hosts, 'some_loss' is a loss"):
        stp.get("loss", "some_loss", host="norse")


@pytest.mark.usefixtures("thirdparty")
def test_thirdparty_package_is_listed_after_pip_install():
    assert metadata.version("quadratic-spikes") == "0.3.0"
    assert stp.get("neuron", "qif").__name__ == "QuadraticIF"
    assert stp.get("loss", "first_spike_margin").__name__ == "FirstSpikeMargin"
