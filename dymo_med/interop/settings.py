"""Hyper-parameters of published checkpoints, wherever their configuration objects keep them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dymo_med.interop.checkpoint import Checkpoint
from dymo_med.interop.pickles import Inert
from dymo_med.utils import ICSWeight, Metric, as_choice

__all__ = [
    "DISTANCES",
    "OWN_SETTINGS",
    "heads_of_training",
    "metric_of_training",
    "prevalence_of_training",
    "read_setting",
    "usual_ics_weight",
]

DISTANCES = {"cosine_similarity": Metric.COSINE, "squared_euclidean": Metric.SQUARED_EUCLIDEAN}
OWN_SETTINGS = "dymo_med"
"""Key of what this package adds to the settings of the weights that it exports."""
_AUTHORS_CHOICES = Path(__file__).with_name("published_settings.yaml")


def read_setting(settings: Any, *path: str) -> Any:
    """Give one value of nested settings.

    Args:
        settings: A dictionary, or the stand-in of an omegaconf ``DictConfig`` or an ``argparse.Namespace``.
        path: Key at each level.

    Returns:
        The value; None where it, or a level above, is absent.

    Example:
        >>> read_setting({"CAD": {"transformer_heads": 8}}, "CAD", "transformer_heads")
        8
    """
    for key in path:
        content = _content(settings)
        if content is None or key not in content:
            return None
        settings = content[key]
    if isinstance(settings, Inert) and isinstance(settings.state, Mapping):
        return settings.state.get("_val")
    return settings


def metric_of_training(checkpoint: Checkpoint, given: str | None) -> Metric:
    """Give the distance of the metric space.

    Args:
        checkpoint: Checkpoint of a classifier.
        given: What the caller says, None to take what the checkpoint says.

    Raises:
        ValueError: the two contradict each other, or neither says.
    """
    dataset = read_setting(checkpoint.settings, "dataset_name")
    stated = read_setting(checkpoint.settings, str(dataset), "distance_metric")
    if stated is not None and stated not in DISTANCES:
        raise ValueError(
            f"distance_metric of {checkpoint.name} must be one of {list(DISTANCES)}, however: {stated!r}: pass the "
            "checkpoint as its authors wrote it"
        )
    chosen = None if given is None else as_choice("metric", given, Metric)
    if chosen is not None and stated is not None and DISTANCES[stated] is not chosen:
        raise ValueError(
            f"metric must be that of the training, however: metric={given!r} and {checkpoint.name} says {stated!r}: "
            "leave it out"
        )
    if chosen is None and stated is None:
        raise ValueError(
            f"metric must be given where the checkpoint does not tell, however: {checkpoint.name} says {stated!r}: "
            "pass 'cosine' or 'squared_euclidean'"
        )
    return chosen or DISTANCES[stated]


def heads_of_training(checkpoint: Checkpoint, given: int | None) -> int:
    """Give the number of heads of the fusion blocks, which parameters do not tell; as :func:`metric_of_training`.

    Raises:
        ValueError: the two contradict each other, or neither says.
    """
    dataset = read_setting(checkpoint.settings, "dataset_name")
    stated = read_setting(checkpoint.settings, str(dataset), "transformer_heads")
    if stated is not None and (type(stated) is not int or (given is not None and given != stated)):
        raise ValueError(
            f"fusion_heads must be that of the training, however: fusion_heads={given!r} and {checkpoint.name} says "
            f"{stated!r}: leave it out"
        )
    heads = stated if given is None else given
    if heads is None:
        raise ValueError(
            f"fusion_heads must be given where the checkpoint does not tell, however: {checkpoint.name} says "
            f"{stated!r}: pass 8 for image and table, 4 for PolyMNIST"
        )
    return int(heads)


def prevalence_of_training(checkpoint: Checkpoint) -> dict[str, list[float]]:
    """Give the shares of the classes in training, by name of the buffer; empty where the checkpoint does not tell.

    The authors' checkpoints do not; those that this package exported do.
    """
    found = {
        name: read_setting(checkpoint.settings, OWN_SETTINGS, name) for name in ("prevalence", "learned_prevalence")
    }
    return {name: list(shares) for name, shares in found.items()} if all(found.values()) else {}


def usual_ics_weight(checkpoint: Checkpoint, metric: Metric) -> ICSWeight:
    """Give the form of the weight that the authors use for a data set and metric (METHOD section 5)."""
    choices = yaml.safe_load(_AUTHORS_CHOICES.read_text(encoding="utf-8"))
    is_log = read_setting(checkpoint.settings, "dataset_name") in choices["log_ratio_with_cosine"]
    return ICSWeight.LOG_RATIO if metric is Metric.COSINE and is_log else ICSWeight.RATIO


def _content(settings: Any) -> Mapping[Any, Any] | None:
    if isinstance(settings, Inert) and isinstance(settings.state, Mapping):
        settings = settings.state.get("_content", settings.state)
    return settings if isinstance(settings, Mapping) else None
