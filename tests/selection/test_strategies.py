"""The batched selection against a slow, obvious one, sample by sample."""

import itertools

import numpy as np
import pytest
import torch

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.selection import ClassStatistics, Fused, TokenBank, Tokens, normalize, select
from dymo_med.utils import ICSWeight, Metric, Strategy
from tests.selection import oracle

BATCH, CLASSES, DIM, WIDTH, PARTS = 12, 3, 5, 4, 3


class ToyFusion:
    """Mean over the tokens that are present, then two fixed linear maps; float64 so that only logic can differ."""

    def __init__(self, seed: int, metric: Metric) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classify = torch.randn(CLASSES, WIDTH, generator=generator, dtype=torch.float64)
        self.project = torch.randn(DIM, WIDTH, generator=generator, dtype=torch.float64)
        self.metric = metric
        self.calls: list[int] = []

    def __call__(self, tokens) -> Fused:
        used = list(tokens.values())
        self.calls.append(len(used[0].values))
        total = sum(torch.where(part.missing.unsqueeze(-1), 0.0, part.values).sum(1) for part in used)
        count = 1 + sum((~part.missing).sum(1, keepdim=True) for part in used)
        hidden = torch.tanh(total / count)
        return Fused(hidden @ self.classify.T, normalize(hidden @ self.project.T, self.metric))


def make_case(n_modalities: int, metric: Metric, seed: int, n_proposals: int = 2):
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    observed, proposals, available = {}, {}, {}
    for m in range(n_modalities):
        # whole, partly or not at all observed, mixed within the batch
        kind = rng.integers(0, 3, BATCH)
        missing = torch.zeros(BATCH, PARTS, dtype=torch.bool)
        missing[kind == 1, : PARTS - 1] = True
        missing[kind == 2] = True
        name = f"modality{m}"
        observed[name] = Tokens(torch.where(missing.unsqueeze(-1), torch.nan, draw(BATCH, PARTS, WIDTH)), missing)
        whole = torch.zeros(BATCH, PARTS, dtype=torch.bool)
        proposals[name] = {f"recovery{r}": Tokens(draw(BATCH, PARTS, WIDTH), whole) for r in range(n_proposals)}
        available[name] = {f"recovery{r}": torch.from_numpy(rng.random(BATCH) < 0.8) for r in range(n_proposals)}
    statistics = ClassStatistics(n_modalities, CLASSES, DIM, metric).double()
    n_subsets = len(enumerate_subsets(n_modalities))
    statistics.prototypes.copy_(normalize(draw(n_subsets, CLASSES, DIM), metric) * 0.9)
    statistics.std.copy_(draw(n_subsets, CLASSES).abs() + 0.4)
    statistics.overall.copy_(statistics.prototypes.mean(0))
    statistics.is_fitted.fill_(True)
    return observed, proposals, available, statistics


def ask_oracle(fuse: ToyFusion, case, row: int, **options):
    observed, proposals, available, statistics = case
    names = list(observed)

    def fuse_one(parts):
        tokens = {}
        for name, part in zip(names, parts, strict=True):
            if part is not None:
                values, missing = part
                tokens[name] = Tokens(values.unsqueeze(0), missing.unsqueeze(0))
        if not tokens:
            blank = torch.ones(1, PARTS, dtype=torch.bool)
            tokens[names[0]] = Tokens(torch.zeros(1, PARTS, WIDTH, dtype=torch.float64), blank)
        fused = fuse(tokens)
        return fused.logits[0].numpy(), fused.embedding[0].numpy()

    parts, complete = [], []
    for name in names:
        values, missing = observed[name].values[row], observed[name].missing[row]
        parts.append(None if bool(missing.all()) else (values, missing))
        complete.append(not bool(missing.any()))
    candidates = {
        (m, r + 1): (tokens.values[row], tokens.missing[row])
        for m, name in enumerate(names)
        for r, (key, tokens) in enumerate(proposals[name].items())
        if bool(available[name][key][row])
    }
    table = oracle.OracleStatistics(
        oracle.subsets_of(len(names)),
        statistics.prototypes.numpy(),
        statistics.std.numpy(),
        statistics.overall.numpy(),
    )
    return oracle.select_one(fuse_one, oracle.OracleObserved(parts, complete), candidates, table, **options)


def combinations():
    for n_modalities, metric in itertools.product((2, 3, 4, 5), Metric):
        for strategy in Strategy:
            for weight in ICSWeight if strategy in (Strategy.GREEDY, Strategy.SIMULTANEOUS) else [ICSWeight.NONE]:
                yield n_modalities, metric, strategy, weight


@pytest.mark.parametrize(("n_modalities", "metric", "strategy", "weight"), list(combinations()))
def test_select_equals_the_slow_implementation(n_modalities, metric, strategy, weight):
    case = make_case(n_modalities, metric, seed=7 * n_modalities)
    fuse = ToyFusion(n_modalities, metric)
    observed, proposals, available, statistics = case
    bank = TokenBank(observed, proposals, available)
    found = select(fuse, bank, statistics, strategy=strategy, ics_weight=weight)
    fused_somewhere = 0
    for row in range(BATCH):
        want = ask_oracle(
            fuse, case, row, strategy=strategy.value, ics_weight=weight.value, metric=metric.value, temperature=0.1
        )
        assert found.trace.variants[row].tolist() == [want.chosen[m] for m in range(n_modalities)]
        np.testing.assert_allclose(found.logits[row], want.logits, atol=1e-9)
        np.testing.assert_allclose(found.embedding[row], want.embedding, atol=1e-9)
        fused_somewhere += sum(v > 0 for v in want.chosen.values())
        for step, want_step in itertools.zip_longest(found.trace.steps[: len(want.steps)], want.steps):
            np.testing.assert_allclose(step.confidence_before[row], want_step.q_before, atol=1e-9)
            np.testing.assert_allclose(step.ics_before[row], want_step.ics_before, atol=1e-9)
            for column, candidate in enumerate(bank.candidates):
                expected = want_step.rewards.get(candidate, np.nan)
                np.testing.assert_allclose(step.reward[row, column], expected, atol=1e-5)
                np.testing.assert_allclose(step.ics[row, column], want_step.ics_after.get(candidate, np.nan), atol=1e-9)
                assert bool(step.accepted[row, column]) == (candidate in want_step.accepted)
        for step in found.trace.steps[len(want.steps) :]:
            assert step.reward[row].isnan().all()
    assert strategy is Strategy.DISCARD or fused_somewhere > 0


def test_greedy_takes_more_than_one_step_and_rejects_for_good():
    case = make_case(5, Metric.COSINE, seed=35)
    found = select(ToyFusion(5, Metric.COSINE), TokenBank(*case[:3]), case[3], strategy=Strategy.GREEDY)
    assert len(found.trace.steps) > 1
    first, second = found.trace.steps[:2]
    rejected = first.reward < 0
    assert rejected.any()
    assert second.reward[rejected].isnan().all()


def test_batch_of_one_equals_its_row_and_order_does_not_matter():
    observed, proposals, available, statistics = make_case(3, Metric.COSINE, seed=1)
    fuse = ToyFusion(3, Metric.COSINE)
    whole = select(fuse, TokenBank(observed, proposals, available), statistics)

    def rows(index):
        pick = lambda tokens: Tokens(tokens.values[index], tokens.missing[index])  # noqa: E731
        return TokenBank(
            {name: pick(t) for name, t in observed.items()},
            {name: {key: pick(t) for key, t in offers.items()} for name, offers in proposals.items()},
            {name: {key: flag[index] for key, flag in flags.items()} for name, flags in available.items()},
        )

    for row in range(BATCH):
        one = select(fuse, rows(torch.tensor([row])), statistics)
        torch.testing.assert_close(one.logits[0], whole.logits[row], rtol=0, atol=1e-12)
        assert one.trace.variants[0].tolist() == whole.trace.variants[row].tolist()
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(0))
    shuffled = select(fuse, rows(order), statistics)
    torch.testing.assert_close(shuffled.logits, whole.logits[order], rtol=0, atol=1e-12)


def test_zero_reward_is_never_fused():
    metric = Metric.SQUARED_EUCLIDEAN
    whole, absent = torch.zeros(2, PARTS, dtype=torch.bool), torch.ones(2, PARTS, dtype=torch.bool)
    content = Tokens(torch.ones(2, PARTS, WIDTH, dtype=torch.float64), whole)
    bank = TokenBank(
        {"a": content, "b": Tokens(content.values, absent)},
        {"b": {"copy": content}},
        {"b": {"copy": torch.ones(2, dtype=torch.bool)}},
    )
    statistics = make_case(2, metric, seed=0)[3]
    constant = Fused(torch.zeros(1, CLASSES, dtype=torch.float64), torch.zeros(1, DIM, dtype=torch.float64))

    def fuse(tokens):
        n = len(next(iter(tokens.values())).values)
        return Fused(constant.logits.expand(n, -1), constant.embedding.expand(n, -1))

    found = select(fuse, bank, statistics, ics_weight=ICSWeight.NONE)
    assert found.trace.steps[0].reward.flatten().tolist() == [0.0, 0.0]
    assert found.trace.variants.tolist() == [[0, 0], [0, 0]]


def test_candidates_of_a_step_are_fused_in_one_call_without_finished_samples():
    observed, proposals, available, statistics = make_case(4, Metric.COSINE, seed=28)
    fuse = ToyFusion(4, Metric.COSINE)
    bank = TokenBank(observed, proposals, available)
    found = select(fuse, bank, statistics, strategy=Strategy.GREEDY)
    evaluated = [int((~step.reward.isnan()).sum()) for step in found.trace.steps]
    assert fuse.calls == [BATCH, *evaluated]


def test_unfitted_statistics_are_refused():
    observed, proposals, available, _ = make_case(2, Metric.COSINE, seed=0)
    empty = ClassStatistics(2, CLASSES, DIM, Metric.COSINE).double()
    with pytest.raises(RuntimeError, match=r"class statistics are not fitted \(std of \(3, 3\)"):
        select(ToyFusion(0, Metric.COSINE), TokenBank(observed, proposals, available), empty)


def test_bad_arguments_are_refused():
    observed, proposals, available, statistics = make_case(2, Metric.COSINE, seed=0)
    bank = TokenBank(observed, proposals, available)
    with pytest.raises(ValueError, match="temperature must be positive and finite, however: temperature=0"):
        select(ToyFusion(0, Metric.COSINE), bank, statistics, temperature=0)
    with pytest.raises(ValueError, match=r"proposals must be for modalities of the bank .* however: \['x'\]"):
        TokenBank(observed, {"x": {}}, {})
    with pytest.raises(ValueError, match="modality0 must have one availability per proposal"):
        TokenBank(observed, proposals, {})
    wrong = Tokens(torch.zeros(BATCH, PARTS + 1, WIDTH), torch.zeros(BATCH, PARTS, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"tokens of modality0 must have shape \(12, 3, 4\)"):
        TokenBank(observed, {"modality0": {"tip": wrong}}, {"modality0": {"tip": torch.ones(BATCH, dtype=torch.bool)}})
    with pytest.raises(TypeError, match="missing tokens of a must be boolean"):
        TokenBank({"a": Tokens(torch.zeros(1, 1, 1), torch.zeros(1, 1))})


@pytest.mark.parametrize("strategy", [Strategy.GREEDY, Strategy.SIMULTANEOUS])
@pytest.mark.parametrize("threshold", [-torch.inf, -0.1, 0.03, 0.1, torch.inf])
def test_a_threshold_on_the_reward_equals_the_slow_implementation(strategy, threshold):
    metric = Metric.COSINE
    case = make_case(4, metric, seed=28)
    fuse = ToyFusion(4, metric)
    options = {"strategy": strategy, "ics_weight": ICSWeight.RATIO}
    found = select(fuse, TokenBank(*case[:3]), case[3], threshold=threshold, **options)
    for row in range(BATCH):
        want = ask_oracle(fuse, case, row, metric=metric.value, threshold=threshold, **options)
        assert found.trace.variants[row].tolist() == [want.chosen[m] for m in range(4)]
        np.testing.assert_allclose(found.logits[row], want.logits, atol=1e-9)


def test_thresholds_differ_between_samples():
    case = make_case(4, Metric.COSINE, seed=28)
    fuse, bank = ToyFusion(4, Metric.COSINE), TokenBank(*case[:3])
    limits = torch.tensor([-torch.inf, -0.1, 0.0, 0.05, torch.inf])
    row_limits = limits[torch.arange(BATCH) % 5]
    mixed = select(fuse, bank, case[3], threshold=row_limits)
    for number, limit in enumerate(limits.tolist()):
        rows = torch.arange(BATCH) % 5 == number
        alone = select(fuse, bank, case[3], threshold=limit)
        assert torch.equal(mixed.trace.variants[rows], alone.trace.variants[rows])
        torch.testing.assert_close(mixed.logits[rows], alone.logits[rows], rtol=0, atol=1e-12)


def test_infinite_thresholds_are_the_fixed_strategies():
    case = make_case(4, Metric.COSINE, seed=28, n_proposals=1)
    fuse, bank = ToyFusion(4, Metric.COSINE), TokenBank(*case[:3])
    for limit, strategy in ((torch.inf, Strategy.DISCARD), (-torch.inf, Strategy.FUSE_ALL)):
        found = select(fuse, bank, case[3], threshold=limit)
        fixed = select(fuse, bank, case[3], strategy=strategy)
        assert torch.equal(found.trace.variants, fixed.trace.variants)
        torch.testing.assert_close(found.logits, fixed.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(float("nan"), "threshold=nan"), (torch.zeros(3), r"threshold\.shape=\(3,\)"), (torch.zeros(2, 1), r"\(2, 1\)")],
)
def test_thresholds_out_of_shape_are_refused(threshold, text):
    case = make_case(2, Metric.COSINE, seed=0)
    with pytest.raises(ValueError, match=f"one number or {BATCH}, never nan, however: .*{text}"):
        select(ToyFusion(2, Metric.COSINE), TokenBank(*case[:3]), case[3], threshold=threshold)
