"""How recovered modalities are selected: given by hand, or chosen on validation subjects and read from a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dymo_med.selection import TokenBank
from dymo_med.selection.situations import situation_names
from dymo_med.utils import ICSWeight, Strategy, as_choice, read_json

__all__ = ["AUTO", "OTHERWISE", "Policy", "policy_for", "read_policy"]

AUTO = "auto"
"""Value of ``ics_weight`` in a configuration that asks for the policy chosen on validation subjects."""
OTHERWISE = "otherwise"
"""Key of the threshold for situations that have none of their own."""
FORMAT = "dymo_med policy"
VERSION = 1


@dataclass(frozen=True)
class Policy:
    """How recovered modalities are selected.

    Args:
        strategy: ``"discard"``, ``"fuse_all"``, ``"simultaneous"`` or ``"greedy"``.
        ics_weight: ``"none"``, ``"ratio"`` or ``"log_ratio"``; only rewards use it.
        threshold: Reward above which a candidate is fused, 0 in the paper; one number, or one for each situation (see
            :func:`~dymo_med.selection.situations.situation_names`) and one for ``"otherwise"``. Infinite: never; minus
            infinite: always.

    Raises:
        ValueError: a name is unknown, a threshold is nan, or there is none for other situations.

    Example:
        >>> Policy("greedy", "ratio").strategy.name
        'GREEDY'
        >>> Policy.from_record({"strategy": "greedy", "threshold": {"otherwise": "-inf"}}).threshold
        {'otherwise': -inf}
    """

    strategy: str
    ics_weight: str = "none"
    threshold: float | Mapping[str, float] = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", as_choice("strategy", self.strategy, Strategy))
        object.__setattr__(self, "ics_weight", as_choice("ics_weight", self.ics_weight, ICSWeight))
        limits = self._by_situation
        for key, value in limits.items():
            if math.isnan(value):
                raise ValueError(f"a threshold must not be nan, however: it is for {key!r}; give a reward")
        if OTHERWISE not in limits:
            raise ValueError(
                f"thresholds by situation need one for {OTHERWISE!r}, however: {sorted(limits)}; a new patient may be "
                "in a situation that validation subjects were not"
            )

    @property
    def _by_situation(self) -> Mapping[str, float]:
        return self.threshold if isinstance(self.threshold, Mapping) else {OTHERWISE: self.threshold}

    def thresholds(self, bank: TokenBank) -> float | torch.Tensor:
        """Give the threshold of every sample.

        Args:
            bank: Bank of the samples.

        Returns:
            One number, or (B,).
        """
        limits = self._by_situation
        if len(limits) == 1:
            return limits[OTHERWISE]
        names = situation_names(bank.modalities, bank.observed_share)
        return torch.tensor([limits.get(name, limits[OTHERWISE]) for name in names], dtype=torch.float64)

    def in_situation(self, situation: str) -> "Policy":
        """Give the policy that decides alike in one situation, with a single threshold.

        Example:
            >>> Policy("greedy", "ratio", {"image whole, table absent": 0.1, "otherwise": 0.0}).in_situation("other")
            Policy(strategy=<Strategy.GREEDY: 'greedy'>, ics_weight=<ICSWeight.RATIO: 'ratio'>, threshold=0.0)
        """
        limits = self._by_situation
        return replace(self, threshold=float(limits.get(situation, limits[OTHERWISE])))

    def to_record(self) -> dict[str, Any]:
        """Give plain values for JSON, thresholds by situation, infinite ones as text."""
        limits = {key: limit if math.isfinite(limit) else str(limit) for key, limit in self._by_situation.items()}
        return {"strategy": str(self.strategy), "ics_weight": str(self.ics_weight), "threshold": limits}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Policy":
        """Read what :meth:`to_record` gave.

        Raises:
            ValueError: a key or value is none that it gives.
        """
        unknown = sorted(record.keys() - {"strategy", "ics_weight", "threshold"})
        if unknown or "strategy" not in record:
            raise ValueError(f"a policy has a strategy, an ics_weight and a threshold, however: {sorted(record)}")
        limits = {key: float(limit) for key, limit in record.get("threshold", {OTHERWISE: 0.0}).items()}
        return cls(record["strategy"], record.get("ics_weight", ICSWeight.NONE), limits)


def read_policy(path: str | Path) -> Policy:
    """Read the policy that was chosen on validation subjects.

    Args:
        path: JSON file that :meth:`dymo_med.evaluation.policy_choice.PolicyChoice.to_json` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else.

    Example:
        >>> try:
        ...     read_policy("nowhere.json")
        ... except FileNotFoundError as err:
        ...     print(err)
        no chosen policy at nowhere.json: choose it on the validation set first, or set ics_weight
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no chosen policy at {path}: choose it on the validation set first, or set ics_weight")
    content = read_json(path)
    found = (content.get("format"), content.get("version")) if isinstance(content, dict) else type(content).__name__
    if found != (FORMAT, VERSION):
        raise ValueError(f"{path.name} must be of format {(FORMAT, VERSION)}, however: {found}: choose the policy anew")
    return Policy.from_record(content["policy"])


def policy_for(ics_weight: str, policy_file: str | Path, strategy: str = Strategy.GREEDY) -> Policy:
    """Give a strategy with a weight, or the policy chosen on validation subjects where the weight is ``"auto"``.

    Args:
        ics_weight: ``"none"``, ``"ratio"``, ``"log_ratio"`` or ``"auto"``.
        policy_file: File of the chosen policy; read for ``"auto"`` only.
        strategy: Strategy for a given weight; a chosen policy has its own.

    Raises:
        FileNotFoundError: the policy has not been chosen yet.
        ValueError: the weight is unknown or the file is something else.

    Example:
        >>> policy_for("ratio", "policy.json").ics_weight.value
        'ratio'
    """
    return read_policy(policy_file) if ics_weight == AUTO else Policy(strategy, ics_weight)
