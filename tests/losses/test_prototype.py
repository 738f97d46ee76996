"""Training loss of the classifier against NumPy and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from dymo_med.losses import PrototypeLoss
from dymo_med.selection import Fused

A, B, K, D = 3, 7, 4, 5


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    logits, embedding = rng.normal(size=(A, B, K)), rng.normal(size=(A, B, D))
    return logits, embedding, rng.integers(0, K, B), rng.normal(size=(K, D))


def fused(logits, embedding):
    return Fused(torch.as_tensor(logits), torch.as_tensor(embedding))


def expected(logits, embedding, label, prototypes, metric, t=0.1, weight=None):
    """Loop over subsets and samples; rows with nan take no part; weighted mean as usual for class weights."""
    terms, shares = [], []
    for a in range(len(logits)):
        for b in range(len(label)):
            if np.isnan(logits[a, b]).any():
                continue
            z, k = embedding[a, b], label[b]
            loss = -log_softmax(logits[a, b])[k]
            if prototypes is not None:
                scores = [z @ c if metric == "cosine" else -((z - c) ** 2).sum() for c in prototypes]
                loss -= log_softmax(np.array(scores) / t)[k]
            share = 1.0 if weight is None else weight[k]
            terms.append(loss * share)
            shares.append(share)
    return sum(terms) / sum(shares)


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 2.0, 0.1]])
def test_both_terms(case, metric, weight):
    logits, embedding, label, prototypes = case
    loss = PrototypeLoss(metric, class_weight=weight).double()
    found = loss(fused(logits, embedding), torch.as_tensor(label))
    assert float(found) == pytest.approx(expected(logits, embedding, label, None, metric, weight=weight), abs=1e-6)
    loss.prototypes = torch.as_tensor(prototypes)
    found = loss(fused(logits, embedding), torch.as_tensor(label))
    wanted = expected(logits, embedding, label, prototypes, metric, weight=weight)
    assert float(found) == pytest.approx(wanted, rel=1e-6)


def test_rows_without_anything_observed_take_no_part(case):
    logits, embedding, label, prototypes = case
    logits[0, 2], embedding[0, 2] = np.nan, np.nan
    logits[2, 5], embedding[2, 5] = np.nan, np.nan
    loss = PrototypeLoss("cosine")
    loss.prototypes = torch.as_tensor(prototypes)
    found = float(loss(fused(logits, embedding), torch.as_tensor(label)))
    assert found == pytest.approx(expected(logits, embedding, label, prototypes, "cosine"), rel=1e-9)


def test_prototypes_get_no_gradient(case):
    logits, embedding, label, prototypes = case
    loss, centers = PrototypeLoss("cosine"), torch.as_tensor(prototypes).requires_grad_()
    loss.prototypes = centers
    z = torch.as_tensor(embedding).requires_grad_()
    loss(Fused(torch.as_tensor(logits), z), torch.as_tensor(label)).backward()
    assert centers.grad is None
    assert z.grad.abs().sum() > 0


def test_temperature(case):
    logits, embedding, label, prototypes = case
    loss = PrototypeLoss("cosine", temperature=0.7)
    loss.prototypes = torch.as_tensor(prototypes)
    found = float(loss(fused(logits, embedding), torch.as_tensor(label)))
    assert found == pytest.approx(expected(logits, embedding, label, prototypes, "cosine", t=0.7), rel=1e-9)


def test_refusals():
    with pytest.raises(ValueError, match=r"temperature must be positive and finite, however: temperature=0"):
        PrototypeLoss(temperature=0)
    with pytest.raises(ValueError, match=r"metric must be one of .* however: metric='dot'"):
        PrototypeLoss("dot")
