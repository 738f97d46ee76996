"""Draw the reward of recovered pictures against the true fall of the loss, modality by modality, over all seeds."""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from dymo_med.evaluation import first_candidates, reward_calibration

CLASSES = [str(digit) for digit in range(10)]
WEIGHTS = {"greedy": "reward without ICS", "greedy_ics": "reward with ICS"}


def read(runs: Path, model: str, pattern: str) -> pd.DataFrame:
    files = sorted(runs.glob(f"seed*/{model}/eval/evaluate/decisions.jsonl"))
    tried = pd.concat([first_candidates(path, CLASSES) for path in files])
    return tried[tried["pattern"] == pattern].rename(columns={"loss_drop": "gain"})


def draw(tried: pd.DataFrame, output: Path) -> None:
    names = sorted(tried["modality"].unique())
    figure, axes = plt.subplots(
        len(WEIGHTS), len(names), figsize=(2.2 * len(names), 4.6), sharex="row", sharey=True, layout="constrained"
    )
    for row, (strategy, title) in zip(axes, WEIGHTS.items(), strict=True):
        for axis, name in zip(row, names, strict=True):
            own = tried[(tried["strategy"] == strategy) & (tried["modality"] == name)]
            groups, overall = reward_calibration(own, n_groups=8)
            axis.axhline(0, color="#bbbbbb", linewidth=0.8)
            axis.axvline(0, color="#bbbbbb", linewidth=0.8)
            width = [groups["gain"] - groups["gain_low"], groups["gain_high"] - groups["gain"]]
            axis.errorbar(groups["reward"], groups["gain"], yerr=width, fmt="o-", markersize=3, color="#1b7f5c")
            axis.set_title(f"{name}, rank correlation {overall['spearman']:.2f}", fontsize=7)
            axis.tick_params(labelsize=6)
            axis.set_yscale("symlog", linthresh=0.1)
        row[0].set_ylabel("mean fall of the cross-entropy (nats)", fontsize=6)
        for axis in row:
            axis.set_xlabel(title, fontsize=7)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/polymnist"), help="output of the workflow (%(default)s)"
    )
    parser.add_argument("--model", default="cosine", help="folder of the classifier (%(default)s)")
    parser.add_argument("--pattern", default="eta 0.8", help="what was missing (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    arguments = parser.parse_args()
    draw(read(arguments.runs, arguments.model, arguments.pattern), arguments.output)


if __name__ == "__main__":
    main()
