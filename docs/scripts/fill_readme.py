"""Put the figures of a finished demonstration into README.md, between the marks that stand there."""

import argparse
import re
from pathlib import Path

import pandas as pd

STRATEGIES = ["discard", "fuse_all", "simultaneous", "greedy", "greedy_ics"]
WIDTH = 118


def comparison_table(path: Path) -> str:
    """Make a Markdown table of a comparison, one row a pattern."""
    rows = [
        "| hidden | discard | fuse_all | simultaneous | greedy | greedy with ICS | greedy not as fuse_all |",
        "|---|---|---|---|---|---|---|",
    ]
    for pattern, group in pd.read_csv(path).groupby("pattern", sort=False):
        by = group.set_index("strategy")
        cells = [f"{by.auroc[name]:.3f} ({by.auroc_low[name]:.3f} to {by.auroc_high[name]:.3f})" for name in STRATEGIES]
        share = f"{100 * by.share_not_fuse_all['greedy']:.0f} %"
        rows.append(f"| {str(pattern).removesuffix(' hidden')} | {' | '.join(cells)} | {share} |")
    return "\n".join(rows)


def fill(path: Path, parts: dict[str, str]) -> None:
    """Put texts between their marks in a page."""
    text = path.read_text(encoding="utf-8")
    for name, content in parts.items():
        marked = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        text = re.sub(marked, lambda found, new=content: found[1] + new + found[2], text, flags=re.DOTALL)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder that `make demo` wrote")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    arguments = parser.parse_args()
    lines = (arguments.demo / "cad/eval/inference/summary.txt").read_text(encoding="utf-8").rstrip().splitlines()
    summary = [line if len(line) <= WIDTH else line[: WIDTH - 3] + "..." for line in lines]
    parts = {
        "summary": "\n".join(["```", *summary, "```"]),
        "comparison": comparison_table(arguments.demo / "cad/eval/evaluate/comparison.csv"),
    }
    fill(arguments.readme, parts)


if __name__ == "__main__":
    main()
