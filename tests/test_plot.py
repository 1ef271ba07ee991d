"""Figures: what is drawn is what was given."""

import sys

import matplotlib
import numpy as np
import pytest
import torch

from snn_temporal_plugins import plot

matplotlib.use("Agg")
from matplotlib import pyplot

INF = float("inf")


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


def test_a_raster_shows_every_spike_and_no_silent_neuron():
    ax = plot.raster({"input": torch.tensor([[3.0, INF, 5.0]]), "output": torch.tensor([[INF]])})
    assert ax.lines[0].get_xdata().tolist() == [3.0, 5.0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.2, 0.8], rtol=1e-6)  # of one band
    assert len(ax.lines[1].get_xdata()) == 0
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "input\n2 of 3 fired",
        "output\n0 of 1 fired",
    ]


def test_a_latency_map_leaves_silent_neurons_blank_and_draws_into_the_axes_given():
    _, ax = pyplot.subplots()
    assert plot.latency_map(torch.tensor([[[[1.0, INF], [7.0, 2.0]]]]), ax=ax) is ax
    drawn = ax.images[0].get_array()
    assert np.ma.getmaskarray(drawn).tolist() == [[False, True], [False, False]]
    assert ax.images[0].get_clim() == (0, 7.0)
    silent = plot.latency_map(torch.full((2, 2), INF))
    assert silent.images[0].get_clim() == (0, 1.0)


def test_potential_traces_mark_the_first_step_above_the_threshold():
    potential = torch.tensor([[0.2, 0.1], [0.9, 0.3], [-INF, 0.4]])
    ax = plot.potential_traces(potential, 0.7, labels=["early", "silent"])
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["threshold"].get_ydata() == [0.7, 0.7]
    np.testing.assert_allclose(lines["early"].get_ydata(), [0.2, 0.9, np.nan], rtol=1e-6)
    spike = ax.lines[1]
    assert (spike.get_xdata(), spike.get_ydata()) == ([1], pytest.approx([0.9]))
    assert len(ax.lines) == 4, "a silent neuron has no mark"


def test_the_curve_of_decisions_ends_at_the_accuracy():
    times = torch.tensor([[2.0, INF], [4.0, 3.0], [INF, INF], [INF, INF]])
    potential = torch.tensor([[9.0, 0.0], [8.0, 9.0], [0.5, 0.1], [0.5, 0.1]])
    targets = torch.tensor([0, 0, 0, 1])
    ax = plot.accuracy_against_time(times, targets, t_max=6, potential=potential)
    decided, right = (line.get_ydata() for line in ax.lines)
    assert decided.tolist() == [0, 0, 25, 50, 50, 50, 100]
    assert right.tolist() == [0, 0, 25, 25, 25, 25, 50]
    ax = plot.accuracy_against_time(times, targets, t_max=6, label="no potential")
    assert ax.lines[0].get_ydata()[-1] == 50


def test_a_training_curve_is_in_percent():
    history = [{"epoch": 1, "strict": 0.5}, {"epoch": 2, "strict": 0.75}]
    ax = plot.training_curve(history, {"strict": "validation"})
    assert list(ax.lines[0].get_ydata()) == [50, 75]
    with pytest.raises(ValueError, match="history has no 'authors' in every row"):
        plot.training_curve(history, {"authors": "lenient"})


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"times\['neurons'\] must have 1 dimensions.*\[2, 3\]"):
        plot.raster(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"latency_map: times must have 2 dim.*got \[2, 3, 4\]"):
        plot.latency_map(torch.zeros(2, 3, 4))
    with pytest.raises(TypeError, match="times must be a tensor, got list"):
        plot._one_sample("raster", "times", [1], 1)
    with pytest.raises(ValueError, match="labels must name 2 neurons, got 1 names"):
        plot.potential_traces(torch.zeros(3, 1, 2), 0.7, labels=["one"])


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'snn-temporal-plugins\[tutorials\]'"):
        plot.raster(torch.zeros(1, 3))
