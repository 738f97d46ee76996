"""Following a journal costs what is new in it, however long it has grown."""

import json

from dymo_med.tracking import journal, sending
from dymo_med.tracking.journal import SYSTEM_FILE, append_entry, count_entries, read_entries
from tests.tracking.journals import start


class Store:
    """Takes everything."""

    def __init__(self):
        self.metrics = []

    def log_batch(self, _, metrics):
        self.metrics += metrics


def test_entries_are_counted_and_passed_over(tmp_path):
    writer = start(tmp_path)
    for step in range(3):
        writer.write("metrics", step=step, values={})
    writer.close()
    assert count_entries(tmp_path) == 4
    assert read_entries(tmp_path, start=2) == read_entries(tmp_path)[2:]
    assert (count_entries(tmp_path, SYSTEM_FILE), read_entries(tmp_path, start=4)) == (0, [])
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"kind": "metr')
    assert count_entries(tmp_path) == len(read_entries(tmp_path)) == 4


def test_long_journal_is_not_read_again(tmp_path, monkeypatch):
    writer = start(tmp_path)
    writer.close()
    path = tmp_path / "journal.jsonl"
    for step in range(500):
        append_entry(path, "metrics", step=step, values={"train/loss": 1.0})
        append_entry(tmp_path / SYSTEM_FILE, "metrics", step=step, values={"system/cpu": 1.0})
    sender, store = sending.Sender(tmp_path, "http://127.0.0.1:9"), Store()
    monkeypatch.setattr(sender, "_client", store)
    monkeypatch.setitem(sender._senders, "start", lambda _: None)
    sender.send()
    assert (len(store.metrics), sender.n_unsent) == (1000, 0)
    append_entry(path, "metrics", step=500, values={"train/loss": 2.0})
    append_entry(tmp_path / SYSTEM_FILE, "metrics", step=500, values={"system/cpu": 2.0})
    parsed = []
    monkeypatch.setattr(journal.json, "loads", lambda text, loads=json.loads: parsed.append(text) or loads(text))
    assert sender.n_unsent == 2
    sender.send()
    assert sender.n_unsent == 0
    assert len(parsed) < 10
    assert [(metric.step, metric.value) for metric in store.metrics[1000:]] == [(500, 2.0), (500, 2.0)]
