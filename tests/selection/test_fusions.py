"""Selections that share their fusions against selections that do not."""

import itertools

import pytest
import torch

from dymo_med.selection import FusedStates, TokenBank, select
from dymo_med.utils import ICSWeight, Metric, Strategy
from tests.selection.test_strategies import ToyFusion, make_case

THRESHOLDS = (-torch.inf, -0.1, 0.0, 0.1, torch.inf)


def policies():
    return list(itertools.product(Strategy, ICSWeight, THRESHOLDS))


def same(first, second):
    """Equal but for the rounding of another batch."""
    return torch.allclose(first, second, rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("n_modalities", [2, 3])
def test_shared_fusions_change_nothing(metric, n_modalities):
    *tokens, statistics = make_case(n_modalities, metric, seed=3)
    bank = TokenBank(*tokens)
    fused = FusedStates(ToyFusion(1, metric), bank)
    for names in (["recovery0"], ["recovery1"], ["recovery0", "recovery1"]):
        chosen = bank.only(names)
        for strategy, form, threshold in policies():
            options = {"strategy": strategy, "ics_weight": form, "threshold": threshold}
            expected = select(ToyFusion(1, metric), chosen, statistics, **options)
            found = select(fused, chosen, statistics, **options)
            assert torch.equal(found.trace.variants, expected.trace.variants)
            assert same(found.logits, expected.logits)
            assert same(found.embedding, expected.embedding)
            assert len(found.trace.steps) == len(expected.trace.steps)
            for step, other in zip(found.trace.steps, expected.trace.steps, strict=True):
                assert same(step.reward, other.reward)
                assert same(step.probs, other.probs)
                assert torch.equal(step.accepted, other.accepted)


def test_every_state_of_a_sample_is_fused_once():
    *tokens, statistics = make_case(2, Metric.COSINE, seed=5)
    bank = TokenBank(*tokens)
    fuse = ToyFusion(1, Metric.COSINE)
    fused = FusedStates(fuse, bank)
    for strategy, form, threshold in policies():
        select(fused, bank, statistics, strategy=strategy, ics_weight=form, threshold=threshold)
    n_states = 3 * 3  # of two modalities, each as observed or by one of two recoveries
    assert sum(fuse.calls) <= n_states * bank.batch_size
    n_calls = len(fuse.calls)
    select(fused, bank, statistics, strategy=Strategy.GREEDY, threshold=-torch.inf)
    assert len(fuse.calls) == n_calls
