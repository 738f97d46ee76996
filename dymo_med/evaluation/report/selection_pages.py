"""Sections on the selection: what was fused, whether that was right, what rewards are worth, and regret."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dymo_med.evaluation.report.charts import AXIS_INK, Chart, drawing
from dymo_med.evaluation.report.page import Block, Table, Text
from dymo_med.evaluation.report.performance import sweep_chart
from dymo_med.evaluation.report.suppression import suppress
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.wording import Disclosure, estimate, number, withheld_or
from dymo_med.evaluation.selection_quality import candidates_of

__all__ = ["selection_blocks"]

NOTHING = "nothing fused"
_HATCHES = ("", "", "////", "....", "xxxx", "----")
_FUSED_COLORS = ("#d5dbe3", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_OUTCOMES = {
    ("fused", True): ("fused, rightly", "#0072B2", ""),
    ("fused", False): ("fused, wrongly", "#D55E00", "////"),
    ("rejected", True): ("kept out, rightly", "#9ecae1", ""),
    ("rejected", False): ("kept out, wrongly", "#fdbe85", "////"),
}
"""Hatched is wrong, dark is fused: told apart without colors, too."""
_ACCEPTED = {True: ("fused", "#0072B2"), False: ("kept out", "#b5bdc8")}
_N_BINS, _N_BINS_EXPORT = 30, 10
_N_TICKS = 5


def selection_blocks(results: SweepResults, disclosure: Disclosure) -> list[Block | Chart]:
    """Tell what was fused in which situation, how often rightly, what the reward foretold, and the regret.

    Args:
        results: The sweep.
        disclosure: What may be told. A subject counts once for every draw of its gaps, so counts of predictions are
            held against ``min_count`` times the number of missing patterns and seeds.
    """
    strategies = results.selecting_strategies
    decisions = results.decisions(strategies)
    cells = decisions[["mechanism", "rate", "seed"]].drop_duplicates()
    limit = Disclosure(1 if disclosure.min_count == 1 else disclosure.min_count * len(cells))
    per_pattern = Disclosure(1 if disclosure.min_count == 1 else disclosure.min_count * len(results.seeds))
    tried = candidates_of(decisions)
    blocks: list[Block | Chart] = [_fused_chart(decisions, strategies, limit)]
    if tried.empty:
        blocks.append(Text("Nothing was missing that a recovery could propose: there was nothing to select."))
    else:
        fusions = results.of_recovery("fusions")
        rewards = _reward_chart(tried, strategies, limit)
        worth = _worth_blocks(results.of_recovery("rewards"), strategies, limit)
        blocks.append(_outcome_chart(fusions, strategies, per_pattern))
        if disclosure.min_count == 1:  # sums over rates, less what one rate shows, would tell a rate that is withheld
            blocks.append(_outcome_table(fusions, strategies))
        blocks += [rewards, *worth]
    regret = sweep_chart(results, disclosure, "regret", "regret", "mean regret (loss)")
    return [*blocks, regret, _regret_table(results, disclosure)]


def _fused_chart(decisions: pd.DataFrame, strategies: Sequence[str], limit: Disclosure) -> Chart:
    counts = decisions.groupby(["strategy", "situation", "fused"], observed=True).size().unstack("fused", fill_value=0)
    counts = counts.rename(columns={"": NOTHING})
    names = [NOTHING, *(name for name in counts if name != NOTHING)]
    counts = counts.reindex(columns=names, fill_value=0)
    situations = sorted(set(counts.index.get_level_values("situation")), reverse=True)
    figure, axes = drawing(1, len(strategies), height=0.32 * len(situations) + 1.0, sharey=True)
    rows = []
    for panel, strategy in zip(axes, strategies, strict=True):
        panel.set(title=strategy, xlabel="share of predictions", xlim=(0, 1), ylim=(-0.6, len(situations) - 0.4))
        panel.grid(visible=False, axis="y")
        for place, situation in enumerate(situations):
            numbers = counts.loc[(strategy, situation)].to_numpy(dtype=np.int64)
            total = int(numbers.sum())
            hidden = suppress(
                np.append(numbers, total), [range(len(numbers) + 1)], limit.min_count, last=(len(numbers),)
            )
            left = 0.0
            for name, count, fill, is_hidden in zip(names, numbers, _fills(len(names)), hidden, strict=False):
                rows.append((strategy, situation, name, np.nan if is_hidden else count))
                if not is_hidden and not hidden[-1]:
                    panel.barh(place, count / total, left=left, height=0.7, **fill)
                    left += count / total
            if hidden.any():
                panel.barh(
                    place,
                    1 - left,
                    left=left,
                    color="white",
                    edgecolor=AXIS_INK,
                    hatch="///",
                    linewidth=0.5,
                    height=0.7,
                )
    axes[0].set_yticks(range(len(situations)), labels=situations)
    handles: list[Any] = [axes[0].barh(0, 0, **fill) for fill in _fills(len(names))]
    labels = [str(name) for name in names]
    if limit.min_count > 1:
        handles.append(axes[0].barh(0, 0, color="white", edgecolor=AXIS_INK, hatch="///", linewidth=0.5))
        labels.append("withheld")
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))
    return Chart(
        name="fused_by_situation",
        caption="What was fused in which situation, over all missing patterns. A situation is what was observed of "
        "each modality.",
        alternative=f"Bars of the share of predictions by what was fused, for {len(situations)} situations.",
        drawing=figure,
        data=pd.DataFrame(rows, columns=["strategy", "situation", "fused", "n"]),
        is_empty=not any(row[-1] > 0 for row in rows),
    )


def _fills(n: int) -> list[dict[str, Any]]:
    """Give color and hatch of each set that was fused."""
    return [
        {"color": _FUSED_COLORS[place % len(_FUSED_COLORS)], **_hatched(_HATCHES[place % len(_HATCHES)])}
        for place in range(n)
    ]


def _outcome_chart(fusions: pd.DataFrame, strategies: Sequence[str], limit: Disclosure) -> Chart:
    """Draw right and wrong decisions by mechanism, over all rates."""
    shown = fusions[fusions["strategy"].isin(strategies)]
    sums = shown.groupby(["strategy", "mechanism", "decision"], sort=False)[["n", "n_right"]].sum()
    counted = {key: (int(n), int(right)) for key, n, right in zip(sums.index, sums["n"], sums["n_right"], strict=True)}
    mechanisms = list(dict.fromkeys(shown["mechanism"]))[::-1]
    figure, axes = drawing(1, len(strategies), height=0.32 * len(mechanisms) + 1.0, sharey=True)
    rows = []
    for panel, strategy in zip(axes, strategies, strict=True):
        panel.set(title=strategy, xlabel="share of candidates", xlim=(0, 1), ylim=(-0.6, len(mechanisms) - 0.4))
        panel.grid(visible=False, axis="y")
        for place, mechanism in enumerate(mechanisms):
            counts = []
            for decision, is_right in _OUTCOMES:
                key = (strategy, mechanism, decision)
                n, n_right = counted.get(key, (0, 0))
                counts.append(n_right if is_right else n - n_right)
            total = sum(counts)
            is_hidden = limit.hides(*counts)
            left = 0.0
            for (title, color, hatch), count in zip(_OUTCOMES.values(), counts, strict=True):
                rows.append((strategy, mechanism, title, np.nan if is_hidden else count))
                if total and not is_hidden:
                    panel.barh(place, count / total, left=left, color=color, height=0.7, **_hatched(hatch))
                    left += count / total
            if is_hidden or not total:
                panel.text(0.02, place, "withheld" if is_hidden else "none tried", va="center", color=AXIS_INK)
    axes[0].set_yticks(range(len(mechanisms)), labels=mechanisms)
    handles: list[Any] = [axes[0].barh(0, 0, color=color, **_hatched(hatch)) for _, color, hatch in _OUTCOMES.values()]
    figure.legend(handles, [title for title, *_ in _OUTCOMES.values()], loc="outside upper center", ncols=4)
    return Chart(
        name="right_and_wrong_fusions",
        caption="Right and wrong decisions by missing pattern, over all rates. A fusion is right when it lowers the "
        "loss, or when the predicted class was right and stays so.",
        alternative="Bars of the shares of candidates that were fused or kept out, rightly or wrongly.",
        drawing=figure,
        data=pd.DataFrame(rows, columns=["strategy", "mechanism", "decision", "n"]),
        is_empty=not any(row[-1] > 0 for row in rows),
    )


def _hatched(hatch: str) -> dict[str, Any]:
    """Give the options of a bar with white strokes; hatches take the color of the edge."""
    return {"hatch": hatch, "edgecolor": "white", "linewidth": 0}


def _outcome_table(fusions: pd.DataFrame, strategies: Sequence[str]) -> Table:
    shown = fusions[fusions["strategy"].isin(strategies)].set_index(["mechanism", "rate", "strategy", "decision"])
    rows: list[list[str]] = []
    for mechanism in dict.fromkeys(fusions["mechanism"]):
        rows.append([str(mechanism)])
        for rate in sorted(fusions.loc[fusions["mechanism"] == mechanism, "rate"].unique()):
            keys = [(mechanism, rate, strategy, kind) for strategy in strategies for kind in ("fused", "rejected")]
            rows.append([f"{rate:g}", *(_outcome_cell(shown, key) for key in keys)])
    header = [f"{strategy}: {kind}" for strategy in strategies for kind in ("fused", "kept out")]
    note = "Number of candidates, and the share that was right with its 95 % interval (Wilson)."
    return Table(caption="Right decisions", header=["pattern and rate", *header], rows=rows, note=note)


def _outcome_cell(table: Any, key: tuple[Any, ...]) -> str:
    if key not in table.index:
        return "0"
    row = table.loc[key]
    low, high = 100 * row["share_right_low"], 100 * row["share_right_high"]
    return f"{row['n']:.0f}\n{100 * row['share_right']:.0f} % ({low:.0f} to {high:.0f})"


def _reward_chart(tried: pd.DataFrame, strategies: Sequence[str], limit: Disclosure) -> Chart:
    """Draw how rewards are distributed, apart by what was decided."""
    n_bins = _N_BINS if limit.min_count == 1 else _N_BINS_EXPORT
    low, high = np.quantile(tried["reward"].to_numpy(), [0.005, 0.995])
    edges = np.linspace(float(low), float(high), n_bins + 1)
    if edges[0] == edges[-1]:
        edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, n_bins + 1)
    figure, axes = drawing(1, len(strategies), height=2.5, sharey=True)
    rows = []
    for panel, strategy in zip(axes, strategies, strict=True):
        own = tried[tried["strategy"] == strategy]
        bottom = np.zeros(n_bins)
        for accepted, (title, color) in _ACCEPTED.items():
            reward = own.loc[own["accepted"] == accepted, "reward"].to_numpy()
            counts = np.histogram(reward.clip(edges[0], edges[-1]), edges)[0].astype(np.int64)
            shown = np.where(_hidden_bins(counts, limit), 0, counts)
            panel.bar(edges[:-1], shown, width=np.diff(edges), bottom=bottom, align="edge", color=color, label=title)
            bottom += shown
            rows += [(strategy, title, low, high, n) for low, high, n in zip(edges, edges[1:], shown, strict=False)]
        panel.axvline(0, color=AXIS_INK, linewidth=0.8, linestyle=":")
        panel.set(title=strategy, xlabel="reward")
        panel.xaxis.set_major_locator(MaxNLocator(_N_TICKS))
    axes[0].set_ylabel("candidates")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    withheld = " Bars of few candidates are left out." if limit.min_count > 1 else ""
    return Chart(
        name="rewards",
        caption=f"Rewards of all candidates that were tried; the outermost bars hold what lies beyond.{withheld}",
        alternative="Histograms of rewards, apart for candidates that were fused and that were kept out.",
        drawing=figure,
        data=pd.DataFrame(rows, columns=["strategy", "decision", "reward_from", "reward_to", "n"]),
        is_empty=not any(row[-1] for row in rows),
    )


def _hidden_bins(counts: NDArray[np.int64], limit: Disclosure) -> NDArray[np.bool_]:
    return suppress(np.append(counts, counts.sum()), [range(len(counts) + 1)], limit.min_count, last=(len(counts),))[
        :-1
    ]


def _worth_blocks(rewards: pd.DataFrame, strategies: Sequence[str], limit: Disclosure) -> list[Block | Chart]:
    """Hold rewards against the true fall of the loss."""
    figure, axes = drawing(1, len(strategies), height=2.7, sharex=True, sharey=True)
    rows, parts = [], []
    for panel, strategy in zip(axes, strategies, strict=True):
        own = rewards[(rewards["strategy"] == strategy)]
        own = own[~own["n"].map(limit.hides).astype(bool)]
        parts.append(own)
        panel.axhline(0, color=AXIS_INK, linewidth=0.8, linestyle=":")
        panel.axvline(0, color=AXIS_INK, linewidth=0.8, linestyle=":")
        ends = [own["gain"] - own["gain_low"], own["gain_high"] - own["gain"]]
        panel.errorbar(own["reward"], own["gain"], yerr=ends, marker="o", color="#0072B2", linewidth=1.4, capsize=1.5)
        panel.set(title=strategy, xlabel="mean reward of a tenth")
        panel.xaxis.set_major_locator(MaxNLocator(_N_TICKS))
        if len(own):
            first = own.iloc[0]
            rows.append(
                [
                    strategy,
                    f"{first['overall_n']:.0f}",
                    number(first["overall_spearman"]),
                    number(first["overall_auroc"]),
                ]
            )
    axes[0].set_ylabel("mean fall of the loss")
    columns = ["strategy", "reward", "gain", "gain_low", "gain_high"]
    chart = Chart(
        name="reward_calibration",
        caption="What a reward is worth: mean fall of the loss by a fusion, in tenths of the reward, with 95 % "
        "intervals of the mean. The reward sees no label. Upper right and lower left: the reward is right.",
        alternative="Mean fall of the loss against mean reward; the table holds rank correlations.",
        drawing=figure,
        data=pd.concat(parts)[columns],
        is_empty=not rows,
    )
    table = Table(
        caption="Reward against the true fall of the loss",
        header=["strategy", "candidates", "rank correlation", "AUROC of the reward for a fusion that helps"],
        rows=rows,
        note="Fusions that were not made count with the loss that they would have led to.",
    )
    return [chart, table] if rows else [chart]


def _regret_table(results: SweepResults, disclosure: Disclosure) -> Table:
    table = results.of_recovery("regret")
    rows: list[list[str]] = []
    for mechanism, patterns in table.groupby("mechanism", sort=False):
        rows.append([str(mechanism)])
        for rate, cells in patterns.groupby("rate"):
            own: Any = cells.set_index("strategy")
            texts = [
                withheld_or(estimate(own.loc[name], "regret"), is_hidden=disclosure.hides(own.loc[name, "n"]))
                for name in results.main_strategies
            ]
            rows.append([f"{rate:g}", *texts])
    note = (
        "Loss of a prediction less the lower of the losses of discard and fuse_all for the same subject: 0 is the "
        "better of the two each time, below 0 is better than both. 95 % bootstrap intervals."
    )
    return Table(caption="Mean regret", header=["pattern and rate", *results.main_strategies], rows=rows, note=note)
