"""The infarction bundle, what encoders start from, class balance, several recoveries: as runs of the bundles."""

import json
import warnings

import pytest
import torch

from dymo_med.utils import load_weights
from tests.bundles.runs import CAD, INFARCTION, THIRD_PARTY_WARNINGS, TIP, run, workflow

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]


@pytest.fixture(scope="module")
def chain(tmp_path_factory, process_state, phantom_cohort, copy_store):
    """TIP with the published augmentation, then the infarction classifier on its frozen encoders, then predictions."""
    root = tmp_path_factory.mktemp("infarction") / "work"
    copy_store(root / "eval")
    places = {"bundle_root": root, "dataset_dir": phantom_cohort.folder}
    problems = run(TIP, "augmentation_published.yaml", **places)
    overlays = ["augmentation_published.yaml", "recoveries_all.yaml"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "imputation of 'table' still moved")  # 20 subjects for more than 50 columns
        problems += run(INFARCTION, *overlays, **places, initialization="tip", freeze_encoders=True)
    problems += run(INFARCTION, "inference.yaml", "recoveries_all.yaml", **places)
    return root, problems


def test_monai_misses_nothing(chain):
    assert chain[1] == []


def test_frozen_encoders_are_those_of_tip(chain):
    root, _ = chain
    tip, model = (load_weights(root / "models" / name) for name in ("tip.pt", "model.pt"))
    for own, pretrained in (("encoders.image.", "encoder_imaging."), ("encoders.table.", "encoder_tabular.")):
        names = [name for name in tip if name.startswith(pretrained)]
        assert len(names) > 10
        for name in names:
            assert torch.equal(model[own + name.removeprefix(pretrained)], tip[name]), name
    assert any("running_mean" in name and bool(value.any()) for name, value in tip.items())


def test_weights_tell_schema_and_prevalence(chain, phantom_cohort):
    root, _ = chain
    model = load_weights(root / "models" / "model.pt")
    labels = phantom_cohort.subjects.query("split == 'train'")["label_infarction"]
    share = float(labels.mean())
    assert 0 < share < 0.5
    assert model["statistics.prevalence"].tolist() == pytest.approx([1 - share, share])
    assert model["statistics.learned_prevalence"].tolist() == [0.5, 0.5]
    assert bytes(model["encoders.table.schema_digest"].tolist()).hex() == phantom_cohort.schema.digest


def test_predictions_are_of_infarction(chain):
    text = (chain[0] / "eval" / "inference" / "summary.txt").read_text(encoding="utf-8")
    assert "myocardial infarction" in text
    assert "coronary" not in text


def test_recoveries_compete_for_every_patient(chain, phantom_cohort):
    root, _ = chain
    lines = (root / "eval" / "inference" / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    recovered = [{entry["recovery"] for entry in json.loads(line)["recovered"]} for line in lines]
    partly = [item["table"] is not None and item["table_missing"].any() for item in phantom_cohort.items()]
    assert len(recovered) == len(partly)
    assert recovered.count({"tip", "iterative", "mean_mode"}) >= sum(partly) > 10


def test_simple_recoveries_are_fitted_on_training_subjects(chain, phantom_cohort):
    fitted = load_weights(chain[0] / "models" / "mean_mode.pt")
    items = phantom_cohort.items("train", "infarction")
    column = phantom_cohort.schema.n_columns - 1
    values = [item["table"][column] for item in items if not item["table_missing"][column]]
    assert float(fitted["fill"][column]) == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert bytes(fitted["schema_digest"].tolist()).hex() == phantom_cohort.schema.digest


def content(cohort, *ids, **overrides):
    """Parts of the classifier's training, made but not run."""
    config = workflow(CAD, dataset_dir=str(cohort.folder), **overrides).parser
    return [config.get_parsed_content(name) for name in ids]


def test_balanced_subset_is_what_is_trained_on(phantom_cohort):
    items, loss = content(phantom_cohort, "train::items", "loss", class_balance="balanced_subset")
    natural, _ = content(phantom_cohort, "train::items", "loss", class_balance="none")
    labels = [item["label"] for item in items]
    n_rare = sum(item["label"] for item in natural)
    assert (labels.count(0), labels.count(1)) == (n_rare, n_rare)
    assert len(natural) > len(items)
    assert loss.class_weight.tolist() == [1, 1]


def test_all_are_trained_on_with_weights_by_default(phantom_cohort):
    dataset, loss = content(phantom_cohort, "train::dataset", "loss")
    labels = [item["label"] for item in phantom_cohort.items("train", "cad")]
    assert len(dataset) == len(labels)
    assert loss.class_weight.tolist() == pytest.approx([len(labels) / (2 * labels.count(label)) for label in (0, 1)])


def test_frozen_encoders_are_not_optimized(chain, phantom_cohort):
    parameters = []
    for freeze in (True, False):
        overrides = {
            "initialization": "tip",
            "tip_file": str(chain[0] / "models" / "tip.pt"),
            "freeze_encoders": freeze,
        }
        network, optimizer = content(phantom_cohort, "network_def", "optimizer", **overrides)
        found = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        own = {id(p) for name, p in network.named_parameters() if not (freeze and name.startswith("encoders."))}
        parameters.append(len(found))
        assert found == own
    assert parameters[0] < parameters[1]
