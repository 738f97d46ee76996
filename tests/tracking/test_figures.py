"""Curves: one figure a kind, only of what has a course."""

import struct

from dymo_med.tracking import figures
from dymo_med.tracking.figures import draw_curves


def metrics(step, **values):
    return {
        "kind": "metrics",
        "step": step,
        "values": {name.replace("__", "/"): value for name, value in values.items()},
    }


def test_one_figure_for_each_kind(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(figures, "_draw", lambda kind, series, _: drawn.setdefault(kind, series))
    entries = [metrics(step, train__loss=1.0, validation__auroc=0.5, validation__auroc_image=0.4) for step in (2, 1)]
    draw_curves([{"kind": "start"}, *entries, metrics(0, final__accuracy=1.0)], tmp_path)
    assert {kind: sorted(series) for kind, series in drawn.items()} == {
        "loss": ["train/loss"],
        "auroc": ["validation/auroc", "validation/auroc_image"],
    }


def test_figure_is_a_picture_even_where_a_value_is_undefined(tmp_path):
    entries = [metrics(step, train__loss=value) for step, value in ((1, 0.5), (2, "nan"), (3, 0.25))]
    (path,) = draw_curves(entries, tmp_path / "files")
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (770, 462)
    assert len(content) < 100_000
