"""Docstrings of public names: numpydoc, with shapes, errors and sources."""

import inspect
import re
import warnings

import pytest
from test_structure import WITH_DOCSTRING
from torch import nn

import snn_temporal_plugins as stp

docscrape = pytest.importorskip("numpydoc.docscrape")

SHAPE = re.compile(r"\[[A-Z2.][^\]]*\]|of any shape|scalar|of the same shape|shape of")
MODELS = (stp.ClockedNeuron, stp.TimedNeuron, stp.Synapse, stp.FirstSpikeLoss, stp.SpikeTrainLoss)
ENCODERS = "snn_temporal_plugins.encoders."
LINKED = re.compile(r"; see :func:`(?:snn_temporal_plugins\.)?(\w+)`")
OWN = re.compile(r"this\s+project's\s+own")


def parsed(docstring):
    """Docstring by sections; anything numpydoc complains about is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return docscrape.NumpyDocString(inspect.cleandoc(docstring))


def tensors_without_shape(docstring):
    """Entries whose type is a tensor and that do not say of which shape."""
    found = parsed(docstring)
    entries = [*found["Parameters"], *found["Returns"], *found["Attributes"]]
    return [
        entry.name or entry.type
        for entry in entries
        if re.search(r"\bTensor\b", entry.type or entry.name)
        and not SHAPE.search(" ".join([entry.name, entry.type, *entry.desc]))
    ]


def raises_something(thing):
    """Whether a call refuses arguments by itself."""
    return re.search(r"\braise |\b_checks\.\w+\(", inspect.getsource(thing)) is not None


def needs_source(thing):
    """Equations have a source, and so has every neuron, synapse and loss."""
    model = inspect.isclass(thing) and issubclass(thing, MODELS) and not inspect.isabstract(thing)
    return model or ".. math::" in thing.__doc__ or thing.__module__.startswith(ENCODERS)


@pytest.mark.parametrize("name", sorted(WITH_DOCSTRING))
def test_tensors_are_described_with_their_shape(name):
    thing = WITH_DOCSTRING[name]
    assert tensors_without_shape(thing.__doc__) == []


def is_module(thing):
    return inspect.isclass(thing) and issubclass(thing, nn.Module)


@pytest.mark.parametrize("name", sorted(n for n, x in WITH_DOCSTRING.items() if is_module(x)))
def test_modules_say_what_shape_goes_in_and_out(name):
    thing = WITH_DOCSTRING[name]
    forward = vars(thing).get("forward")
    assert SHAPE.search(thing.__doc__ + ((forward and forward.__doc__) or ""))


@pytest.mark.parametrize("name", sorted(WITH_DOCSTRING))
def test_errors_are_described(name):
    thing = WITH_DOCSTRING[name]
    assert parsed(thing.__doc__)["Raises"] or not raises_something(thing)


@pytest.mark.parametrize("name", sorted(WITH_DOCSTRING))
def test_equations_and_models_have_a_source(name):
    thing = WITH_DOCSTRING[name]
    linked = LINKED.search(thing.__doc__)
    text = getattr(stp, linked[1]).__doc__ if linked else thing.__doc__
    assert not needs_source(thing) or parsed(text)["References"] or OWN.search(text)


BAD = """Potential of a neuron.

Parameters
----------
x : Tensor
    The current.

Returns
-------
Tensor
    The potential.
"""


def test_a_tensor_without_shape_is_seen():
    assert tensors_without_shape(BAD) == ["x", "Tensor"]
    assert tensors_without_shape(BAD.replace("x : Tensor", "x : Tensor of shape [B, N]")) == [
        "Tensor"
    ]
    with pytest.raises(UserWarning, match="Unknown section"):
        parsed(BAD.replace("Returns\n", "Retruns\n"))
