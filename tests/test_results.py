"""Result files carry their provenance."""

import datetime
import json
import sys

import torch

from snn_temporal_plugins import _results


def test_a_result_file_says_how_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tutorials/plot_x.py", "--full"])
    path = _results.save(tmp_path / "a" / "x.json", {"strict": 0.5}, seed=3, epochs=2)
    record = _results.load(path)
    assert record == json.loads(path.read_text())
    assert record["command"] == "python tutorials/plot_x.py --full"
    assert record["seed"] == 3 and record["settings"] == {"epochs": 2}
    assert record["figures"] == {"strict": 0.5}
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["machine"]["threads"] == torch.get_num_threads()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert record["date"] == today.isoformat()
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]
