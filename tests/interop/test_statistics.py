"""Published class statistics: rows by their masks, and refusals."""

import numpy as np
import pytest
import torch

from dymo_med.interop.statistics import load_statistics
from dymo_med.selection import ClassStatistics
from dymo_med.utils import Metric
from tests.interop import files

MASKS = {0: (False, True), 1: (True, False), 2: (False, False)}


@pytest.fixture
def published():
    return files.random_statistics(2, n_classes=3, dim=4)


def new(metric=Metric.COSINE, n_modalities=2):
    return ClassStatistics(n_modalities, 3, 4, metric)


def test_rows_go_where_their_masks_say(tmp_path, published):
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        statistics = new()
        unused = load_statistics(files.write_statistics(tmp_path / "g.pt", published, order=order), statistics)
        assert unused == ["t_dist_params"]
        assert statistics.is_fitted
        np.testing.assert_allclose(statistics.prototypes, published.prototypes, atol=1e-7)
        np.testing.assert_allclose(statistics.std, published.std, atol=1e-7)
        np.testing.assert_allclose(statistics.overall, published.overall, atol=1e-7)


def test_t_dist_params_may_be_absent(tmp_path, published):
    assert load_statistics(files.write_statistics(tmp_path / "g.pt", published, t_dist_params=None), new()) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dist_std": None}, r"g.pt must hold .* however: missing \['dist_std'\]"),
        ({"extra": 1}, r"g.pt must hold .* however: additional \['extra'\]"),
        ({"prototypes": torch.zeros(3, 2, 4)}, r"prototypes of g.pt must have shape \(3, 3, 4\).*\(3, 2, 4\)"),
        ({"dist_std": [1.0]}, r"dist_std of g.pt must have shape \(3, 3\), as the classifier, however: list"),
        (
            {"overall_prototypes": torch.full((3, 4), torch.nan)},
            r"overall_prototypes of g.pt must be finite, .* 12 num",
        ),
        ({"dist_std": -torch.ones(3, 3)}, r"dist_std of g.pt must not be negative, however: -1.0"),
        ({"prototypes": torch.ones(3, 3, 4)}, r"within the unit sphere for metric 'cosine', .* length 2.000"),
        ({"id2subset": {0: (False, True)}}, r"id2subset of g.pt must give every non-empty subset of 2 modalities once"),
        ({"id2subset": MASKS | {2: (True, True)}}, r"id2subset of g.pt must give every non-empty subset"),
        ({"id2subset": MASKS | {2: (False, True)}}, r"id2subset of g.pt must give every non-empty subset"),
        ({"id2subset": MASKS | {2: (0, 0)}}, r"id2subset of g.pt must give every non-empty subset"),
        ({"id2subset": 3}, r"id2subset of g.pt must give every non-empty subset of 2 modalities once, however: 3"),
        ({"subset2id": {(False, True): 0}}, r"subset2id of g.pt must be the inverse of id2subset"),
    ],
)
def test_refusals(tmp_path, published, change, text):
    path = files.write_statistics(tmp_path / "g.pt", published, **change)
    with pytest.raises(ValueError, match=text):
        load_statistics(path, new())


def test_statistics_of_another_number_of_modalities(tmp_path, published):
    path = files.write_statistics(tmp_path / "g.pt", published)
    with pytest.raises(ValueError, match=r"every non-empty subset of 3 modalities once"):
        load_statistics(path, new(n_modalities=3))


def test_long_prototypes_are_right_for_the_other_metric(tmp_path, published):
    path = files.write_statistics(tmp_path / "g.pt", published, prototypes=torch.ones(3, 3, 4))
    load_statistics(path, new(Metric.SQUARED_EUCLIDEAN))
