"""A real plug-in package, pip-installed beside this one: listed, swapped in, trained."""

import json

import pytest

TRAIN = "tests/thirdparty/train.py"


def test_its_neuron_and_loss_are_listed_with_its_name_and_version(thirdparty_environment):
    listed = json.loads(thirdparty_environment.run("-m", "snn_temporal_plugins", "list", "--json"))
    theirs = [row for row in listed if row["from"] == "quadratic-spikes 0.3.0"]
    assert [(row["kind"], row["name"]) for row in theirs] == [
        ("neuron", "quadratic_if"),
        ("loss", "first_spike_margin"),
    ]


@pytest.mark.parametrize(
    ("host", "name"), [("snntorch", "qif"), ("norse", "quadratic-spikes:quadratic_if")]
)
def test_its_neuron_is_swapped_into_a_model_and_learns(thirdparty_environment, host, name):
    pytest.importorskip(host)
    before, after, learned = thirdparty_environment.run(TRAIN, host, name).split()
    assert float(after) < 0.3 * float(before)
    assert int(learned) == 2  # its learned constant gets gradient in both layers
