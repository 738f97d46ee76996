"""What a sweep left behind, read for its report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.inputs import check_predictions
from dymo_med.evaluation.sweep import PREDICTIONS_FILE
from dymo_med.evaluation.sweep.stages import TABLES_FILE
from dymo_med.inferers import Policy
from dymo_med.networks.calibration import Calibration, for_patients, read_calibration
from dymo_med.utils import Strategy, load_weights, read_json

__all__ = ["AUTO", "SweepResults"]

AUTO = "auto"
"""Name of the policy that was chosen on validation subjects."""
_TABLES = (
    "sweep", "figures", "calibration", "fusions", "regret", "rewards", "subgroups", "references", "fusions_by_group",
    "regret_by_group", "rewards_by_group",
)  # fmt: skip
_MAIN = (Strategy.DISCARD, Strategy.FUSE_ALL, Strategy.GREEDY, AUTO)
_LISTS = ("candidates", "rewards", "probabilities_before", "probabilities_after", "accepted")
_CELL = ("mechanism", "rate", "seed", "strategy")
_PLAIN = (
    "subject_id",
    "label",
    "mechanism",
    "rate",
    "seed",
    "recovery",
    "strategy",
    "situation",
    "probability",
    "fused",
)


@dataclass(frozen=True)
class SweepResults:
    """Tables, predictions and settings of a sweep over test subjects, with the cohort they are of.

    Args:
        folder: Folder of the sweep (``eval/sweep``).
        cohort: Cohort that was swept.
        model_dir: Folder with ``policy.json``, ``calibration.json``, the weights ``model.pt`` and their record
            ``model.json``; the last two may be absent.

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: the sweep is of another cohort.
    """

    folder: Path
    cohort: Cohort
    model_dir: Path

    def __post_init__(self) -> None:
        names = [self.folder / TABLES_FILE, *(self.folder / f"{name}.csv" for name in _TABLES)]
        names += [self.predictions_file, self.model_dir / "policy.json", self.model_dir / "calibration.json"]
        absent = [path.name for path in names if not path.is_file()]
        if absent:
            raise FileNotFoundError(
                f"a report needs all files of a finished sweep, however: {absent} absent: run sweep.yaml"
            )
        swept = self.policy_record.get("about", {}).get("cohort")
        if swept != self.cohort.digest:
            raise ValueError(
                f"a report needs the cohort that was swept, however: digest {self.cohort.digest[:12]}, swept "
                f"{str(swept)[:12]}: pass that one, or sweep again"
            )

    @property
    def predictions_file(self) -> Path:
        """Predictions of test subjects."""
        return self.folder / "test" / PREDICTIONS_FILE

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by name; reasons that are empty are empty text."""
        tables = {}
        for name in _TABLES:
            try:
                table = pd.read_csv(self.folder / f"{name}.csv", dtype={"reason": "str"}, converters={"group": str})
            except pd.errors.EmptyDataError:  # nothing was ever tried: there is not even a header
                table = pd.DataFrame()
            tables[name] = table.fillna({"reason": ""}) if "reason" in table else table
        return tables

    @cached_property
    def min_count(self) -> int:
        """Limit for small counts that tables by subgroup were made with."""
        return int(read_json(self.folder / TABLES_FILE)["min_count"])

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Mechanisms, cells, recoveries and policies of the sweep."""
        content: Mapping[str, Any] = read_json(self.predictions_file.with_name("sweep.json"))
        return content

    @cached_property
    def policy_record(self) -> Mapping[str, Any]:
        """The chosen policy with its evidence."""
        content: Mapping[str, Any] = read_json(self.model_dir / "policy.json")
        return content

    @cached_property
    def policy(self) -> Policy:
        """The chosen policy."""
        return Policy.from_record(self.policy_record["policy"])

    @cached_property
    def calibration(self) -> Calibration:
        """Calibration of probabilities that was fitted on validation subjects."""
        return read_calibration(self.model_dir / "calibration.json")

    @cached_property
    def prevalence_shift(self) -> Calibration | None:
        """Shift from the prevalence that the weights learned to that of the validation subjects.

        None where one of the two is unknown, or where both are the same.
        """
        weights = self.model_dir / "model.pt"
        state = load_weights(weights) if weights.is_file() else {}
        learned = state.get("statistics.learned_prevalence", torch.tensor([torch.nan])).tolist()
        n, n_positive = (self.calibration.evidence.get(name, 0) for name in ("n", "n_positive"))
        if any(map(math.isnan, learned)) or not 0 < n_positive < n:
            return None
        target = [(n - n_positive) / n, n_positive / n]
        return None if np.allclose(learned, target, atol=0.005) else for_patients(learned, target=target)

    @property
    def task(self) -> str:
        """Label that was predicted."""
        return str(self.policy_record["about"]["task"])

    @property
    def outcome(self) -> str:
        """What class 1 is called; the task where nobody said."""
        return str(self.policy_record["about"].get("positive_class", self.task))

    @property
    def recovery(self) -> str:
        """Set of recoveries that figures are about unless they compare sets: the first."""
        return str(self.tables["sweep"]["recovery"].iloc[0])

    @property
    def strategies(self) -> list[str]:
        """Strategies in the order of the sweep."""
        return list(dict.fromkeys(self.tables["sweep"]["strategy"]))

    @property
    def main_strategies(self) -> list[str]:
        """Strategies that figures show: neither, both, the paper's and the chosen one."""
        return [str(name) for name in _MAIN if name in self.strategies]

    @property
    def selecting_strategies(self) -> list[str]:
        """Strategies that figures of the selection show: the paper's and the chosen one."""
        return [name for name in self.main_strategies if name not in (Strategy.DISCARD, Strategy.FUSE_ALL)]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the draws of the gaps."""
        return sorted({int(cell[2]) for cell in self.settings["cells"]})

    def of_recovery(self, name: str) -> pd.DataFrame:
        """Give the rows of a table that are about :attr:`recovery`."""
        table = self.tables[name]
        return table[table["recovery"] == self.recovery]

    def decisions(self, strategies: Sequence[str]) -> pd.DataFrame:
        """Give every prediction by some strategies with the candidates that were tried.

        Raises:
            ValueError: a column or a label is absent, a subject occurs twice, or a probability is nan though something
                was observed.
        """
        return self._read([("strategy", "in", list(strategies))], [*_PLAIN, *_LISTS])

    def nothing_hidden(self, strategy: str) -> pd.DataFrame:
        """Give the predictions by a strategy with the gaps that subjects have by nature, one row a subject."""
        mechanism, _, seed = self.settings["cells"][0]
        where = [
            ("strategy", "==", strategy),
            ("rate", "==", 0.0),
            ("mechanism", "==", mechanism),
            ("seed", "==", seed),
        ]
        return self._read(where, list(_PLAIN))

    def first_draw(self) -> pd.DataFrame:
        """Give the predictions of all strategies where something is hidden, first seed only."""
        return self._read([("seed", "==", self.seeds[0]), ("rate", ">", 0.0)], list(_PLAIN))

    def _read(self, where: list[tuple[str, str, Any]], columns: list[str]) -> pd.DataFrame:
        """Read some predictions that have a probability, and check them."""
        absent = [name for name in columns if name not in pq.read_schema(self.predictions_file).names]
        if absent:
            raise ValueError(
                f"predictions of a sweep need the columns {columns}, however: {absent} are absent in "
                f"{self.predictions_file.name}: sweep again"
            )
        filters = [*where, ("recovery", "==", self.recovery)]
        table = pd.read_parquet(self.predictions_file, columns=columns, filters=filters)
        texts = [name for name in table.columns if isinstance(table[name].dtype, pd.CategoricalDtype)]
        table = table.astype(dict.fromkeys(texts, "str"))
        is_nan = table["probability"].isna()
        n_lost = int((is_nan & ~table["situation"].map(_nothing_observed).astype(bool)).sum())
        if n_lost:
            raise ValueError(
                f"a prediction has a probability unless nothing was observed, however: {n_lost} of {len(table)} in "
                f"{self.predictions_file.name} are nan: check the weights for nan and sweep again"
            )
        predicted: pd.DataFrame = table[~is_nan]
        if len(predicted):
            check_predictions(predicted, ["subject_id", *_CELL])
        return predicted


def _nothing_observed(situation: str) -> bool:
    return all(part.endswith(" absent") for part in situation.split(", "))
