"""Figures for pages and papers: drawn once, shown inside a page, kept as SVG, PDF and the table behind them."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from dymo_med.evaluation.report.page import Figure, Text
from dymo_med.utils import atomic_path, write_text

__all__ = ["AXIS_INK", "Chart", "Line", "drawing", "error_bars", "house_style", "lines_of"]

AXIS_INK = "#5a6675"
WIDTH = 7.2
"""Width in inches: that of a page of A4 between its margins."""
_DOTS_PER_INCH = 110
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": AXIS_INK,
    "axes.labelcolor": "#1c2430",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "grid.linewidth": 0.7,
    "xtick.color": AXIS_INK,
    "ytick.color": AXIS_INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
_COLORS = ("#666666", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999933")
"""Okabe and Ito's colors, told apart by the color-blind; the markers tell the lines apart in print."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HIGHLIGHT = "#0072B2"
_ID = re.compile(r'id="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^)"]+)')


@dataclass(frozen=True)
class Line:
    """How one series is drawn, alike in every figure.

    Args:
        color: Color of line and marker.
        marker: Marker of its points.
        width: Width of the line in points.

    Example:
        >>> Line("#0072B2", "o", 1.4).marker
        'o'
    """

    color: str
    marker: str
    width: float


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure with its name, its words and the table behind it.

    Args:
        name: Name of its files, without an ending; unique on a page.
        caption: What it shows and how it was made.
        alternative: What it shows, for readers who do not see it.
        drawing: The figure, made in :func:`house_style`.
        data: Numbers behind it, as they are drawn.
        is_empty: Whether nothing could be drawn, for want of subjects or of anything estimable.

    Example:
        >>> with house_style():
        ...     figure, axes = drawing(1, 1, height=2)
        ...     _ = axes[0].plot([0, 1], [1, 0])
        >>> chart = Chart(name="fall", caption="A fall", alternative="A line that falls.", drawing=figure,
        ...               data=pd.DataFrame({"x": [0, 1], "y": [1, 0]}))
        >>> chart.block().source[:4]
        Markup('<svg')
    """

    name: str
    caption: str
    alternative: str
    drawing: Drawing
    data: pd.DataFrame
    is_empty: bool = False

    def block(self) -> Figure | Text:
        """Give the figure as part of a page, or the reason why there is none."""
        if self.is_empty:
            title = re.split(r"[.:;] ", self.caption)[0].rstrip(".")
            return Text(f"{title}: not drawn, for too few subjects or nothing estimable.")
        return Figure(caption=self.caption, image=self._svg, alternative=self.alternative)

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``<name>.svg``, ``.pdf``, ``.csv`` and ``.png``, each as a whole; the same content, the same bytes.

        Args:
            folder: Where they go.

        Returns:
            The files.
        """
        paths = [Path(folder) / f"{self.name}.{ending}" for ending in ("svg", "pdf", "csv", "png")]
        write_text(paths[0], self._svg)
        with house_style(), atomic_path(paths[1]) as temporary:
            self.drawing.savefig(temporary, format="pdf", metadata={"CreationDate": None})
        with atomic_path(paths[2]) as temporary:
            self.data.to_csv(temporary, index=False)
        with house_style(), atomic_path(paths[3]) as temporary:
            self.drawing.savefig(temporary, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
        return paths

    @cached_property
    def _svg(self) -> str:
        """Draw without prolog, metadata and style sheet, with ids that no other figure of a page has."""
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with house_style(self.name):
            self.drawing.savefig(buffer, format="svg", metadata=nothing)
        self.drawing.set_layout_engine("none")  # laid out once, alike in all files
        text = buffer.getvalue()
        text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
        text = re.sub(r' width="[^"]+pt"| height="[^"]+pt"', "", text[: text.index(">")]) + text[text.index(">") :]
        text = text.replace("<svg", '<svg style="stroke-linejoin:round;stroke-linecap:butt"', 1)
        text = _ID.sub(lambda match: f'id="{self.name}-{match[1]}"', text)
        text = _REFERENCE.sub(lambda match: f"{match[1]}{self.name}-{match[2]}", text)
        return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


@contextmanager
def house_style(salt: str = "") -> Iterator[None]:
    """Set type, colors and grid of all figures for a while.

    Args:
        salt: Makes the ids of an SVG; the same salt gives the same ids.

    Example:
        >>> with house_style():
        ...     mpl.rcParams["axes.spines.top"]
        False
    """
    style: Any = _STYLE | {"svg.hashsalt": salt or "figure"}
    with mpl.rc_context(style):
        yield


def drawing(
    n_rows: int, n_columns: int, *, height: float, width: float = WIDTH, **options: Any
) -> tuple[Drawing, list[Axes]]:
    """Begin a figure.

    Args:
        n_rows: Rows of panels.
        n_columns: Columns of panels.
        height: Height in inches.
        width: Width in inches.
        options: As for ``Figure.subplots``, such as ``sharey``.

    Returns:
        The figure and its panels, row by row.

    Example:
        >>> len(drawing(2, 3, height=4)[1])
        6
    """
    figure = Drawing(figsize=(width, height), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, **options)
    return figure, list(panels.ravel())


def lines_of(names: Sequence[str], highlighted: str) -> dict[str, Line]:
    """Choose color and marker of every series; one is highlighted.

    Args:
        names: Series in order.
        highlighted: The one that readers look for.

    Example:
        >>> lines_of(["discard", "auto"], "auto")["auto"].color
        '#0072B2'
    """
    others = [name for name in names if name != highlighted]
    lines = {
        name: Line(_COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)], 1.2)
        for place, name in enumerate(others)
    }
    return {name: lines.get(name, Line(_HIGHLIGHT, "o", 2.0)) for name in names}


def error_bars(
    axes: Axes, x: Sequence[float], table: pd.DataFrame, value: str, line: Line, label: str, **options: Any
) -> None:
    """Draw a series with its intervals.

    Args:
        axes: Panel.
        x: Place of every row.
        table: One row a point: ``value``, ``value_low``, ``value_high``; what is undefined is not drawn.
        value: Column.
        line: How it looks.
        label: Name in the legend.
        options: As for ``Axes.errorbar``.

    Example:
        >>> table = pd.DataFrame({"auroc": [0.7], "auroc_low": [0.6], "auroc_high": [0.8]})
        >>> error_bars(drawing(1, 1, height=2)[1][0], [0.5], table, "auroc", Line("black", "o", 1.0), "one")
    """
    middle = table[value].to_numpy(dtype=float)
    ends = [middle - table[f"{value}_low"].to_numpy(dtype=float), table[f"{value}_high"].to_numpy(dtype=float) - middle]
    bars = {"elinewidth": 0.8, "capsize": 1.5, "linewidth": line.width} | options
    axes.errorbar(
        x, middle, yerr=[end.clip(min=0) for end in ends], color=line.color, marker=line.marker, label=label, **bars
    )
