"""Validation scores, against scikit-learn over rows collected one by one."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from sklearn.metrics import roc_auc_score

from dymo_med.handlers import pooled_auroc, subset_aurocs
from tests.handlers.build import random_fused
from tests.processes import in_processes

NAMES = ["image", "table", "image_table"]


def batches_of(n_classes, nan_share=0.3, sizes=(16, 9, 5)):
    generator = torch.Generator().manual_seed(11)
    return [
        {
            "pred": random_fused(generator, 3, size, n_classes, 2, nan_share),
            "label": torch.randint(n_classes, (size,), generator=generator),
        }
        for size in sizes
    ]


def rows_of(batches, subsets):
    """(probabilities, labels) of every row that exists."""
    probs, labels = [], []
    for batch in batches:
        for subset in subsets:
            for row, label in zip(batch["pred"].logits[subset].double(), batch["label"].tolist(), strict=True):
                if not row.isnan().any():
                    exponents = np.exp(row.numpy() - row.max().item())
                    probs.append(exponents / exponents.sum())
                    labels.append(label)
    return np.stack(probs), np.array(labels)


def measured(metrics, batches):
    engine = Engine(lambda _, batch: batch)
    for name, metric in metrics.items():
        metric.attach(engine, name)
    return engine.run(batches).metrics


def test_pooled_score_of_two_classes():
    batches = batches_of(2)
    probs, labels = rows_of(batches, range(3))
    assert 40 < len(labels) < 90  # rows are missing, and rows are left
    assert measured(pooled_auroc(), batches) == {
        "val_auroc": pytest.approx(roc_auc_score(labels, probs[:, 1]), abs=1e-6)
    }


def test_score_of_every_subset():
    batches = batches_of(2)
    found = measured(subset_aurocs(["image", "table"], prefix="auroc_"), batches)
    assert list(found) == [f"auroc_{name}" for name in NAMES]
    for index, name in enumerate(NAMES):
        probs, labels = rows_of(batches, [index])
        assert found[f"auroc_{name}"] == pytest.approx(roc_auc_score(labels, probs[:, 1]), abs=1e-6)
    assert len(set(found.values())) == 3


def test_more_classes_are_averaged_one_against_the_rest():
    batches = batches_of(4)
    probs, labels = rows_of(batches, range(3))
    expected = roc_auc_score(np.eye(4)[labels], probs, average="macro")
    assert measured(pooled_auroc("score"), batches) == {"score": pytest.approx(expected, abs=1e-6)}


def test_one_class_has_no_score():
    batches = batches_of(2, sizes=(6,))
    batches[0]["label"].zero_()
    with pytest.warns(UserWarning, match="y values can not be all"):
        assert np.isnan(measured(pooled_auroc(), batches)["val_auroc"])


def test_scores_are_those_of_the_samples_of_all_processes(tmp_path):
    """The processes have other numbers of batches, and one of them nobody of the first subset."""
    batches = batches_of(2, sizes=(16, 9, 5))
    for key in ("logits", "embedding"):
        getattr(batches[2]["pred"], key)[0] = torch.nan
    metrics = {**pooled_auroc(), **subset_aurocs(["image", "table"])}
    expected = measured(metrics, batches)
    found = in_processes(lambda rank: measured(metrics, [batches[2:], batches[:2]][rank]), tmp_path / "store")
    assert found == [pytest.approx(expected, abs=1e-9)] * 2


def test_batch_without_anybody_of_a_subset_is_no_error():
    batches = batches_of(2)
    batches[1]["pred"].logits[0] = torch.nan
    probs, labels = rows_of(batches, [0])
    assert measured(subset_aurocs(["image", "table"]), batches)["val_auroc_image"] == pytest.approx(
        roc_auc_score(labels, probs[:, 1]), abs=1e-6
    )


def test_subset_that_nobody_has_is_no_score():
    batches = batches_of(2)
    for batch in batches:
        batch["pred"].logits[1] = torch.nan
    with pytest.warns(UserWarning, match="a validation score needs samples, however: 0 have a part of the subset"):
        assert np.isnan(measured(subset_aurocs(["image", "table"]), batches)["val_auroc_table"])
