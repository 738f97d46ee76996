"""Curves of training as figures."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dymo_med.utils import atomic_path

__all__ = ["draw_curves", "scores_of_best"]


def draw_curves(entries: Iterable[dict[str, Any]], folder: str | Path) -> list[Path]:
    """Draw every kind of metric that was logged at two epochs or more, all series of a kind in one figure.

    The kind is what stands between the slash and the first underscore: ``validation/auroc_image`` is one of "auroc".

    Args:
        entries: Entries of a journal.
        folder: Where the figures ``<kind>.png`` are written.

    Returns:
        The figures.

    Example:
        >>> import tempfile
        >>> entries = [{"kind": "metrics", "step": step, "values": {"train/loss": 1 / step}} for step in (1, 2)]
        >>> [path.name for path in draw_curves(entries, tempfile.mkdtemp())]
        ['loss.png']
    """
    series: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for entry in entries:
        if entry["kind"] == "metrics":
            for name, value in entry["values"].items():
                series[name].append((entry["step"], float(value)))
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, points in series.items():
        if len({step for step, _ in points}) > 1:
            kinds[name.rpartition("/")[2].partition("_")[0]].append(name)
    return [_draw(kind, {name: series[name] for name in names}, Path(folder)) for kind, names in kinds.items()]


def scores_of_best(entries: Iterable[dict[str, Any]], name: str) -> tuple[int, dict[str, float]]:
    """Give the epoch in which a metric was first at its highest, and all metrics of that epoch as ``best/...``.

    Args:
        entries: Entries of a journal.
        name: Metric to be high; where it is undefined, an epoch is never the best.

    Returns:
        The epoch and its metrics; 0 and none where the metric was never defined.

    Example:
        >>> entries = [{"kind": "metrics", "step": step, "values": {"auroc": step % 2}} for step in (1, 2, 3)]
        >>> scores_of_best(entries, "auroc")
        (1, {'best/auroc': 1.0, 'best/epoch': 1.0})
    """
    epochs: dict[int, dict[str, float]] = defaultdict(dict)
    for entry in entries:
        if entry["kind"] == "metrics":
            epochs[entry["step"]] |= {metric: float(value) for metric, value in entry["values"].items()}
    scored = [step for step, values in epochs.items() if not math.isnan(values.get(name, math.nan))]
    if not scored:
        return 0, {}
    best = max(scored, key=lambda step: (epochs[step][name], -step))
    scores = {f"best/{metric.rpartition('/')[2]}": value for metric, value in epochs[best].items()}
    return best, {**scores, "best/epoch": float(best)}


def _draw(kind: str, series: dict[str, Sequence[tuple[int, float]]], folder: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="epoch", ylabel=kind)
    for name, points in sorted(series.items()):
        axes.plot(*zip(*sorted(points), strict=True), label=name, marker="." if len(points) < 30 else "")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    path = folder / f"{kind}.png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path
