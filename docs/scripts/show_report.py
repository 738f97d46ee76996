"""Draw the picture of docs/evaluation.md: pages of a report as they are printed, by a headless Chromium.

    python docs/scripts/show_report.py report.html docs/figures/report.png --pages 1 15 17 22

Needs the programs chromium and pdftoppm.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

RESOLUTION, GAP, COLORS = 70, 6, 128


def print_page(report: Path, pdf: Path) -> None:
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    subprocess.run([*words, f"--print-to-pdf={pdf}", report.resolve().as_uri()], check=True, capture_output=True)


def show(pdf: Path, page: int) -> Image.Image:
    stem = pdf.with_name(f"page{page}")
    words = ["pdftoppm", "-png", "-r", str(RESOLUTION), "-f", str(page), "-l", str(page), "-singlefile"]
    subprocess.run([*words, str(pdf), str(stem)], check=True)
    with Image.open(stem.with_suffix(".png")) as image:
        return image.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pages", type=int, nargs="+", default=[1], help="numbers of printed pages, side by side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pdf = Path(folder) / "report.pdf"
        print_page(arguments.report, pdf)
        pages = [show(pdf, page) for page in arguments.pages]
    width, height = pages[0].size
    sheet = Image.new("RGB", (len(pages) * (width + GAP) - GAP, height), "#8a94a3")
    for place, page in enumerate(pages):
        sheet.paste(page, (place * (width + GAP), 0))
    sheet.quantize(COLORS).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
