"""Who is trained on: class balance of a classifier, complete subjects for pre-training."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dymo_med.utils import ClassBalance, as_choice, check_positive_int

__all__ = ["TrainingSet", "complete_subjects"]


class TrainingSet:
    """Training subjects and what a loss does about rare classes.

    Class weights are the default: every subject is seen once per epoch, in one process or many, nothing is thrown away,
    and no positive is repeated. They leave the mean weight of a subject at one, so that the learning rate keeps its
    meaning. The balanced subset of the papers throws away most of the negatives (METHOD; 22,558 of 24,299 for coronary
    artery disease); it is drawn by the pseudonyms and the seed alone, so that row order does not matter.

    Args:
        items: Training subjects with ``subject_id`` and ``label``.
        n_classes: Number of classes K.
        balance: ``"loss_weights"``, ``"balanced_subset"`` or ``"none"``.
        seed: Another seed draws another balanced subset.

    Attributes:
        items: Subjects to train on, in the given order.
        class_weight: Weight of each class in the loss.
        prevalence: Share of each class among all training subjects.
        learned_prevalence: Share of each class as the loss meets it. Predicted probabilities refer to it: to move them
            to another prevalence, take the one logit off and put the other on.

    Raises:
        ValueError: a class has no subject, a label is no class, or the balance is unknown.

    Example:
        >>> items = [{"subject_id": f"s{number}", "label": int(number < 2)} for number in range(8)]
        >>> TrainingSet(items, 2).class_weight, TrainingSet(items, 2).prevalence
        ([0.6666666666666666, 2.0], [0.75, 0.25])
        >>> len(TrainingSet(items, 2, balance="balanced_subset").items)
        4
    """

    def __init__(
        self, items: Sequence[dict[str, Any]], n_classes: int, balance: str = "loss_weights", seed: int = 0
    ) -> None:
        check_positive_int("n_classes", n_classes)
        chosen = as_choice("class_balance", balance, ClassBalance)
        counts = _counts(items, n_classes)
        self.items = list(items)
        self.class_weight = [1.0] * n_classes
        self.prevalence = [count / len(items) for count in counts]
        self.learned_prevalence = [1 / n_classes] * n_classes
        if chosen is ClassBalance.LOSS_WEIGHTS:
            self.class_weight = [len(items) / (n_classes * count) for count in counts]
        elif chosen is ClassBalance.BALANCED_SUBSET:
            self.items = _balanced_subset(items, min(counts), seed)
        else:
            self.learned_prevalence = self.prevalence


def complete_subjects(
    items: Sequence[dict[str, Any]], modalities: Sequence[str], at_least: int
) -> list[dict[str, Any]]:
    """Give the subjects of whom a part of every modality is there.

    Args:
        items: Subjects; a modality that is wholly absent is None.
        modalities: Names of the modalities.
        at_least: Number of subjects that are needed, such as the batch size where incomplete batches are left out.

    Returns:
        The subjects in the given order.

    Raises:
        ValueError: there are fewer.

    Example:
        >>> complete_subjects([{"image": "s1", "table": None}, {"image": "s2", "table": [0.1]}], ["image", "table"], 1)
        [{'image': 's2', 'table': [0.1]}]
    """
    found = [item for item in items if all(item[name] is not None for name in modalities)]
    if len(found) < at_least:
        raise ValueError(
            f"a batch needs {at_least} training subjects with {' and '.join(modalities)}, however: {len(found)} of "
            f"{len(items)}; lower --batch_size or prepare a larger cohort"
        )
    return found


def _counts(items: Sequence[dict[str, Any]], n_classes: int) -> list[int]:
    found = Counter(int(item["label"]) for item in items)
    if wrong := sorted(set(found) - set(range(n_classes))):
        raise ValueError(
            f"labels must be below {n_classes}, the number of class_names, however: {wrong[:5]} in {len(items)} "
            "training subjects; name every class, or choose another task"
        )
    if empty := [label for label in range(n_classes) if not found[label]]:
        raise ValueError(
            f"every class needs a training subject, however: classes {empty} have none of {len(items)}; prepare a "
            "larger cohort or name fewer classes"
        )
    return [found[label] for label in range(n_classes)]


def _balanced_subset(items: Sequence[dict[str, Any]], n_per_class: int, seed: int) -> list[dict[str, Any]]:
    """Keep of each class those of lowest keyed digest."""
    key = f"balanced subset {seed}".encode()

    def rank(item: dict[str, Any]) -> str:
        """Give a sample its place in a random order that only pseudonym and seed decide."""
        return hashlib.blake2b(str(item["subject_id"]).encode(), key=key, digest_size=16).hexdigest()

    kept: set[int] = set()
    for label in {int(item["label"]) for item in items}:
        rows = [row for row, item in enumerate(items) if item["label"] == label]
        kept.update(sorted(rows, key=lambda row: rank(items[row]))[:n_per_class])
    return [item for row, item in enumerate(items) if row in kept]
