"""Calibration of predicted probabilities: small maps from logits to logits that a bundle keeps as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from dymo_med.utils import check_positive, read_json, write_json

__all__ = [
    "Calibration",
    "IsotonicCalibration",
    "PlattScaling",
    "PrevalenceShift",
    "TemperatureScaling",
    "for_patients",
    "read_calibration",
    "write_calibration",
]

FORMAT = "dymo_med calibration"
VERSION = 1


@dataclass(frozen=True)
class TemperatureScaling:
    """Divides logits by a temperature, so that probabilities become less extreme (above 1) or more so.

    Args:
        temperature: Positive.

    Raises:
        ValueError: the temperature is not positive and finite.

    Source:
        Guo et al., ICML 2017.

    Example:
        >>> TemperatureScaling(2.0)(torch.tensor([[0.0, 3.0]])).tolist()
        [[0.0, 1.5]]
    """

    kind: ClassVar[str] = "temperature"
    temperature: float

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrate logits (B, K)."""
        return logits / self.temperature


@dataclass(frozen=True)
class PlattScaling:
    """Maps the log odds of two classes linearly, which corrects spread and prevalence together.

    Args:
        slope: Factor of the log odds; 1 changes nothing.
        intercept: What is added to them.

    Raises:
        ValueError: a number is not finite, or the slope is not positive.

    Source:
        Platt, Advances in Large Margin Classifiers, 1999 (without its prior on the labels).

    Example:
        >>> PlattScaling(0.5, 1.0)(torch.tensor([[1.0, 3.0]])).tolist()
        [[0.0, 2.0]]
    """

    kind: ClassVar[str] = "platt"
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        check_positive("slope", self.slope)
        if not math.isfinite(self.intercept):
            raise ValueError(f"intercept must be finite, however: intercept={self.intercept!r}; fit it anew")

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrate logits (B, 2)."""
        return _two_classes(self.slope * _log_odds(logits, self.kind) + self.intercept)


@dataclass(frozen=True)
class IsotonicCalibration:
    """Maps the probability of class 1 by a rising curve through points, straight between them and level beyond.

    Args:
        probability: Predicted probabilities of the points, rising.
        calibrated: What they become, never falling, between 0 and 1, both excluded.

    Raises:
        ValueError: the points are fewer than two or not in order.

    Source:
        Zadrozny and Elkan, KDD 2002.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0]])
        >>> torch.softmax(IsotonicCalibration((0.4, 0.6), (0.1, 0.3))(logits), -1)[:, 1]
        tensor([0.2000])
    """

    kind: ClassVar[str] = "isotonic"
    probability: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __post_init__(self) -> None:
        x, y = tuple(self.probability), tuple(self.calibrated)
        object.__setattr__(self, "probability", x)
        object.__setattr__(self, "calibrated", y)
        if len(x) != len(y) or len(x) < 2 or sorted(set(x)) != list(x) or sorted(y) != list(y):
            raise ValueError(
                f"an isotonic curve needs two points or more that rise, however: {len(x)} probabilities, {len(y)} "
                "calibrated ones; fit it anew"
            )
        if not 0 < y[0] <= y[-1] < 1:
            raise ValueError(f"calibrated probabilities must lie within 0 and 1, however: from {y[0]} to {y[-1]}")

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrate logits (B, 2)."""
        risk = torch.sigmoid(_log_odds(logits, self.kind).double())
        x, y = (torch.tensor(part, dtype=torch.float64, device=logits.device) for part in asdict(self).values())
        right = torch.searchsorted(x, risk.contiguous()).clamp(1, len(x) - 1)
        share = ((risk - x[right - 1]) / (x[right] - x[right - 1])).clamp(0, 1)
        calibrated = y[right - 1] + share * (y[right] - y[right - 1])
        return _two_classes(torch.logit(calibrated).to(logits.dtype))


@dataclass(frozen=True)
class PrevalenceShift:
    """Moves probabilities from the prevalence that a network learned to that of the patients it is used for.

    Exact where classes differ in frequency only. Subjects of equal weight in the loss have the prevalence of the
    training set, a balanced subset has one half.

    Args:
        learned: Share of each class as the loss met it, K positive fractions that add up to 1.
        target: Share of each class among the patients.

    Raises:
        ValueError: the shares are not positive, do not add up to 1, or differ in number.

    Source:
        Saerens, Latinne and Decaestecker, Neural Computation 2002;14:21-41, equation 2.4.

    Example:
        >>> shift = PrevalenceShift((0.5, 0.5), (0.9, 0.1))
        >>> torch.softmax(shift(torch.tensor([[0.0, 0.0]])), -1)
        tensor([[0.9000, 0.1000]])
    """

    kind: ClassVar[str] = "prevalence"
    learned: tuple[float, ...]
    target: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("learned", "target"):
            shares = tuple(getattr(self, name))
            object.__setattr__(self, name, shares)
            if not shares or not min(shares) > 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
                raise ValueError(f"{name} must be positive shares that add up to 1, however: {name}={shares}")
        if len(self.learned) != len(self.target):
            raise ValueError(
                f"learned and target must be of the same classes, however: {len(self.learned)} and {len(self.target)}"
            )

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrate logits (B, K)."""
        if logits.shape[-1] != len(self.learned):
            raise ValueError(
                f"a shift of {len(self.learned)} classes needs as many logits, however: {logits.shape[-1]}; "
                "use the calibration of the same network"
            )
        learned, target = (torch.tensor(part, dtype=torch.float64) for part in (self.learned, self.target))
        return logits + (target / learned).log().to(logits)


Step = TemperatureScaling | PlattScaling | IsotonicCalibration | PrevalenceShift
KINDS: dict[str, type[Step]] = {
    step.kind: step for step in (TemperatureScaling, PlattScaling, IsotonicCalibration, PrevalenceShift)
}


@dataclass(frozen=True)
class Calibration:
    """Steps of calibration, one after the other; none leaves logits as they are.

    Args:
        steps: The steps in order.
        evidence: What they rest on; ``n`` and ``n_positive`` count the subjects of the fit and its cases.

    Example:
        >>> Calibration((TemperatureScaling(2.0), PlattScaling(1.0, 1.0)))(torch.tensor([[0.0, 4.0]])).tolist()
        [[0.0, 3.0]]
    """

    steps: tuple[Step, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Calibrate logits (B, K)."""
        for step in self.steps:
            logits = step(logits)
        return logits

    def prevalence(self, learned: Sequence[float]) -> tuple[float, ...]:
        """Give the share of each class that calibrated probabilities refer to.

        Platt scaling and isotonic curves move probabilities to the prevalence of the subjects they were fitted on, a
        shift to its target; a temperature leaves it.

        Args:
            learned: That of the network before calibration; nan where unknown.

        Returns:
            Shares that add up to 1; nan where unknown.

        Example:
            >>> Calibration((PlattScaling(1.0, -2.0),), {"n": 200, "n_positive": 20}).prevalence([0.5, 0.5])
            (0.9, 0.1)
        """
        shares = tuple(learned)
        for step in self.steps:
            if isinstance(step, PrevalenceShift):
                shares = step.target
            elif isinstance(step, PlattScaling | IsotonicCalibration):
                n, n_positive = (self.evidence.get(name, math.nan) for name in ("n", "n_positive"))
                shares = ((n - n_positive) / n, n_positive / n)
        return shares


def for_patients(
    learned: Sequence[float], calibration: Calibration | None = None, target: Sequence[float] | None = None
) -> Calibration | None:
    """Give the calibration of predictions for patients of a known prevalence.

    Args:
        learned: Share of each class that the network's probabilities refer to, as its weights tell
            (``statistics.learned_prevalence``); nan where unknown.
        calibration: What is applied first; None for nothing.
        target: Share of each class among the patients; None for no shift.

    Returns:
        The calibration with a shift of the prevalence at its end; None where there is nothing to do.

    Raises:
        ValueError: there is a target, but it is unknown what probabilities refer to, or the shares do not fit.

    Example:
        >>> for_patients([0.5, 0.5], target=[0.9, 0.1]).steps
        (PrevalenceShift(learned=(0.5, 0.5), target=(0.9, 0.1)),)
        >>> for_patients([0.5, 0.5]) is None
        True
    """
    if target is None:
        return calibration
    first = Calibration() if calibration is None else calibration
    known = first.prevalence(learned)
    if any(map(math.isnan, known)):
        raise ValueError(
            f"a target prevalence needs the prevalence that probabilities refer to, however: {known}: calibrate on "
            "validation subjects with sweep.yaml and pass calibrated as well, or train with this version"
        )
    exact = tuple(share / sum(known) for share in known)  # weights hold single precision
    shift = PrevalenceShift(exact, tuple(target))
    return Calibration((*first.steps, shift), first.evidence)


def write_calibration(path: str | Path, steps: Sequence[Step], evidence: Mapping[str, Any] | None = None) -> None:
    """Write a calibration as JSON, as a whole or not at all.

    Args:
        path: File to write, in the bundle beside the weights it belongs to.
        steps: Steps in order.
        evidence: What it rests on, such as the number of validation subjects; plain values.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "calibration.json"
        >>> write_calibration(path, [TemperatureScaling(2.0)])
        >>> read_calibration(path).steps
        (TemperatureScaling(temperature=2.0),)
    """
    records = [{"kind": step.kind, **asdict(step)} for step in steps]
    content = {"format": FORMAT, "version": VERSION, "steps": records, "evidence": dict(evidence or {})}
    write_json(path, content)


def read_calibration(path: str | Path) -> Calibration:
    """Read what :func:`write_calibration` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, or a step is unknown or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no calibration at {path}: fit it on the validation set first")
    content = read_json(path)
    found = (content.get("format"), content.get("version")) if isinstance(content, dict) else type(content).__name__
    if found != (FORMAT, VERSION):
        raise ValueError(f"{path.name} must be of format {(FORMAT, VERSION)}, however: {found}: fit it again")
    steps = []
    for record in content["steps"]:
        settings = dict(record)
        kind = settings.pop("kind", None)
        if kind not in KINDS:
            raise ValueError(f"a step of {path.name} must be one of {sorted(KINDS)}, however: {kind!r}: fit it again")
        try:
            steps.append(KINDS[kind](**settings))
        except TypeError as err:
            raise ValueError(f"step {kind!r} of {path.name} is damaged ({err}): fit it again") from err
    return Calibration(tuple(steps), content.get("evidence", {}))


def _log_odds(logits: torch.Tensor, kind: str) -> torch.Tensor:
    if logits.shape[-1] != 2:
        raise ValueError(f"{kind} calibration is for two classes, however: {logits.shape[-1]}; use temperature")
    return logits[..., 1] - logits[..., 0]


def _two_classes(log_odds: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(log_odds), log_odds], dim=-1)
