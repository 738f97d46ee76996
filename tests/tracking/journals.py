"""Journals as runs write them."""

from dymo_med.tracking import JournalWriter

KEY = "5a" * 16
DATASET = {
    "name": "simulated cohort, train",
    "context": "training",
    "digest": "ab" * 16,
    "cohort_digest": "cd" * 32,
    "counts": {"subjects": 12, "cad = 1": 3},
}


def start(folder, **changes):
    """An open journal with its first entry."""
    writer = JournalWriter(folder)
    content = {
        "key": KEY,
        "experiment": "heart",
        "name": "train 5a5a5a",
        "params": {"seed": "7", "long": "a" * 7000},
        "tags": {"data_kind": "simulated", "code.commit": "e" * 40, "code.dirty": "true"},
        "datasets": [DATASET],
        "weights": {},
        "about": "Training of the heart.",
        "uri": "",
    }
    writer.write("start", **content | changes)
    return writer


def complete(folder, status="FINISHED", **changes):
    """A journal with two epochs, a table and its end."""
    writer = start(folder, **changes)
    for step in (1, 2):
        writer.write("metrics", step=step, values={"train/loss": 1 / step, "validation/auroc": 0.5 + step / 10})
    table = folder / "files" / "comparison.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("pattern,auroc\nnothing hidden,0.75\nall hidden,\n")
    writer.write("table", name="comparison.csv")
    writer.write("end", status=status, reason="" if status == "FINISHED" else "ZeroDivisionError")
    writer.close()
    return folder
