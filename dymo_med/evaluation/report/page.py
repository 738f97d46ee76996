"""One HTML file made of headings, texts, tables and figures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dymo_med.utils import write_text

__all__ = ["Bar", "Block", "Facts", "Figure", "Heading", "Page", "Table", "Text"]


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Args:
        text: What it says.

    Example:
        >>> Text("Nothing is imputed.").kind
        'text'
    """

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading inside a section.

    Args:
        text: What it says.
        begins_page: Whether it begins a page when the whole is printed.

    Example:
        >>> Heading("Case 1").kind
        'heading'
    """

    kind: ClassVar[str] = "heading"
    text: str
    begins_page: bool = False


@dataclass(frozen=True)
class Bar:
    """A table cell with a bar behind its text.

    Args:
        share: Length of the bar from 0 to 1; None for no bar.
        text: What the cell says.

    Example:
        >>> Bar(0.25, "25 %").percent
        '25.0'
    """

    share: float | None
    text: str

    @property
    def percent(self) -> str:
        """Length as CSS takes it."""
        return f"{100 * (self.share or 0):.1f}"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption.

    Args:
        caption: What it shows.
        header: Titles of the columns; the first column holds the titles of the rows.
        rows: Cells, as many per row as there are titles; a line break in a cell stays. A row of one cell is a heading
            inside the table.
        note: What a reader must know, below the table.
        is_text: Whether cells hold sentences, which begin at the left and wrap, rather than figures.
        is_long: Whether it is set in two columns where there is room, for many short rows.

    Raises:
        ValueError: a row has another number of cells.

    Example:
        >>> Table(caption="Sizes", header=["split", "n"], rows=[["train", "40"]]).rows[0][1]
        '40'
    """

    kind: ClassVar[str] = "table"
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Bar]]
    note: str = ""
    is_text: bool = False
    is_long: bool = False

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) not in (1, len(self.header)):
                raise ValueError(
                    f"a row must have one cell for each of {len(self.header)} titles, however: row {number} of table "
                    f"{self.caption!r} has {len(row)}: complete it"
                )


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture with a caption and a text that stands for it.

    Args:
        caption: What it shows.
        image: SVG as text, or a PNG file as bytes.
        alternative: What the picture says, for readers who do not see it.

    Raises:
        ValueError: the image is neither SVG nor PNG, holds a script, or has no alternative.

    Example:
        >>> Figure(caption="A line", image="<svg><path d='M0 0h9'/></svg>", alternative="A line.").source
        Markup("<svg><path d='M0 0h9'/></svg>")
    """

    kind: ClassVar[str] = "figure"
    caption: str
    image: str | bytes
    alternative: str

    def __post_init__(self) -> None:
        if not self.alternative.strip():
            raise ValueError(f"a figure needs a text that stands for it, however: {self.caption!r} has none: write one")
        begin = self.image[:4]
        is_svg = isinstance(self.image, str) and self.image.startswith("<svg") and "<script" not in self.image.lower()
        if not is_svg and begin != b"\x89PNG":
            raise ValueError(
                f"a figure must be SVG text without a script or the bytes of a PNG file, however: {self.caption!r} "
                f"begins with {begin!r}: pass one of these"
            )

    @property
    def is_svg(self) -> bool:
        """Whether the image is part of the page rather than an embedded file."""
        return isinstance(self.image, str)

    @property
    def source(self) -> Markup:
        """SVG as it is, PNG as a data address."""
        if isinstance(self.image, str):
            return Markup(self.image)
        return Markup(f"data:image/png;base64,{base64.b64encode(self.image).decode('ascii')}")


@dataclass(frozen=True)
class Facts:
    """Names and values, such as versions and digests.

    Args:
        facts: Value by name.

    Example:
        >>> Facts({"version": "0.1"}).facts["version"]
        '0.1'
    """

    kind: ClassVar[str] = "facts"
    facts: Mapping[str, str]


Block = Text | Heading | Table | Figure | Facts


@dataclass(kw_only=True)
class Page:
    """A page that is written as one file: styles and images inside, no script, nothing loaded from elsewhere.

    Args:
        title: What the page is about.
        lead: One or two sentences below the title.
        banner: What a reader must not overlook, such as that the data are simulated; empty for none.

    Example:
        >>> page = Page(title="A cohort")
        >>> page.add("Sizes", Table(caption="Sizes", header=["split", "n"], rows=[["train", "40"]]))
        >>> page.html().count("<table"), "<script" in page.html()
        (1, False)
    """

    title: str
    lead: str = ""
    banner: str = ""
    _sections: list[tuple[str, tuple[Block, ...]]] = field(default_factory=list, init=False)

    def add(self, heading: str, *blocks: Block) -> None:
        """Add a section; one without blocks is left out."""
        if blocks:
            self._sections.append((heading, blocks))

    def html(self) -> str:
        """Give the whole page; the same content gives the same text."""
        content: dict[str, Any] = {
            "page": self,
            "sections": self._sections,
            "is_bar": lambda cell: isinstance(cell, Bar),
        }
        return _environment().get_template("page.html.j2").render(content)

    def write(self, path: str | Path) -> None:
        """Write the page as a whole or not at all."""
        write_text(path, self.html())


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dymo_med.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
