"""Training runs: a resumed run equals an uninterrupted one; evaluation is that of the metrics."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins import _training

INPUTS = torch.randint(0, 9, (70, 6)).float()
TARGETS = torch.randint(0, 3, (70,))


def network():
    torch.manual_seed(4)
    layer = stp.Timed(
        nn.Linear(6, 3, bias=False), stp.SingleSpikeIF(0.7), init=(0, 0.6), return_potential=True
    )
    return layer, torch.optim.SGD(layer.parameters(), lr=0.05, momentum=0.9)


def run(epochs, checkpoint=None, after_epoch=None):
    model, optimizer = network()
    loss = stp.RankOrderLoss(9, gamma=2)

    def step(times, labels):
        out, potential = model(times)
        optimizer.zero_grad()
        loss(out, labels).backward()
        optimizer.step()
        return (loss.predict(out, potential=potential) == labels).sum()

    history = _training.fit(
        step,
        INPUTS,
        TARGETS,
        epochs=epochs,
        batch_size=16,
        seed=3,
        after_epoch=after_epoch,
        parts={"model": model, "optimizer": optimizer},
        checkpoint=checkpoint,
    )
    return model.synapse.weight.detach(), history


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, capsys):
    whole, history = run(4)
    run(2, tmp_path / "run.pt")
    resumed, resumed_history = run(4, tmp_path / "run.pt")
    assert torch.equal(whole, resumed)
    assert [row["epoch"] for row in resumed_history] == [1, 2, 3, 4]
    assert [row["accuracy"] for row in history] == [row["accuracy"] for row in resumed_history]
    assert "resuming after epoch 2" in capsys.readouterr().out
    assert not torch.equal(whole, network()[0].synapse.weight), "nothing was learned"


def test_figures_of_the_epoch_are_added_and_printed(capsys):
    _, history = run(2, after_epoch=lambda epoch: {"strict": 0.25 + epoch})
    assert [row["strict"] for row in history] == [0.25, 1.25]
    assert "training: epoch 2, accuracy" in capsys.readouterr().out


def test_evaluation_is_the_report_of_all_batches_and_keeps_the_mode():
    model, _ = network()
    model.train()
    report = _training.evaluate(
        model, INPUTS, TARGETS, t_max=9, encode=lambda times: times + 1, batch_size=30
    )
    times, potential = model(INPUTS + 1)
    expected = stp.metrics.FirstSpikeReport(9)
    expected.update(times.detach(), TARGETS, potential.detach())
    assert report.compute() == pytest.approx(expected.compute(), nan_ok=True)
    assert model.training


def test_common_options(monkeypatch):
    monkeypatch.setattr("sys.argv", ["run.py", "--seed", "7", "--threads", "1"])
    chosen = _training.parse(_training.options("A run.", epochs=5))
    assert (chosen.epochs, chosen.seed, chosen.full) == (5, 7, False)
    assert torch.get_num_threads() == 1 and torch.initial_seed() == 7
    monkeypatch.setenv("SNN_TEMPORAL_FULL", "1")
    assert _training.parse(_training.options("A run.", epochs=5)).full
