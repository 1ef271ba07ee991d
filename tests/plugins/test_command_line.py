"""python -m snn_temporal_plugins: list, info, doctor."""

import builtins
import json

import pytest
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.__main__ import main
from snn_temporal_plugins.plugins import doctor, registry


@pytest.fixture
def _no_rich(monkeypatch):
    real = builtins.__import__

    def without_rich(name, *rest, **options):
        if name.startswith("rich"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_rich)


def test_list_as_json_names_our_neuron(capsys):
    assert main(["list", "--kind", "neuron", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    (ours,) = [row for row in rows if row["name"] == "single_spike_if"]
    assert ours["aliases"] == ["s4nn"]
    assert ours["from"] == f"snn-temporal-plugins {stp.__version__}"


def test_list_with_rich(capsys):
    pytest.importorskip("rich")
    assert main(["list"]) == 0
    assert "single_spi" in capsys.readouterr().out


@pytest.mark.usefixtures("_no_rich")
def test_list_without_rich_is_plain_text(capsys):
    assert main(["list", "--kind", "neuron"]) == 0
    title, head, rule, *rows = capsys.readouterr().out.splitlines()
    assert title == "Plug-ins"
    assert head.split() == ["kind", "name", "from", "aliases", "summary"]
    assert set(rule) == {"-", " "}
    assert any(row.startswith("neuron  single_spike_if") for row in rows)


def test_list_by_host_shows_neurons_only(capsys):
    assert main(["list", "--host", "norse.cell", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "single_spike_if" in [row["name"] for row in rows]
    assert {row["kind"] for row in rows} == {"neuron"}


def test_list_of_nothing(capsys, monkeypatch):
    monkeypatch.setattr(registry, "entries", lambda kind: [])
    assert main(["list", "--kind", "surrogate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["list", "--kind", "surrogate"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_info(capsys):
    assert main(["info", "s4nn", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["class"].endswith("SingleSpikeIF")
    assert facts["forms"] == ["clocked", "timed"]
    assert facts["hosts"] == ["snntorch", "norse", "norse.cell"]


@pytest.mark.usefixtures("_no_rich")
def test_info_as_text(capsys):
    assert main(["info", "s4nn", "--kind", "neuron"]) == 0
    assert "arXiv:1910.09495" in capsys.readouterr().out


def test_info_of_an_unknown_name_is_exit_code_2(capsys):
    assert main(["info", "zzz"]) == 2
    assert "error: No neuron is called 'zzz'" in capsys.readouterr().err


def test_doctor_shows_versions_and_problems(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["snn_temporal_plugins"] == stp.__version__
    assert report["broken"] == []
    hosts = {row["package"] for row in report["problems"]}
    assert ("snntorch" in hosts) == (report["versions"]["snntorch"] is not None)


@pytest.mark.usefixtures("_no_rich")
def test_doctor_as_text_shows_broken_plugins(capsys, monkeypatch):
    error = registry.PluginLoadError("it fell over")
    broken = registry.Entry("neuron", "bad", "one-lab", "1", None, error)
    monkeypatch.setattr(registry, "entries", lambda kind=None: [broken])
    monkeypatch.setattr(doctor, "problems", lambda *installed: [])
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "one-lab:bad" in out and "it fell over" in out


@pytest.mark.parametrize(
    ("ours", "vision", "message"),
    [
        ("2.13.0+cpu", "0.28.0+cpu", ""),
        ("2.4.1", "0.19.0", ""),
        ("2.13.0+cpu", "0.28.0", "come from different builds"),
        ("2.13.0", "0.27.1", "torch 2.13.0 needs 0.28"),
        ("2.13.0", None, ""),
    ],
)
def test_torchvision_of_another_torch_is_seen(ours, vision, message):
    found = doctor.torchvision_mismatch({"torch": ours, "torchvision": vision})
    assert message in found and bool(message) == bool(found)


def test_problems_that_a_version_has_fixed_are_not_shown():
    rows = {v: doctor.problems({"norse": v, "torch": "2.13.0"}) for v in ("1.1.0", "1.2.0")}
    assert {row["package"] for row in rows["1.1.0"]} == {"norse"}
    assert 0 < len(rows["1.2.0"]) < len(rows["1.1.0"])
    rows = doctor.problems({"torch": "2.13.0+cpu", "torchvision": "0.28.0"})
    assert [row["package"] for row in rows] == ["torchvision"]


def test_hosts_older_than_tested_are_seen():
    rows = doctor.problems({"snntorch": "0.9.4", "norse": "1.0.0"})
    assert {row["package"] for row in rows if "older than" in row["problem"]} == {
        "snntorch",
        "norse",
    }
    rows = doctor.problems({"snntorch": "1.0.0", "norse": "1.1.0"})
    assert not any("older than" in row["problem"] for row in rows)


@pytest.mark.parametrize(
    ("cuda", "gpu", "build"),
    [
        (None, False, "CPU"),
        ("12.9", True, "GPU (12.9)"),
        ("12.9", False, "GPU (12.9), no GPU found"),
    ],
)
def test_a_gpu_build_in_place_of_the_cpu_build_is_seen(monkeypatch, capsys, cuda, gpu, build):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(doctor, "versions", lambda: {"torch": "2.13.0", "torchvision": "0.28.0"})
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["torch build"] == build
    lost = [row for row in report["problems"] if row["package"] == "torch"]
    assert len(lost) == ("no GPU" in build)
    assert all("pip install norse" in row["problem"] for row in lost)
    assert all("constraints.txt" in row["cure"] for row in lost)
