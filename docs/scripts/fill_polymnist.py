"""Put the figures of a finished comparison into docs/polymnist.md, between the marks that stand there."""

import argparse
from pathlib import Path

import pandas as pd
from fill_readme import fill

STRATEGIES = {
    "discard": "discard",
    "fuse_all": "fuse all",
    "simultaneous": "S",
    "greedy": "I",
    "greedy_ics": "I+C",
    "moddrop": "ModDrop",
}
MODELS = {"cosine": "cosine", "squared_euclidean": "squared Euclidean"}
PATTERNS = ["eta 0.2", "eta 0.4", "eta 0.6", "eta 0.8"]


def cell(row: pd.Series, name: str, sign: str) -> str:
    value, low, high = (100 * row[part] for part in (name, f"{name}_low", f"{name}_high"))
    return "" if pd.isna(value) else f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def accuracy_table(summary: pd.DataFrame) -> str:
    """One row a model and strategy, one column an eta, the paper's figure and the difference to discard at eta 0.8."""
    head = ["metric", "strategy", *PATTERNS, "eta 0.8, minus discard", "paper, eta 0.8"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (model, strategy), rows in summary.groupby(["model", "strategy"], sort=False):
        by = rows.set_index("pattern")
        last = by.loc[PATTERNS[-1]]
        cells = [f"{100 * by.accuracy[pattern]:.1f}" for pattern in PATTERNS[:-1]] + [cell(last, "accuracy", "")]
        paper = "" if pd.isna(last["published"]) else f"{100 * last['published']:.1f}"
        name = "" if model == strategy else MODELS[model]
        lines.append(
            f"| {name} | {STRATEGIES[strategy]} | {' | '.join(cells)} | {cell(last, 'difference', '+')} | {paper} |"
        )
    return "\n".join(lines)


def reward_table(runs: Path) -> str:
    """Reward against what fusing did to the loss, by recovered modality; means over seeds."""
    files = sorted(runs.glob("seed*/cosine/eval/evaluate/rewards.csv"))
    rewards = pd.concat([pd.read_csv(path) for path in files])
    chosen = rewards[(rewards["pattern"] == PATTERNS[-1]) & (rewards["strategy"] == "greedy")]
    means = chosen.groupby("modality").mean(numeric_only=True)
    lines = [
        "| recovered | mean reward | mean fall of the cross-entropy, nats | rank correlation | positive rewards | "
        "loss fell, reward positive | loss fell, otherwise |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in means.iterrows():
        shares = [f"{100 * row[each]:.0f} %" for each in ("share_positive", "helped_if_positive", "helped_otherwise")]
        figures = [f"{row[each]:+.2f}" for each in ("mean_reward", "mean_loss_drop", "rank_correlation")]
        lines.append(f"| {name} | {' | '.join(figures)} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/polymnist"), help="output of the workflow")
    parser.add_argument("--page", type=Path, default=Path("docs/polymnist.md"))
    arguments = parser.parse_args()
    summary = pd.read_csv(arguments.runs / "summary.csv")
    fill(arguments.page, {"accuracy": accuracy_table(summary), "rewards": reward_table(arguments.runs)})


if __name__ == "__main__":
    main()
