"""The policy that is chosen on validation subjects, against every fixed one, on test subjects of simulated cohorts.

``make benchmark-policy-choice``; ``--help`` lists the options. A simulated download is divided anew for every seed;
bundles are trained with that seed at the sizes of ``small.yaml``, with three recoveries of the table, and swept. Every
stage is skipped where its files exist. Thresholds beside 0 are not swept: with one modality to recover, a greedy
selection is its first step, whose rewards and probabilities are in the predictions. Writes ``patterns.csv`` (every
pattern and seed), ``pooled.csv`` (means over seeds), ``recoveries.csv`` (each recovery alone and all in competition)
and ``policy_choice.json``. ``rules.csv`` compares ways to choose: all held-out subjects are divided into validation and
test subjects again and again, which costs no training.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.timing import machine
from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download
from dymo_med.evaluation.discrimination import delong
from dymo_med.evaluation.policy_choice import THRESHOLDS, choose_policy, policy_grid
from dymo_med.evaluation.selection_quality import losses_beyond_best, regret_rows
from dymo_med.inferers import Policy
from dymo_med.utils import ICSWeight, Strategy, atomic_path, read_json, write_json

ROOT = Path(__file__).parents[1]
BUNDLES = ROOT / "bundles"
TIP, CAD = "ukbb_cardiac_tip_pretraining", "ukbb_cardiac_cad_classification"
IMAGE = PhantomImageSize(n_slices=4, n_frames=12, rows=48, columns=48)
RATES = [0.0, 0.5, 1.0]
FRACTIONS = ["0.45", "0.2", "0.35"]
GREEDY = {ICSWeight.NONE: "greedy", ICSWeight.RATIO: "greedy_ratio", ICSWeight.LOG_RATIO: "greedy_log_ratio"}
FIXED = ["discard", "fuse_all", "simultaneous", *GREEDY.values()]
PATTERN = ["mechanism", "rate"]
KEYS = ["subject_id", *PATTERN, "seed"]
WHOLE_AT_ONE = ["random value", "random column", "most important columns", "least important columns"]
"""Mechanisms that hide the whole table at rate 1, as "whole table" does: that pattern counts once."""
RULES = {
    "one standard error, by situation": (1.0, True),
    "two errors, by situation": (2.0, True),
    "discard or fuse_all, by situation": (math.inf, True),
    "one standard error, for all": (1.0, False),
    "discard or fuse_all, for all": (math.inf, False),
}
"""Ways to choose: standard errors that a threshold must gain, and whether every situation has its own."""
GOAL = 0.005
"""How far below the better of discard and fuse_all the choice may fall (AUROC)."""


def configs(bundle: str, *names: str) -> str:
    """Name the configuration files of a bundle, as the command line takes them."""
    return str([str(BUNDLES / bundle / "configs" / name) for name in names])


def call(*words: object) -> None:
    """Run a command at the root of the repository."""
    subprocess.run(list(map(str, words)), check=True, cwd=ROOT)


def train(*words: object) -> None:
    """Run a bundle."""
    call(sys.executable, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", *words)


def prepare(folder: Path, n_subjects: int, seeds: Sequence[int], epochs: int) -> None:
    """Simulate, divide, pretrain and train; what exists stays."""
    download = folder / "download"
    if not (download / "participants.csv").exists():
        write_phantom_download(download, n_subjects=n_subjects, seed=11, image=IMAGE, n_workers=2)
    for seed in seeds:
        cohort, runs = folder / f"cohort-{seed}", folder / f"runs-{seed}"
        words: list[object] = [Path(sys.executable).with_name("dymo-med"), "prepare"]
        words += ["--tables", download / "participants.csv"]
        words += ["--images", download / "imaging", "--key-file", folder / "pseudonyms.key", "--seed", seed]
        words += ["--fractions", *FRACTIONS, "--data-kind", "simulated", "--output", cohort]
        if not (cohort / "cohort.json").exists():
            call(*words, "--image-size", 64, "--image-spacing", 2.6, "--n-workers", 2)
        common = ["--dataset_dir", cohort, "--seed", seed]
        tip = runs / "tip/models/tip.pt"
        if not tip.exists():
            names = configs(TIP, "train.yaml", "small.yaml")
            train(names, "--bundle_root", runs / "tip", *common)
        if not (runs / "cad/models/model.pt").exists():
            names = configs(CAD, "train.yaml", "recoveries_all.yaml", "small.yaml")
            train(names, "--bundle_root", runs / "cad", "--tip_file", tip, "--max_epochs", epochs, *common)


def sweep_of(folder: Path, seed: int, split: str) -> Path:
    """Sweep the validation or test subjects of a seed and give the file."""
    output = folder / f"runs-{seed}/sweep"
    path = output / split / "predictions.parquet"
    if not path.exists():
        from monai.bundle import ConfigWorkflow

        runs = folder / f"runs-{seed}"
        names = ["train.yaml", "sweep.yaml", "recoveries_all.yaml", "small.yaml"]
        work = ConfigWorkflow(
            [str(BUNDLES / CAD / "configs" / name) for name in names],
            workflow_type="train",
            logging_file=False,
            bundle_root=str(runs / "cad"),
            dataset_dir=str(folder / f"cohort-{seed}"),
            tip_file=str(runs / "tip/models/tip.pt"),
            output_dir=str(output),
            rates=RATES,
            ranking_subjects=64,
            mechanisms="$dict(list(usual_mechanisms(@column_ranking, @families).items())[:-1])",  # all but the image
            swept=f"$sweep(@fitted_network, @loaders::{split}, @output_dir + '/{split}', mechanisms=@mechanisms, "
            "rates=@rates, seeds=[1], recoveries=@recovery_sets, policies=@fixed_policies, temperature=@temperature)",
        )
        work.initialize()
        work.parser.get_parsed_content("swept")
    return path


def grid_of(predictions: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> pd.DataFrame:
    """Give the predictions of the whole grid of policies: greedy ones follow from the first step of any of them.

    Args:
        predictions: A sweep of one set of recoveries with discard, fuse_all and greedy of every weight, in which one
            modality alone is recovered.
        thresholds: Thresholds of the grid.
    """
    plain = [*KEYS, "label", "recovery", "situation"]
    tables = []
    for strategy in (Strategy.DISCARD, Strategy.FUSE_ALL):
        own = predictions.loc[predictions["strategy"] == str(strategy), [*plain, "probability"]]
        tables.append(own.assign(strategy=str(strategy)))
    alone = predictions[predictions["strategy"] == str(Strategy.DISCARD)].set_index(KEYS)["probability"]
    for form, name in GREEDY.items():
        own = predictions[predictions["strategy"] == name]
        best = [int(np.argmax(rewards)) if len(rewards) else -1 for rewards in own["rewards"]]
        reward = np.array([r[b] if b >= 0 else np.nan for r, b in zip(own["rewards"], best, strict=True)])
        after = np.array([p[b] if b >= 0 else np.nan for p, b in zip(own["probabilities_after"], best, strict=True)])
        before = alone.reindex(pd.MultiIndex.from_frame(own[KEYS])).to_numpy()
        for limit in thresholds:
            probability = np.where(reward > limit, after, before)
            tables.append(own[plain].assign(strategy=f"greedy {form.value} {limit}", probability=probability))
    return pd.concat(tables, ignore_index=True)


def decided_by(policy: Policy, grid: pd.DataFrame, policies: Mapping[str, Policy]) -> pd.DataFrame:
    """Take from the grid what a chosen policy predicts, situation by situation."""
    situations = grid["situation"].astype(str)
    wanted = {
        each: next(name for name, other in policies.items() if other == policy.in_situation(each))
        if policy.strategy == Strategy.GREEDY
        else str(policy.strategy)
        for each in situations.unique()
    }
    return grid[grid["strategy"] == situations.map(wanted)].assign(strategy="auto")


def chosen_by(rule: str, validation: pd.DataFrame, policies: Mapping[str, Policy]) -> Policy:
    """Choose on the grid of validation subjects."""
    errors, is_by_situation = RULES[rule]
    grid = validation if is_by_situation else validation.assign(situation="any")
    return choose_policy(grid, policies, standard_errors=errors).policy


def with_auto(validation: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, Policy]:
    """Choose on validation predictions of one set of recoveries; give the test predictions with the choice."""
    policies = policy_grid()
    policy = choose_policy(grid_of(validation), policies).policy
    auto = decided_by(policy, grid_of(test), policies)
    kept = [*KEYS, "label", "strategy", "probability"]
    return pd.concat([test[kept], auto[kept]], ignore_index=True), policy


def areas_of(made: pd.DataFrame, strategies: Sequence[str]) -> dict[str, Any]:
    """Give the AUROC of strategies on one pattern, and the choice minus the better of discard and fuse_all."""
    wide = made.pivot(index=["subject_id", "label"], columns="strategy", values="probability")[
        list(strategies)
    ].dropna()
    label = wide.index.get_level_values("label").to_numpy() == 1
    areas, covariance = delong(label, wide.to_numpy().T)
    area = dict(zip(strategies, areas, strict=True))
    better = max(("discard", "fuse_all"), key=lambda name: area[name])
    one, other = strategies.index("auto"), strategies.index(better)
    variance = max(covariance[one, one] + covariance[other, other] - 2 * covariance[one, other], 0.0)
    row = {"n": len(label), "n_positive": int(label.sum()), **area, "better": better}
    return row | {"difference": area["auto"] - area[better], "error": math.sqrt(variance)}


def hidden_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Take the patterns that hide something, each once."""
    is_again = (predictions["rate"] == 1) & predictions["mechanism"].isin(WHOLE_AT_ONE)
    return predictions[(predictions["rate"] > 0) & ~is_again]


def patterns_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Measure every pattern of one seed."""
    strategies = [*FIXED, "auto"]
    groups = hidden_of(predictions).groupby(PATTERN, sort=False, observed=True)
    return pd.DataFrame([dict(zip(PATTERN, key, strict=True)) | areas_of(rows, strategies) for key, rows in groups])


def pooled_of(patterns: pd.DataFrame) -> pd.DataFrame:
    """Average patterns over seeds; the error takes the test sets of seeds as independent, though subjects recur."""
    strategies = [*FIXED, "auto"]
    rows = []
    for key, own in patterns.groupby(PATTERN, sort=False, observed=True):
        mean = own[strategies].mean()
        better = max(("discard", "fuse_all"), key=lambda name: mean[name])
        row = dict(zip(PATTERN, key, strict=True)) | mean.to_dict() | {"better": better}
        error = math.sqrt(float((own["error"] ** 2).sum())) / len(own)
        rows.append(row | {"difference": mean["auto"] - mean[better], "error": error})
    return pd.DataFrame(rows)


def rules_of(predictions: pd.DataFrame, n_validation: int, n_draws: int) -> pd.DataFrame:
    """Measure rules over draws of the validation subjects, with everything else fixed.

    Args:
        predictions: A sweep of one set of recoveries over all held-out subjects.
        n_validation: How many of them choose; the others test.
        n_draws: Number of draws, stratified by label.

    Returns:
        One row a draw, rule and pattern: AUROC of ``auto``, ``discard`` and ``fuse_all`` on the test subjects.
    """
    policies = policy_grid()
    grid = grid_of(predictions)
    label = grid.drop_duplicates("subject_id").set_index("subject_id")["label"]
    rows = []
    for draw in range(n_draws):
        _, chosen = train_test_split(
            label.index.to_numpy(dtype=object), test_size=n_validation, stratify=label, random_state=draw
        )
        is_validation = grid["subject_id"].isin(chosen)
        validation, test = grid[is_validation], grid[~is_validation]
        fixed = test[test["strategy"].isin(["discard", "fuse_all"])]
        for rule in RULES:
            made = pd.concat([fixed, decided_by(chosen_by(rule, validation, policies), test, policies)])
            for key, own in hidden_of(made).groupby(PATTERN, sort=False, observed=True):
                areas = areas_of(own, ["discard", "fuse_all", "auto"])
                rows.append({"draw": draw, "rule": rule} | dict(zip(PATTERN, key, strict=True)) | areas)
    return pd.DataFrame(rows)


def rules_summary(draws: pd.DataFrame) -> pd.DataFrame:
    """Say how far each rule stays below the better of discard and fuse_all, which is the better one on average."""
    strategies = ["discard", "fuse_all", "auto"]
    mean = draws.groupby(["rule", *PATTERN], sort=False, observed=True)[strategies].mean()
    fixed = draws[["discard", "fuse_all"]]
    better = draws.join(mean[["discard", "fuse_all"]].idxmax(axis=1).rename("mean_better"), on=["rule", *PATTERN])
    reference = fixed["discard"].where(better["mean_better"] == "discard", fixed["fuse_all"])
    below = draws.assign(difference=draws["auto"] - reference)
    groups = below.groupby("rule", sort=False)["difference"]
    by_pattern = below.groupby(["rule", *PATTERN], sort=False, observed=True)["difference"].mean().groupby("rule")
    table = pd.DataFrame(
        {
            "mean_difference": groups.mean(),
            "lowest_mean_of_a_pattern": by_pattern.min(),
            "patterns_within_goal": by_pattern.apply(lambda values: float((values >= -GOAL).mean())),
            "draws_within_goal": groups.apply(lambda values: float((values >= -GOAL).mean())),
            "lowest_twentieth_of_draws": groups.quantile(0.05),
        }
    )
    return table.loc[list(dict.fromkeys(draws["rule"]))].rename_axis("rule").reset_index()


def recoveries_of(parts: Mapping[int, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Compare recoveries by mechanism over rates: AUROC (mean over rates and seeds), and regret against one reference.

    The regret of all is beyond the better of discard and fuse_all by the first recovery, so that they can be compared.
    """
    frames = []
    for seed, by_set in parts.items():
        first = next(iter(by_set.values()))
        frames.append(first[first["strategy"].isin(["discard", "fuse_all"])].assign(draw=seed))
        for name, table in by_set.items():
            for strategy in ("greedy", "auto"):
                own = table[table["strategy"] == strategy]
                frames.append(own.assign(draw=seed, strategy=f"{strategy}, {name}"))
    together = hidden_of(pd.concat(frames, ignore_index=True)).dropna(subset="probability")
    together["subject_id"] = together["draw"].astype(str) + " " + together["subject_id"].astype(str)
    losses, strategies = losses_beyond_best(together, [*PATTERN, "seed"], [])
    rows = []
    for mechanism, own in losses.groupby("mechanism", sort=False, observed=True):
        cells = together[together["mechanism"] == mechanism].groupby(["rate", "draw"], observed=True)
        areas = []
        for _, cell in cells:
            wide = cell.pivot(index=["subject_id", "label"], columns="strategy", values="probability")[strategies]
            areas.append(delong(wide.index.get_level_values("label").to_numpy() == 1, wide.to_numpy().T)[0])
        means = dict(zip(strategies, np.mean(areas, axis=0), strict=True))
        for row in regret_rows(own, strategies):
            rows.append({"mechanism": mechanism} | row | {"auroc": means[row["strategy"]]})
    return pd.DataFrame(rows)


def summary_of(patterns: pd.DataFrame) -> dict[str, Any]:
    """Say how close the choice comes."""
    worst = patterns.loc[patterns["difference"].idxmin()]
    ends = {name: patterns["auto"] - patterns[name] for name in FIXED}
    return {
        "patterns": len(patterns),
        "within_goal": int((patterns["difference"] >= -GOAL).sum()),
        "error_larger_than_goal": int((patterns["error"] > GOAL).sum()),
        "worst": {key: worst[key] for key in (*PATTERN, "difference", "error")},
        "mean_difference": float(patterns["difference"].mean()),
        "mean_over_fixed": {name: float(values.mean()) for name, values in ends.items()},
        "lowest_over_fixed": {name: float(values.min()) for name, values in ends.items()},
    }


def study(folder: Path, seeds: Sequence[int], n_draws: int) -> dict[str, Any]:
    """Evaluate the seeds whose bundles are trained, and write the tables."""
    patterns, draws, policies = [], [], {}
    parts: dict[int, dict[str, pd.DataFrame]] = {}
    for seed in seeds:
        validation, test = (pd.read_parquet(sweep_of(folder, seed, split)) for split in ("validation", "test"))
        parts[seed] = {}
        for name in dict.fromkeys(test["recovery"].astype(str)):
            own, policy = with_auto(*(table[table["recovery"] == name] for table in (validation, test)))
            parts[seed][name] = own
            policies[f"{seed} {name}"] = policy.to_record()
        name, first = next(iter(parts[seed].items()))
        patterns.append(patterns_of(first).assign(study_seed=seed))
        held_out = pd.concat([table[table["recovery"] == name] for table in (validation, test)])
        draws.append(rules_of(held_out, validation["subject_id"].nunique(), n_draws).assign(study_seed=seed))
    everything = pd.concat(patterns, ignore_index=True)
    tables = {"patterns": everything, "pooled": pooled_of(everything), "recoveries": recoveries_of(parts)}
    tables["rules"] = pd.concat([rules_summary(own).assign(study_seed=own["study_seed"].iloc[0]) for own in draws])
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.csv") as path:
            table.to_csv(path, index=False)
    result = {
        "seeds": list(seeds),
        "by_seed": summary_of(everything),
        "pooled": summary_of(tables["pooled"]),
        "policies": policies,
    }
    write_json(folder / "policy_choice.json", {"machine": machine(), **json.loads(json.dumps(result, default=float))})
    return read_json(folder / "policy_choice.json")


def main(arguments: list[str] | None = None) -> None:
    """Prepare, evaluate, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/policy_choice"))
    parser.add_argument("--subjects", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=12, help="of the classifier (%(default)s)")
    parser.add_argument("--draws", type=int, default=20, help="of validation subjects, to compare rules (%(default)s)")
    parser.add_argument("--evaluate-only", action="store_true", help="take the trained bundles that are there")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if not options.evaluate_only:
        prepare(folder, options.subjects, options.seeds, options.epochs)
    print(json.dumps(study(folder, options.seeds, options.draws), indent=2))


if __name__ == "__main__":
    main()
