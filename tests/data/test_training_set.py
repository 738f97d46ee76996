"""Rare classes in training: weights, a balanced subset, and what shares the loss met."""

import random

import pytest

from dymo_med.data.training_set import TrainingSet, complete_subjects


def subjects(counts, seed=0):
    """Labels in random order; counts[k] subjects of class k."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(seed).shuffle(labels)
    return [{"subject_id": f"s{row}", "label": label} for row, label in enumerate(labels)]


def test_weights_give_every_class_the_same_part_of_the_loss():
    items = subjects([60, 25, 15])
    chosen = TrainingSet(items, 3)
    assert chosen.items == items
    parts = [sum(chosen.class_weight[label] for item in items if item["label"] == label) for label in range(3)]
    assert parts == pytest.approx([100 / 3] * 3)  # equal, and one per subject on the average
    assert chosen.prevalence == [0.6, 0.25, 0.15]
    assert chosen.learned_prevalence == pytest.approx([1 / 3] * 3)


def test_balanced_subset_has_all_of_the_rarest_class_and_as_many_of_the_others():
    items = subjects([70, 20, 10])
    chosen = TrainingSet(items, 3, "balanced_subset", seed=5)
    labels = [item["label"] for item in chosen.items]
    assert sorted(labels) == [0] * 10 + [1] * 10 + [2] * 10
    assert [item for item in items if item in chosen.items] == chosen.items  # order as given
    assert chosen.class_weight == [1.0] * 3
    assert chosen.prevalence == [0.7, 0.2, 0.1]
    assert chosen.learned_prevalence == pytest.approx([1 / 3] * 3)


def test_balanced_subset_depends_on_subjects_and_seed_alone():
    items = subjects([40, 10])
    first = {item["subject_id"] for item in TrainingSet(items, 2, "balanced_subset", seed=1).items}
    again = {item["subject_id"] for item in TrainingSet(items[::-1], 2, "balanced_subset", seed=1).items}
    other = {item["subject_id"] for item in TrainingSet(items, 2, "balanced_subset", seed=2).items}
    assert first == again != other


def test_nothing_done():
    chosen = TrainingSet(subjects([30, 10]), 2, "none")
    assert len(chosen.items) == 40
    assert chosen.class_weight == [1.0, 1.0]
    assert chosen.learned_prevalence == chosen.prevalence == [0.75, 0.25]


def test_refusals():
    with pytest.raises(ValueError, match=r"class_balance must be one of 'loss_weights', .* however: .*'oversample'"):
        TrainingSet(subjects([3, 3]), 2, "oversample")
    with pytest.raises(ValueError, match=r"labels must be below 2, .* however: \[2, 3\] in 8 training subjects"):
        TrainingSet(subjects([2, 2, 2, 2]), 2)
    with pytest.raises(
        ValueError, match=r"every class needs a training subject, however: classes \[2\] have none of 4"
    ):
        TrainingSet(subjects([2, 2]), 3)
    with pytest.raises(ValueError, match="n_classes must be a positive integer, however: n_classes=0"):
        TrainingSet(subjects([2]), 0)


def test_incomplete_subjects_are_left_out():
    items = [{"image": image, "table": table} for image, table in ((1, 1), (None, 1), (1, None), (2, 2))]
    assert complete_subjects(items, ["image", "table"], 2) == [items[0], items[3]]
    assert complete_subjects(items, ["image"], 3) == [items[0], items[2], items[3]]
    text = r"a batch needs 3 training subjects with image and table, however: 2 of 4; lower --batch_size"
    with pytest.raises(ValueError, match=text):
        complete_subjects(items, ["image", "table"], 3)
