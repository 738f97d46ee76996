"""Rows grouped by length and hidden tokens left out: cheaper, and the same to the last digits."""

import itertools

import pytest
import torch

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.networks.blocks import pack_rows
from dymo_med.selection import ClassStatistics, Fused, TokenBank, Tokens, select
from dymo_med.utils import ICSWeight, Metric, Strategy
from tests.networks import build
from tests.networks.build import count_passes


def random_visibility(n_rows, n_tokens, seed=0):
    generator = torch.Generator().manual_seed(seed)
    visible = torch.rand(n_rows, n_tokens, generator=generator) < torch.rand(n_rows, 1, generator=generator)
    visible[:, 0] = True
    return visible


@pytest.mark.parametrize("n_tokens", [1, 5, 8, 21, 92])
def test_every_row_is_in_one_group_with_all_its_visible_tokens_in_order(n_tokens):
    visible = random_visibility(50, n_tokens)
    groups = pack_rows(visible)
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(50))
    assert len(groups) <= 8
    for rows, places in groups:
        for row, taken in zip(rows.tolist(), places.tolist(), strict=True):
            wanted = visible[row].nonzero().flatten().tolist()
            assert taken[: len(wanted)] == wanted
            assert not visible[row, taken[len(wanted) :]].any()


@pytest.mark.parametrize("n_tokens", [8, 21, 92])
def test_padding_is_at_most_an_eighth_and_no_group_is_longer_than_its_longest_row(n_tokens):
    visible = random_visibility(50, n_tokens, seed=1)
    for rows, places in pack_rows(visible):
        lengths = visible[rows].sum(1)
        assert places.shape[1] == int(lengths.max())
        assert int(lengths.max() - lengths.min()) < -(-n_tokens // 8)


def classifiers():
    return {"image_and_table": build.classifier()[0], "pictures": build.images_classifier(5)[0]}


def random_tokens(network, n_rows=40, seed=2):
    generator = torch.Generator().manual_seed(seed)
    tokens = {}
    for name in network.modalities:
        n_tokens, width = network.encoders[name].n_tokens, network.cls_token.shape[-1]
        values = torch.randn(n_rows, n_tokens, width, generator=generator)
        missing = torch.rand(n_rows, n_tokens, generator=generator) < torch.rand(n_rows, 1, generator=generator)
        missing[torch.rand(n_rows, generator=generator) < 0.4] = True
        tokens[name] = Tokens(values, missing)
    return tokens


@pytest.mark.parametrize("kind", ["image_and_table", "pictures"])
def test_grouped_fusion_equals_the_ungrouped_one(kind):
    network = classifiers()[kind].eval()
    tokens = random_tokens(network)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        network = network.to(dtype)
        given = {name: Tokens(part.values.to(dtype), part.missing) for name, part in tokens.items()}
        with torch.no_grad():
            grouped, whole = network.fuse(given), network.fuse_static(given)
        scale = float(whole.logits.abs().max())
        torch.testing.assert_close(grouped.logits, whole.logits, rtol=0, atol=scale * tolerance)
        torch.testing.assert_close(grouped.embedding, whole.embedding, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["image_and_table", "pictures"])
def test_gradients_pass_through_groups(kind):
    network = classifiers()[kind].double().train()
    tokens = {name: Tokens(t.values.double(), t.missing) for name, t in random_tokens(network, 12).items()}
    gradients = []
    for fuse in (network.fuse, network.fuse_static):
        network.zero_grad()
        fuse(tokens).logits.square().sum().backward()
        gradients.append(network.cls_token.grad.clone())
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-9)


def test_only_visible_tokens_are_computed():
    network = classifiers()["pictures"].float().eval()
    sizes = []
    network.transformer[0].register_forward_hook(lambda _m, inputs, _o: sizes.append(inputs[0].shape[:2].numel()))
    whole = random_tokens(network, 6)
    for index, part in enumerate(whole.values()):
        part.missing[:] = True
        part.missing[index] = False  # one modality of four tokens in each row, another in every one
        part.missing[5] = False
    network.fuse(whole)
    assert sum(sizes) == 5 * (1 + 4) + (1 + 5 * 4)


@pytest.mark.parametrize("strategy", [Strategy.GREEDY, Strategy.SIMULTANEOUS, Strategy.FUSE_ALL])
@pytest.mark.parametrize("form", list(ICSWeight))
def test_selections_are_equal_with_and_without_groups(strategy, form):
    network = build.fit_statistics(build.images_classifier(4)[0]).eval()
    n_rows = 30
    observed = {n: Tokens(t.values.double(), t.missing) for n, t in random_tokens(network, n_rows, seed=3).items()}
    proposals = {
        name: {"given": Tokens(t.values.double(), torch.zeros_like(t.missing))}
        for name, t in random_tokens(network, n_rows, seed=4).items()
    }
    available = {name: {"given": torch.ones(n_rows, dtype=torch.bool)} for name in observed}
    bank = TokenBank(observed, proposals, available)
    results = [
        select(fuse, bank, network.statistics, strategy=strategy, ics_weight=form)
        for fuse in (network.fuse, network.fuse_static)
    ]
    assert torch.equal(results[0].trace.variants, results[1].trace.variants)
    torch.testing.assert_close(results[0].logits, results[1].logits, rtol=0, atol=1e-9)
    for ours, theirs in zip(results[0].trace.steps, results[1].trace.steps, strict=True):
        torch.testing.assert_close(ours.reward, theirs.reward, rtol=0, atol=1e-6, equal_nan=True)


def test_no_encoder_runs_while_candidates_are_weighed():
    network = build.fit_statistics(build.images_classifier(3)[0]).eval()
    seen = [count_passes(network.encoders[name]) for name in network.modalities]
    tokens = {n: Tokens(t.values.double(), t.missing) for n, t in random_tokens(network, 8).items()}
    proposals = {name: {"given": Tokens(t.values, torch.zeros_like(t.missing))} for name, t in tokens.items()}
    available = {name: {"given": torch.ones(8, dtype=torch.bool)} for name in tokens}
    select(network.fuse, TokenBank(tokens, proposals, available), network.statistics)
    assert list(itertools.chain(*seen)) == []


def test_off_the_cpu_no_step_reads_a_value(monkeypatch):
    """Tensors on the device "meta" have no values: whatever would wait for one fails."""
    n_rows, n_modalities, metric = 6, 3, Metric.COSINE
    with torch.device("meta"):
        missing = torch.ones(n_rows, 2, dtype=torch.bool)
        tokens = {f"m{index}": Tokens(torch.zeros(n_rows, 2, 4), missing) for index in range(n_modalities)}
        available = {name: {"given": torch.ones(n_rows, dtype=torch.bool)} for name in tokens}
        bank = TokenBank(tokens, {name: {"given": part} for name, part in tokens.items()}, available)
        statistics = ClassStatistics(n_modalities, 2, 5, metric)
        project = torch.zeros(4, 5)
    monkeypatch.setattr(statistics, "check_fitted", lambda: None)  # read once, before the steps

    def fuse(given):
        assert list(given) == list(tokens)  # the same shape in every step
        total = sum(part.values.sum(1) for part in given.values())
        return Fused(total[:, :2], total @ project)

    for strategy in Strategy:
        selection = select(fuse, bank, statistics, strategy=strategy, ics_weight=ICSWeight.RATIO)
        assert selection.logits.shape == (n_rows, 2)
    greedy = select(fuse, bank, statistics, strategy=Strategy.GREEDY)
    assert len(greedy.trace.steps) == n_modalities
    assert greedy.trace.steps[0].reward.shape == (n_rows, n_modalities)
    assert len(enumerate_subsets(n_modalities)) == len(statistics.prototypes)
