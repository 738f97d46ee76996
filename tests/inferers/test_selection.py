"""Prediction from end to end: equations of the networks and a slow selection, sample by sample."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch

from dymo_med.inferers import Policy, SelectionInferer, build_bank, encode_shared
from dymo_med.networks.calibration import Calibration, TemperatureScaling
from dymo_med.recovery.simple import MeanModeRecovery
from dymo_med.recovery.tip import TIPRecovery
from dymo_med.selection import select
from dymo_med.selection.situations import situation_names
from dymo_med.utils import Strategy
from tests.inferers.reference import decide
from tests.networks import build, weights
from tests.selection import oracle

KINDS = [(True, "whole"), (True, "none"), (False, "whole"), (True, "part"), (False, "part"), (True, "part")] * 2
KINDS += [(True, "none"), (True, "none"), (False, "none")]
POLICIES = {
    "discard": Policy("discard"),
    "fuse_all": Policy("fuse_all"),
    "simultaneous": Policy("simultaneous", "ratio"),
    "greedy": Policy("greedy"),
    "greedy_ratio": Policy("greedy", "ratio"),
    "greedy_log": Policy("greedy", "log_ratio"),
}


def statistics_near(network, inputs):
    """Class statistics within reach of the features of this batch, so that similarities are neither 0 nor 1."""
    with torch.no_grad():
        complete = {**inputs, "image": inputs["image"].nan_to_num(), "table": inputs["table"].nan_to_num()}
        z = network(complete["image"], complete["table"], subsets=network.subsets).embedding  # (S, B, D)
    statistics = network.statistics
    for k in range(len(statistics.overall)):
        statistics.prototypes[:, k] = z[:, k::3].mean(1)
    spread = (z.mean(1, keepdim=True) - z).norm(dim=-1).square().mean(1).sqrt()
    statistics.std.copy_(spread.unsqueeze(1) * torch.tensor([0.8, 1.0, 1.2]))
    statistics.overall.copy_(statistics.prototypes.mean(0))
    statistics.is_fitted.fill_(True)


def make_case(metric="cosine", decoding="column"):
    network, arrays = build.classifier(metric)
    tip, tip_arrays = build.tip(decoding)
    inputs = build.batch(KINDS)
    if metric == "squared_euclidean":  # keep confidences away from 1
        for name in ("projection.weight", "projection.bias"):
            arrays[name] = arrays[name] * 0.15
            network.get_parameter(name).data.copy_(torch.as_tensor(arrays[name]))
    statistics_near(network, inputs)
    mean_mode = MeanModeRecovery("table", weights.CARDINALITIES, weights.N_NUMBERS).double()
    mean_mode.fit(torch.as_tensor(build.rows(30)), torch.zeros(30, 6, dtype=torch.bool))
    return network, arrays, [TIPRecovery(tip), mean_mode], tip_arrays, inputs


def run(network, recoveries, inputs, policies=POLICIES):
    first, rest = inputs["image"], {name: value for name, value in inputs.items() if name != "image"}
    return SelectionInferer(recoveries, policies)(first, network, **rest)


def ask(case, index, policy, metric, decoding):
    network, arrays, recoveries, tip_arrays, inputs = case
    learned = network.statistics
    statistics = oracle.OracleStatistics(
        oracle.subsets_of(2), learned.prototypes.numpy(), learned.std.numpy(), learned.overall.numpy()
    )
    sample = {name: value[index].numpy() for name, value in inputs.items()}
    fill = recoveries[1].fill.numpy()
    return decide(sample, arrays, tip_arrays, statistics, policy, metric=metric, decoding=decoding, fill=fill)


@pytest.mark.parametrize(
    ("metric", "decoding"), [("cosine", "column"), ("squared_euclidean", "column"), ("cosine", "global")]
)
def test_every_decision_equals_the_slow_one(metric, decoding):
    case = make_case(metric, decoding)
    network, _, recoveries, _, inputs = case
    selections = run(network, recoveries, inputs)
    accepted = rejected = 0
    for (name, policy), index in itertools.product(POLICIES.items(), range(len(KINDS))):
        if KINDS[index] == (False, "none"):
            assert selections[name].logits[index].isnan().all()
            assert selections[name].embedding[index].isnan().all()
            continue
        selection, expected = selections[name], ask(case, index, policy, metric, decoding)
        trace = selection.trace
        assert trace.variants[index].tolist() == [expected.chosen[0], expected.chosen[1]]
        np.testing.assert_allclose(selection.logits[index], expected.logits, rtol=0, atol=1e-9)
        np.testing.assert_allclose(selection.embedding[index], expected.embedding, rtol=0, atol=1e-9)
        for number, step in enumerate(expected.steps):
            found = trace.steps[number]
            assert float(found.confidence_before[index]) == pytest.approx(step.q_before, abs=1e-9)
            assert float(found.ics_before[index]) == pytest.approx(step.ics_before, abs=1e-9, nan_ok=True)
            for column, candidate in enumerate(trace.candidates):
                if candidate not in step.rewards:
                    assert math.isnan(found.reward[index, column])
                    continue
                assert float(found.confidence[index, column]) == pytest.approx(step.q_after[candidate], abs=1e-9)
                assert float(found.ics[index, column]) == pytest.approx(step.ics_after[candidate], abs=1e-9)
                assert float(found.ics_weight[index, column]) == pytest.approx(step.ics_weight[candidate], abs=1e-7)
                assert float(found.reward[index, column]) == pytest.approx(step.rewards[candidate], abs=1e-7)
                rejected += step.rewards[candidate] < 0
            accepted += len(step.accepted)
    assert accepted > 3
    assert rejected > 3


@pytest.mark.parametrize("filler", [torch.nan, torch.inf, 1e6])
def test_content_of_missing_entries_changes_no_bit(filler):
    network, _, recoveries, _, inputs = make_case()
    reference = run(network, recoveries, {**inputs, "image": inputs["image"].nan_to_num(), "table": inputs["table"]})
    absent = inputs["image_missing"][:, None, None, None]
    changed = {
        **inputs,
        "image": torch.where(absent, filler, inputs["image"]),
        "table": torch.where(inputs["table_missing"], filler, inputs["table"]),
    }
    for name, selection in run(network, recoveries, changed).items():
        assert torch.equal(selection.logits.nan_to_num(), reference[name].logits.nan_to_num())
        assert torch.equal(selection.trace.variants, reference[name].trace.variants)
        for step, expected in zip(selection.trace.steps, reference[name].trace.steps, strict=True):
            assert torch.equal(step.reward.nan_to_num(nan=9.0), expected.reward.nan_to_num(nan=9.0))


def test_one_sample_and_another_order_decide_the_same():
    network, _, recoveries, _, inputs = make_case()
    reference = run(network, recoveries, inputs)["greedy_ratio"]
    order = torch.randperm(len(KINDS), generator=torch.Generator().manual_seed(0))
    permuted = run(network, recoveries, build.take(inputs, order))["greedy_ratio"]
    torch.testing.assert_close(permuted.logits, reference.logits[order], rtol=0, atol=1e-11, equal_nan=True)
    assert torch.equal(permuted.trace.variants, reference.trace.variants[order])
    for index in range(len(KINDS)):
        alone = run(network, recoveries, build.take(inputs, slice(index, index + 1)))["greedy_ratio"]
        torch.testing.assert_close(alone.logits[0], reference.logits[index], rtol=0, atol=1e-11, equal_nan=True)
        assert torch.equal(alone.trace.variants[0], reference.trace.variants[index])


def test_each_input_and_each_proposal_is_encoded_once():
    network, _, recoveries, _, inputs = make_case()
    images = build.count_passes(network.encoders["image"])
    tables = build.count_passes(network.encoders["table"])
    recovered = build.count_passes(recoveries[0].network.encoder_imaging)
    run(network, recoveries, inputs)
    with_image = sum(image for image, _ in KINDS)
    gaps = [image for image, table in KINDS if table != "whole"]
    assert images == [with_image]
    # one call: observed tables in whole or part, TIP's proposals (an image is there), those of the plain recovery
    assert tables == [sum(table != "none" for _, table in KINDS) + sum(gaps) + len(gaps)]
    assert recovered == [sum(gaps)]


def test_recoveries_see_only_samples_with_gaps_and_complete_batches_skip_them():
    network, _, recoveries, _, _ = make_case()
    recovered = build.count_passes(recoveries[0].network.encoder_imaging)
    selection = run(network, recoveries, build.batch([(True, "whole"), (False, "whole")]))["greedy"]
    assert recovered == []
    assert selection.trace.variants.tolist() == [[0, 0], [0, 0]]


def test_labels_are_no_argument():
    network, _, recoveries, _, inputs = make_case()
    assert not {"label", "labels", "y", "target"} & set(inspect.signature(network.bind).parameters)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'label'"):
        run(network, recoveries, {**inputs, "label": torch.zeros(len(KINDS))})


def test_wrapped_networks_are_unwrapped():
    network, _, recoveries, _, inputs = make_case()
    wrapped = torch.nn.Module()
    wrapped.module = network
    expected = run(network, recoveries, inputs)["greedy"].logits
    assert torch.equal(run(wrapped, recoveries, inputs)["greedy"].logits.nan_to_num(), expected.nan_to_num())


def test_without_fitted_statistics_only_baselines_predict():
    network, _ = build.classifier()
    inputs = build.batch()
    baselines = {name: POLICIES[name] for name in ("discard", "fuse_all")}
    assert run(network, [], inputs, baselines)["discard"].logits.isfinite().all()
    with pytest.raises(RuntimeError, match=r"class statistics are not fitted"):
        run(network, [], inputs, {"greedy": POLICIES["greedy"]})


def test_refusals():
    recovery = MeanModeRecovery("table", [2], 1)
    with pytest.raises(ValueError, match=r"at least one policy, however: policies=\{\}"):
        SelectionInferer([], {})
    with pytest.raises(ValueError, match=r"different names, however: \[\('table', 'mean_mode'\), "):
        SelectionInferer([recovery, MeanModeRecovery("table", [2], 1)], POLICIES)
    with pytest.raises(ValueError, match=r"temperature must be positive and finite, however: temperature=0"):
        SelectionInferer([], POLICIES, temperature=0)
    with pytest.raises(ValueError, match=r"strategy must be one of .* however: strategy='best'"):
        Policy("best")
    with pytest.raises(ValueError, match=r"ics_weight must be one of .* however: ics_weight='log'"):
        Policy("greedy", "log")
    network, _ = build.classifier()
    ecg = MeanModeRecovery("ecg", [2], 1)
    with pytest.raises(ValueError, match=r"must fill one of \['image', 'table'\], however: mean_mode fills 'ecg'"):
        build_bank(network, *network.bind(**build.batch()), [ecg])


def test_thresholds_follow_the_situation_of_each_sample():
    network, _, recoveries, _, inputs = make_case()
    limits = {"image whole, table absent": np.inf, "image whole, table half or more": -np.inf, "otherwise": 0.0}
    policies = {"mixed": Policy("greedy", "none", limits), **POLICIES}
    found = run(network, recoveries[:1], inputs, policies)
    kinds = situation_names(found["mixed"].trace.modalities, found["mixed"].trace.observed_share)
    assert {"image whole, table absent", "image whole, table half or more"} < set(kinds)
    for row, kind in enumerate(kinds):
        alike = {np.inf: "discard", -np.inf: "fuse_all", 0.0: "greedy"}[limits.get(kind, 0.0)]
        torch.testing.assert_close(
            found["mixed"].logits[row], found[alike].logits[row], rtol=0, atol=1e-12, equal_nan=True
        )


def test_calibration_changes_the_prediction_and_no_decision():
    network, _, recoveries, _, inputs = make_case()
    image, rest = inputs["image"], {name: value for name, value in inputs.items() if name != "image"}
    calibrated = SelectionInferer(recoveries, POLICIES, calibration=Calibration((TemperatureScaling(2.0),)))
    for name, selection in calibrated(image, network, **rest).items():
        plain = run(network, recoveries, inputs)[name]
        torch.testing.assert_close(selection.logits, plain.logits / 2, equal_nan=True)
        assert torch.equal(selection.trace.variants, plain.trace.variants)
        for step, expected in zip(selection.trace.steps, plain.trace.steps, strict=True):
            assert torch.equal(step.reward.nan_to_num(), expected.reward.nan_to_num())


def test_shared_encodings_give_the_same_bank():
    network, _, recoveries, _, inputs = make_case()
    contents, missing = network.bind(**inputs)
    whole = encode_shared(network, contents, missing, recoveries, ["image"])
    rows = torch.tensor([3, 0, 0, 5])
    images = build.count_passes(network.encoders["image"])
    recovered = build.count_passes(recoveries[0].network.encoder_imaging)
    taken = [{name: value[rows] for name, value in part.items()} for part in (contents, missing)]
    shared = build_bank(network, *taken, recoveries, whole.rows(rows))
    assert images == recovered == []
    alone = build_bank(network, *taken, recoveries)
    everyone = torch.arange(4)
    assert torch.equal(shared.open, alone.open)
    for variant in range(3):
        state = torch.tensor([[0, variant]]).expand(4, 2)
        first, second = shared.tokens(everyone, state), alone.tokens(everyone, state)
        for name in first:
            torch.testing.assert_close(first[name].values, second[name].values)
            assert torch.equal(first[name].missing, second[name].missing)


def test_a_modality_that_a_recovery_fills_may_be_encoded_before():
    network, _, recoveries, _, inputs = make_case()
    contents, missing = network.bind(**inputs)
    whole = encode_shared(network, contents, missing, recoveries, ["image", "table"])
    tables = build.count_passes(network.encoders["table"])
    shared = build_bank(network, contents, missing, recoveries, whole)
    assert sum(tables) == int(shared.open.sum())  # proposals alone
    alone = build_bank(network, contents, missing, recoveries)
    everyone, state = torch.arange(len(KINDS)), torch.zeros(len(KINDS), 2, dtype=torch.int64)
    for name, tokens in alone.tokens(everyone, state).items():
        torch.testing.assert_close(shared.tokens(everyone, state)[name].values, tokens.values)


def test_a_bank_of_some_recoveries_decides_as_if_there_were_no_others():
    network, _, recoveries, _, inputs = make_case()
    bank = build_bank(network, *network.bind(**inputs), recoveries)
    for recovery in recoveries:
        part = bank.only([recovery.name])
        alone = build_bank(network, *network.bind(**inputs), [recovery])
        assert part.candidate_names == alone.candidate_names
        assert torch.equal(part.open, alone.open)
        for strategy in (Strategy.FUSE_ALL, Strategy.GREEDY):
            first = select(network.fuse, part, network.statistics, strategy=strategy)
            second = select(network.fuse, alone, network.statistics, strategy=strategy)
            torch.testing.assert_close(first.logits, second.logits, rtol=0, atol=1e-11)
    assert len(bank.candidates) == 2  # the bank itself is as it was
    assert bank.only([]).candidates == ()


def test_thresholds_are_checked():
    with pytest.raises(ValueError, match="must not be nan, however: it is for 'otherwise'"):
        Policy("greedy", threshold=float("nan"))
    with pytest.raises(ValueError, match=r"need one for 'otherwise', however: \['image whole'\]"):
        Policy("greedy", threshold={"image whole": 0.1})
    with pytest.raises(
        ValueError, match=r"a strategy, an ics_weight and a threshold, however: \['limit', 'strategy'\]"
    ):
        Policy.from_record({"strategy": "greedy", "limit": 1})
    policy = Policy("greedy", "ratio", {"image whole": float("-inf"), "otherwise": 0.1})
    assert Policy.from_record(policy.to_record()) == policy
