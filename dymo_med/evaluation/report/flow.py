"""The flow diagram: from the download to the splits."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import escape

__all__ = ["FlowBox", "flow_diagram"]

_WIDTH = 960
_LINE = 19
_PAD = 12
_GAP = 34
_FONT = "font-family='system-ui, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif' font-size='14'"
_CHARACTER = 7.6  # mean width of the widest of these fonts


@dataclass(frozen=True)
class FlowBox:
    """A box of the diagram.

    Args:
        title: First line, in bold.
        lines: Further lines.

    Example:
        >>> FlowBox("Cohort: 40 subjects", ["30 with an image"]).title
        'Cohort: 40 subjects'
    """

    title: str
    lines: Sequence[str] = ()


def flow_diagram(source: FlowBox, excluded: FlowBox, included: FlowBox, splits: Sequence[FlowBox]) -> str:
    """Draw who came in, who was left out and why, and where the others went, as SVG.

    Args:
        source: Where all came from.
        excluded: Who was left out, one line per reason.
        included: Who is in.
        splits: Where they went, at least one box.

    Returns:
        SVG without width and height, to be scaled by the page.

    Raises:
        ValueError: there is no split.

    Example:
        >>> box = FlowBox("n = 1")
        >>> flow_diagram(box, box, box, [box, box]).count("<rect")
        5
    """
    if not splits:
        raise ValueError(
            f"a flow diagram ends in one split or more, however: {len(splits)} given: pass those of the cohort"
        )
    side, main = 500.0, 340.0
    main_x, side_x = 40.0, _WIDTH - side - 10
    source_box = _Drawn(source, main_x, 8, main)
    side_box = _Drawn(excluded, side_x, source_box.bottom + _GAP / 2, side)
    included_box = _Drawn(included, main_x, max(side_box.bottom, source_box.bottom + _GAP / 2) + _GAP / 2, main)
    top = included_box.bottom + 2 * _GAP
    width = min(290.0, (_WIDTH - 20 - 20 * (len(splits) - 1)) / len(splits))
    start = max(10.0, included_box.middle - (width * len(splits) + 20 * (len(splits) - 1)) / 2)
    split_boxes = [_Drawn(box, start + index * (width + 20), top, width) for index, box in enumerate(splits)]
    height = max(box.bottom for box in split_boxes) + 8
    bus = included_box.bottom + _GAP
    joint = side_box.top + side_box.height / 2
    arrows = [
        _arrow(f"M{source_box.middle:g} {source_box.bottom:g}V{included_box.top:g}"),
        _arrow(f"M{source_box.middle:g} {joint:g}H{side_box.left:g}"),
        *(
            _arrow(f"M{included_box.middle:g} {included_box.bottom:g}V{bus:g}H{box.middle:g}V{top:g}")
            for box in split_boxes
        ),
    ]
    boxes = [source_box, side_box, included_box, *split_boxes]
    return (
        f"<svg viewBox='0 0 {_WIDTH} {height:g}' xmlns='http://www.w3.org/2000/svg' {_FONT} fill='#1c2430'>"
        "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        "<path d='M0 0L8 4L0 8z' fill='#5a6675'/></marker></defs>"
        f"{''.join(arrows)}{''.join(box.svg() for box in boxes)}</svg>"
    )


class _Drawn:
    """A box with its place; the text decides the height."""

    def __init__(self, box: FlowBox, left: float, top: float, width: float) -> None:
        self.left, self.top, self.width = left, top, width
        n_characters = int((width - 2 * _PAD) / _CHARACTER)
        self._title = textwrap.wrap(box.title, int(n_characters * 0.92)) or [""]
        self._lines = [part for line in box.lines for part in textwrap.wrap(line, n_characters, subsequent_indent="  ")]
        self.height = 2 * _PAD + _LINE * (len(self._title) + len(self._lines)) - 4

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height

    @property
    def middle(self) -> float:
        """Horizontal middle."""
        return self.left + self.width / 2

    def svg(self) -> str:
        """Give rectangle and text."""
        rows = [(text, " font-weight='600'") for text in self._title] + [(text, "") for text in self._lines]
        texts = []
        for number, (text, weight) in enumerate(rows):
            indent = 12 if text.startswith("  ") else 0
            x, y = self.left + _PAD + indent, self.top + _PAD + 11 + number * _LINE
            texts.append(f"<text x='{x:g}' y='{y:g}'{weight}>{escape(text.strip())}</text>")
        place = f"x='{self.left:g}' y='{self.top:g}' width='{self.width:g}' height='{self.height:g}'"
        return f"<rect {place} rx='4' fill='#f4f6f9' stroke='#5a6675'/>{''.join(texts)}"


def _arrow(path: str) -> str:
    return f"<path d='{path}' fill='none' stroke='#5a6675' stroke-width='1.5' marker-end='url(#tip)'/>"
