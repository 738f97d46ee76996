from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from dymo_med.evaluation.sweep import PREDICTIONS_FILE, Mechanism, sweep
from dymo_med.evaluation.sweep.records import SCHEMA
from dymo_med.inferers import Policy, SelectionInferer
from dymo_med.transforms import SimulateMissingd
from tests.evaluation.sweep.conftest import MECHANISMS, POLICIES, batches, subjects
from tests.networks.build import count_passes

RATES, SEEDS = [0.0, 0.5, 1.0], [1, 2]


@pytest.fixture(scope="module")
def everybody():
    return subjects(14)


@pytest.fixture(scope="module")
def results(tmp_path_factory, network, tip, mean_mode, everybody):
    """All mechanisms with three sets of recoveries; what passed through the encoders is counted."""
    passes = {
        "image": count_passes(network.encoders["image"]),
        "table": count_passes(network.encoders["table"]),
        "tip image": count_passes(tip.network.encoder_imaging),
    }
    path = sweep(
        network,
        batches(everybody, 6),
        tmp_path_factory.mktemp("sweep"),
        mechanisms=MECHANISMS,
        rates=RATES,
        seeds=SEEDS,
        recoveries={"tip": [tip], "mean_mode": [mean_mode], "both": [tip, mean_mode]},
        policies=POLICIES,
        versions_at_once=20,
    )
    counts = {name: sum(seen) for name, seen in passes.items()}
    return path, pd.read_parquet(path), counts


def hidden(everybody, mechanism, rate, seed):
    """The subjects one by one through the transform that evaluation uses."""
    own = MECHANISMS[mechanism]
    hide = SimulateMissingd(own.modality, own.pattern, rate, seed, families=own.families, order=own.order)
    samples = []
    for row in range(len(everybody["subject_id"])):
        sample = {name: values[row] for name, values in everybody.items()}
        samples.append(hide(sample))
    names = ("image", "table", "image_missing", "table_missing")
    return {name: torch.stack([sample[name] for sample in samples]) for name in names}


def test_every_combination_has_every_subject(results, everybody):
    path, table, _ = results
    assert path.name == PREDICTIONS_FILE
    assert pq.read_schema(path).names == SCHEMA.names
    sizes = table.groupby(["mechanism", "rate", "seed", "recovery", "strategy"], observed=True).size()
    assert len(sizes) == 6 * 3 * 2 * 3 * 4
    assert (sizes == 14).all()
    assert not list((path.parent / "parts").iterdir())


@pytest.mark.parametrize("recovery", ["tip", "mean_mode", "both"])
@pytest.mark.parametrize("mechanism", list(MECHANISMS))
def test_predictions_equal_those_of_the_inferer(results, network, tip, mean_mode, everybody, mechanism, recovery):
    table = results[1]
    members = {"tip": [tip], "mean_mode": [mean_mode], "both": [tip, mean_mode]}[recovery]
    inferer = SelectionInferer(members, POLICIES)
    for rate, seed in ((0.0, 1), (0.5, 1), (0.5, 2), (1.0, 1)):
        inputs = hidden(everybody, mechanism, rate, seed)
        image = inputs.pop("image")
        expected = inferer(image, network, **inputs)
        cell = table.query("mechanism == @mechanism and rate == @rate and seed == @seed and recovery == @recovery")
        for name, selection in expected.items():
            found = cell[cell["strategy"] == name]
            assert found["subject_id"].tolist() == everybody["subject_id"]
            assert found["label"].tolist() == everybody["label"].tolist()
            probability = torch.softmax(selection.logits.double(), -1)[:, 1].numpy()
            np.testing.assert_allclose(found["probability"], probability, atol=1e-6)
            fused = [variants.any() for variants in selection.trace.variants.numpy()]
            assert (found["fused"] != "").tolist() == fused
            for step, selected in enumerate(selection.trace.steps):
                assert step == 0  # one modality is recovered
                for row, (rewards, accepted) in enumerate(zip(found["rewards"], found["accepted"], strict=True)):
                    known = ~selected.reward[row].isnan()
                    np.testing.assert_allclose(rewards, selected.reward[row][known].numpy(), atol=1e-5)
                    assert list(accepted) == selected.accepted[row][known].tolist()


def test_some_candidates_are_accepted_and_some_are_not(results):
    flags = np.concatenate([flags for flags in results[1]["accepted"] if len(flags)])
    assert 0.05 < flags.mean() < 0.95


def test_inputs_are_encoded_once(results, network, tip, everybody):
    counts = results[2]
    n_images = int((~everybody["image_missing"]).sum())
    assert counts["image"] == n_images
    assert counts["tip image"] == n_images
    versions = {}
    for mechanism in MECHANISMS:
        for rate in RATES:
            for seed in SEEDS:
                inputs = hidden(everybody, mechanism, rate, seed)
                for row, subject in enumerate(everybody["subject_id"]):
                    gaps = inputs["table_missing"][row]
                    key = (subject, tuple(gaps.tolist()), bool(inputs["image_missing"][row]))
                    versions[key] = (gaps, bool(inputs["image_missing"][row]))
    expected = 0
    for gaps, no_image in versions.values():
        expected += not gaps.all()  # what was observed
        expected += bool(gaps.any())  # the plain recovery
        expected += bool(gaps.any()) and not no_image  # TIP
    assert counts["table"] == expected
    n_naive = len(everybody["subject_id"]) * len(MECHANISMS) * len(RATES) * len(SEEDS)
    assert expected < n_naive  # fewer than one pass a cell, although there are two recoveries


def test_nothing_observed_is_nan_everywhere(results):
    table = results[1]
    nobody = table[table["subject_id"] == "s013"]
    assert nobody["probability"].isna().all()
    assert nobody["hidden_share"].isna().all()
    assert table[(table["subject_id"] == "s000") & (table["mechanism"] == "random value")]["probability"].notna().all()


def test_hidden_share_is_what_was_really_hidden(results):
    table = results[1]
    shares = table[table["mechanism"] == "random column"].groupby("rate")["hidden_share"].mean()
    assert shares[0.0] == 0
    assert shares[0.5] == pytest.approx(0.5, abs=0.1)
    assert shares[1.0] == 1


def options(tip, **changes):
    settings = {
        "mechanisms": {"random value": MECHANISMS["random value"]},
        "rates": [0.5],
        "seeds": [1],
        "recoveries": {"tip": [tip]},
        "policies": {"discard": Policy("discard")},
    }
    return settings | changes


class Interrupted(list):
    """Batches of which the loader gives a few before Ctrl-C."""

    def __init__(self, batches, n_given):
        super().__init__(batches)
        self.n_given = n_given

    def __iter__(self):
        yield from self[: self.n_given]
        raise KeyboardInterrupt


def test_progress_is_shown_block_by_block(tmp_path, network, tip, everybody, monkeypatch):
    seen = []

    @contextmanager
    def bar(title, unit):
        yield lambda done, total: seen.append((title, unit, done, total))

    monkeypatch.setattr("dymo_med.evaluation.sweep.engine.progress_bar", bar)
    sweep(network, batches(everybody, 8), tmp_path, **options(tip), title="test subjects")
    assert seen == [("test subjects", "block", done, 2) for done in (1, 2)]


def test_an_interrupted_sweep_goes_on(tmp_path, network, tip, everybody):
    whole = sweep(network, batches(everybody, 4), tmp_path / "whole", **options(tip))

    with pytest.raises(KeyboardInterrupt):
        sweep(network, Interrupted(batches(everybody, 4), 2), tmp_path / "cut", **options(tip))
    assert not (tmp_path / "cut" / PREDICTIONS_FILE).exists()
    seen = count_passes(network.encoders["image"])
    again = sweep(network, batches(everybody, 4), tmp_path / "cut", **options(tip))
    assert sum(seen) == int((~everybody["image_missing"][8:]).sum())  # the first two blocks are not encoded again
    pd.testing.assert_frame_equal(pd.read_parquet(again), pd.read_parquet(whole))
    seen.clear()
    assert sweep(network, batches(everybody, 4), tmp_path / "cut", **options(tip)) == again
    assert not seen


def test_other_settings_or_subjects_are_refused(tmp_path, network, tip, everybody):
    with pytest.raises(KeyboardInterrupt):
        sweep(network, Interrupted(batches(everybody, 4), 1), tmp_path, **options(tip))
    with pytest.raises(
        ValueError, match=r"changed are \['cells', 'temperature'\] of sweep\.json; choose another folder"
    ):
        sweep(network, batches(everybody, 4), tmp_path, **options(tip, rates=[0.1]), temperature=0.2)
    with pytest.raises(ValueError, match=r"however: 1 of block 000000 are in only one"):
        sweep(network, batches(everybody, 5), tmp_path, **options(tip))


def test_refusals(tmp_path, network, tip, everybody):
    unlabeled = [{name: value for name, value in batch.items() if name != "label"} for batch in batches(everybody, 4)]
    with pytest.raises(KeyError, match="a sweep needs 'label' of every subject"):
        sweep(network, unlabeled, tmp_path / "a", **options(tip))
    with pytest.raises(ValueError, match=r"at least one subject, however: the loader has 0 batches"):
        sweep(network, [], tmp_path / "b", **options(tip))
    with pytest.raises(ValueError, match=r"one of \['image', 'table'\], however: 'no ecg' hides 'ecg'"):
        sweep(network, [], tmp_path, **options(tip, mechanisms={"no ecg": Mechanism("ecg", "table")}))
    with pytest.raises(ValueError, match=r"sets of recoveries and policies, however: \[\] and \['discard'\]"):
        sweep(network, [], tmp_path, **options(tip, recoveries={}))
    with pytest.raises(ValueError, match=r"rates of a sweep must be one or more, each once, however: rates=\[0, 0\]"):
        sweep(network, [], tmp_path, **options(tip, rates=[0, 0]))
    with pytest.raises(ValueError, match=r"rate must be between 0 and 1, however: rate=2"):
        sweep(network, [], tmp_path, **options(tip, rates=[2]))
    with pytest.raises(ValueError, match=r"pattern must be one of .* however: pattern='some'"):
        Mechanism("table", "some")
