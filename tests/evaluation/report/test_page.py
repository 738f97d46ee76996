"""Pages stand alone, hold what was put in, and can be read by all."""

import re
from html.parser import HTMLParser

import pytest

from dymo_med.evaluation.report import Bar, Facts, Figure, Page, Table, Text
from dymo_med.evaluation.report.flow import FlowBox, flow_diagram

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SVG = "<svg viewBox='0 0 9 9'><path d='M0 0h9'/></svg>"


class Reader(HTMLParser):
    """Elements in order, checks that each that must end does, and the text."""

    VOID = frozenset({"meta", "img", "link", "br", "path", "rect"})

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"] and data.strip():
            self.texts.append(" ".join(data.split()))


def page():
    made = Page(title="A <cohort> & more", lead="Lead.", banner="Simulated data")
    table = Table(
        caption="Sizes",
        header=["group", "n"],
        rows=[["Heading"], ["a < b", Bar(0.5, "50 %")], ["c", "7"]],
        note="A note.",
    )
    made.add("First", Text("A text with <b>markup</b>."), table)
    made.add("Empty")
    made.add("Second", Figure(caption="Drawn", image=SVG, alternative="A line"), Facts({"version": "0.1"}))
    made.add("Third", Figure(caption="Photo", image=PNG, alternative='Dots "x"'))
    return made


def test_everything_is_there_and_escaped():
    read = Reader(page().html())
    assert {"A <cohort> & more", "Lead.", "Simulated data", "A text with <b>markup</b>.", "a < b", "50 %"} <= set(
        read.texts
    )
    assert {"Sizes", "A note.", "Drawn", "Photo", "version", "0.1"} <= set(read.texts)
    assert [tag for tag, _ in read.elements].count("section") == 3
    assert "Empty" not in read.texts


def test_page_loads_nothing_and_runs_nothing():
    text = page().html()
    read = Reader(text)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"script", "link", "iframe", "object", "form", "video"}
    addresses = [
        value for _, attributes in read.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert not re.search(r"url\((?!#)|@import|\bon\w+=|javascript:", text)
    (policy,) = [a["content"] for tag, a in read.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_page_can_be_heard():
    read = Reader(page().html())
    first_of = dict(reversed(read.elements))
    assert first_of["html"]["lang"] == "en"
    assert first_of["img"]["alt"] == 'Dots "x"'
    assert [a["aria-label"] for tag, a in read.elements if a.get("role") == "img"] == ["A line"]
    assert sum(tag == "caption" for tag, _ in read.elements) == sum(tag == "table" for tag, _ in read.elements) == 1
    scopes = [attributes["scope"] for tag, attributes in read.elements if tag == "th"]
    assert scopes == ["col", "col", "rowgroup", "row", "row"]
    headings = [tag for tag, _ in read.elements if re.fullmatch(r"h\d", tag)]
    assert headings == ["h1", "h2", "h2", "h2"]
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for tag, a in read.elements if tag == "a"} <= set(ids)


def test_page_can_be_printed():
    assert "@media print" in page().html()


def test_same_content_same_bytes_and_whole_or_absent(tmp_path):
    page().write(tmp_path / "a.html")
    page().write(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_refusals():
    with pytest.raises(ValueError, match="one cell for each of 2 titles, however: row 1 of table 'T' has 3"):
        Table(caption="T", header=["a", "b"], rows=[["x", "y"], ["x", "y", "z"]])
    with pytest.raises(ValueError, match="needs a text that stands for it, however: 'F' has none"):
        Figure(caption="F", image=SVG, alternative=" ")
    for image in ("<p>", b"GIF8", "<svg><script>1</script></svg>"):
        with pytest.raises(
            ValueError, match="must be SVG text without a script or the bytes of a PNG file, however: 'F'"
        ):
            Figure(caption="F", image=image, alternative="x")


def test_bars_have_the_length_of_their_share():
    text = page().html()
    assert re.findall(r"width:([\d.]+)%\"></i><span>50 %", text) == ["50.0"]
    assert Bar(None, "x").percent == "0.0"


@pytest.mark.parametrize("n_splits", [1, 2, 3, 5])
def test_boxes_of_the_flow_do_not_overlap_and_hold_their_text(n_splits):
    long = ["a reason of many words that says why somebody was left out <and> where: 12"] * 7
    splits = [FlowBox(f"split{at}: 10", ["image and table: 5", "image only: 5"]) for at in range(n_splits)]
    svg = flow_diagram(FlowBox("In: 99", ["one line"]), FlowBox("Out: 9", long), FlowBox("Cohort: 90"), splits)
    places = r"<rect x='([\d.]+)' y='([\d.]+)' width='([\d.]+)' height='([\d.]+)'"
    boxes = [tuple(map(float, found)) for found in re.findall(places, svg)]
    assert len(boxes) == 3 + n_splits
    height = float(re.search(r"viewBox='0 0 960 ([\d.]+)'", svg)[1])
    for at, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert x + w <= 960
        assert y + h <= height
        for u, v, s, t in boxes[:at]:
            assert x >= u + s or u >= x + w or y >= v + t or v >= y + h
    texts = re.findall(r"<text x='([\d.]+)' y='([\d.]+)'[^>]*>([^<]*)<", svg)
    assert "&lt;and&gt;" in svg
    for x, y, text in texts:
        assert any(
            u < float(x) and v < float(y) < v + t and float(x) + 7.4 * len(text) < u + s + 8 for u, v, s, t in boxes
        ), text


def test_flow_needs_a_split():
    with pytest.raises(ValueError, match="ends in one split or more, however: 0 given"):
        flow_diagram(FlowBox("a"), FlowBox("b"), FlowBox("c"), [])
