"""Draw what the demonstration decided for four simulated patients whose table is missing or incomplete."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from dymo_med.data.cohort import Cohort

FUSED, KEPT_OUT = "#1b7f5c", "#b0413e"


def choose(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two patients whose recovered table was fused and two for whom it was not, rewards farthest from zero first."""
    tried = [record for record in records if record.get("steps") and record["observed"]["image"] == 1]
    tried.sort(key=lambda record: record["steps"][0]["candidates"][0]["reward"])
    fused = [record for record in reversed(tried) if record["fused"]]
    kept_out = [record for record in tried if not record["fused"]]
    return fused[:2] + kept_out[:2]


def draw(records: list[dict[str, Any]], cohort: Cohort, output: Path) -> None:
    size = (3.1 * len(records), 4.9)
    figure, axes = plt.subplots(2, len(records), figsize=size, height_ratios=[3, 1], layout="constrained")
    for (above, below), record in zip(axes.T, records, strict=True):
        step = record["steps"][0]
        candidate = step["candidates"][0]
        above.imshow(cohort.read_image(record["subject_id"])[2].T, cmap="gray", vmin=0, vmax=1)
        above.set_axis_off()
        share = record["observed"]["table"]
        above.set_title("table missing" if share == 0 else f"{100 * share:.0f} % of the table observed", fontsize=10)
        positive = list(step["before"]["probabilities"])[-1]
        values = [step["before"]["probabilities"][positive], candidate["probabilities"][positive]]
        color = FUSED if candidate["accepted"] else KEPT_OUT
        below.barh([1, 0], values, color=["#888888", color], height=0.6)
        below.set(yticks=[1, 0], yticklabels=["observed", "+ recovered"], xlim=(0, 1))
        below.set_xlabel("probability of CAD", fontsize=8)
        below.tick_params(labelsize=8)
        verdict = "fused" if candidate["accepted"] else "not fused"
        below.set_title(f"reward {candidate['reward']:+.3f}: {verdict}", color=color, fontsize=10)
    figure.suptitle("Simulated patients: is the recovered table worth fusing?", fontsize=12)
    figure.savefig(output, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="folder that `make demo` wrote")
    parser.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    arguments = parser.parse_args()
    lines = (arguments.demo / "cad/eval/inference/decisions.jsonl").read_text(encoding="utf-8").splitlines()
    draw(choose([json.loads(line) for line in lines]), Cohort(arguments.demo / "new_cohort"), arguments.output)


if __name__ == "__main__":
    main()
