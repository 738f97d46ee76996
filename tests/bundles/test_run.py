"""Both bundles from pre-training to predictions, and what is on disk afterwards."""

import json
import math

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Events

from dymo_med.data.cohort import write_cohort
from dymo_med.serving import Predictor
from dymo_med.utils import load_weights, sha256_of
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TIP, run, workflow

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]

PATTERNS = ["nothing hidden", "half of the cells hidden", "whole table hidden"]
STRATEGIES = ["discard", "fuse_all", "simultaneous", "greedy", "greedy_ics"]
REASONS = ["truncated", "tag (0020,0032)", "no pixels", "no original series", "damaged or forged"]
REASONS += ["text where a number belongs", "2 rows for one participant", "does not know in feature smoking_status"]
"""One for each fault of the download that sets a subject aside."""


class Chain:
    """Folder of the runs; what MONAI missed in each."""

    def __init__(self, root):
        self.root = root
        self.problems = {}

    def run(self, name, bundle, *overlays, **overrides):
        self.problems[name] = run(bundle, *overlays, bundle_root=self.root, **overrides)

    def runs(self):
        """Runs of the store, oldest first."""
        client = mlflow.MlflowClient(f"sqlite:///{self.root / 'eval' / 'mlflow.db'}")
        experiments = [found.experiment_id for found in client.search_experiments()]
        return sorted(client.search_runs(experiments), key=lambda found: found.info.start_time)

    def predictions(self, name):
        return pd.read_csv(self.root / "eval" / name / "predictions.csv", keep_default_na=False)

    def decisions(self, name):
        lines = (self.root / "eval" / name / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line, parse_constant=_refuse) for line in lines]

    def weights(self, name):
        return load_weights(self.root / "models" / name)


def kind_of(run):
    """What a run does; its name ends with the first digits of its key."""
    return run.info.run_name.split()[0]


def _refuse(text):
    raise AssertionError(f"{text} is not JSON")


@pytest.fixture(scope="module")
def new_chain(tmp_path_factory, copy_store, process_state):
    def make():
        root = tmp_path_factory.mktemp("bundles") / "work"
        copy_store(root / "eval")
        return Chain(root)

    return make


@pytest.fixture(scope="module")
def train(new_chain, phantom_cohort):
    """Pre-train and train in one folder, where the classifier finds the weights of the other bundle by itself."""

    def make():
        chain = new_chain()
        chain.run("pre-train", TIP, dataset_dir=phantom_cohort.folder)
        chain.run("train", CAD, dataset_dir=phantom_cohort.folder)
        return chain

    return make


@pytest.fixture(scope="module")
def chain(train, phantom_cohort, phantom_cohort_with_faults):
    """All four runs as the demonstration does them."""
    chain = train()
    chain.run("evaluate", CAD, "evaluate.yaml", dataset_dir=phantom_cohort.folder)
    chain.run("inference", CAD, "inference.yaml", dataset_dir=phantom_cohort_with_faults.folder)
    chain.stored = chain.runs()
    return chain


@pytest.fixture(scope="module")
def twin(train):
    """The same training once more."""
    return train()


@pytest.mark.parametrize("name", ["pre-train", "train", "evaluate", "inference"])
def test_monai_misses_nothing(chain, name):
    assert chain.problems[name] == []


def test_finished_weights_hold_prototypes_and_statistics(chain):
    finished, best = chain.weights("model.pt"), chain.weights("best.pt")
    assert bool(finished["statistics.is_fitted"])
    assert not bool(best["statistics.is_fitted"])
    assert float(finished["prototypes"].abs().sum()) > 0
    for name, value in best.items():
        assert name.startswith("statistics.") or torch.equal(value, finished[name]), name


@pytest.mark.parametrize("name", ["tip.pt", "best.pt", "model.pt"])
def test_seeded_training_gives_the_same_weights(chain, twin, name):
    first, second = chain.weights(name), twin.weights(name)
    assert first.keys() == second.keys()
    assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []


def test_seeded_training_gives_the_same_metrics(chain, twin):
    of_twin = twin.runs()
    assert [kind_of(found) for found in of_twin] == ["pre-train", "train"]
    for first, second in zip(chain.stored, of_twin, strict=False):
        assert first.data.metrics == second.data.metrics
    assert of_twin[1].data.metrics["validation/auroc"] > 0


@pytest.fixture(scope="module")
def label_twins(phantom_cohort, tmp_path_factory):
    """The same subjects in the same splits twice, the second time with every label turned round."""
    folder, subjects = tmp_path_factory.mktemp("twins"), phantom_cohort.subjects
    images = {item["subject_id"]: folder / f"{item['subject_id']}.npy" for item in phantom_cohort.items()}
    for subject, path in images.items():
        np.save(path, phantom_cohort.read_image(subject))
    labels = subjects[["label_cad"]].set_axis(["cad"], axis=1)
    return [
        write_cohort(
            folder / name,
            features=subjects[phantom_cohort.schema.names],
            columns=(),
            images=images,
            labels=of_task,
            splits=subjects["split"],
            schema=phantom_cohort.schema,
            image_size=phantom_cohort.image_shape[1],
            data_kind="simulated",
            read=lambda path: (np.load(path), {}),
        )
        for name, of_task in (("as_it_is", labels), ("flipped", 1 - labels))
    ]


@pytest.mark.parametrize("name", ["inference", "evaluate"])
def test_labels_never_change_a_prediction(chain, label_twins, name):
    tables = []
    for cohort in label_twins:
        output = f"{name}_{cohort.folder.name}"
        folder = chain.root / "eval" / output
        chain.run(output, CAD, f"{name}.yaml", dataset_dir=cohort.folder, output_dir=folder)
        tables.append(chain.predictions(output))
    first, second = tables
    if name == "evaluate":
        assert (first["label"] + second["label"] == 1).all()
    pd.testing.assert_frame_equal(first.drop(columns="label"), second.drop(columns="label"), check_exact=True)
    assert first["probability"].nunique() > 1


def test_every_subject_is_told_of_once(chain, phantom_cohort_with_faults):
    cohort = phantom_cohort_with_faults
    expected = sorted([*cohort.subjects.index, *cohort.set_aside["subject_id"]])
    assert len(expected) == 16
    for records in (chain.decisions("inference"), chain.predictions("inference").to_dict("records")):
        assert sorted(record["subject_id"] for record in records) == expected
        status = {record["subject_id"]: record["status"] for record in records}
        assert {subject for subject, found in status.items() if found == "predicted"} == set(cohort.subjects.index)
        for record in records:
            assert (record["status"] == "no prediction") == bool(record.get("reason"))


def test_subjects_set_aside_have_their_reasons(chain, phantom_cohort_with_faults):
    aside = phantom_cohort_with_faults.set_aside.set_index("subject_id")["reason"]
    records = [record for record in chain.decisions("inference") if record["status"] == "no prediction"]
    assert {record["subject_id"]: record["reason"] for record in records} == aside.to_dict()
    for reason in REASONS:
        assert sum(reason in found for found in aside) == 1, reason


def test_subjects_without_a_table_or_an_image_are_predicted(chain, phantom_cohort_with_faults):
    items = {item["subject_id"]: item for item in phantom_cohort_with_faults.items()}
    predicted = {record["subject_id"]: record for record in chain.decisions("inference") if "probabilities" in record}
    without = {key: [subject for subject, item in items.items() if item[key] is None] for key in ("table", "image")}
    assert len(without["table"]) >= 3
    assert len(without["image"]) == 1
    for key, subjects in without.items():
        for subject in subjects:
            assert predicted[subject]["observed"][key] == 0
    for subject in without["table"]:  # TIP recovers it from the image
        assert predicted[subject]["recovered"] == [{"modality": "table", "recovery": "tip"}]
        assert len(predicted[subject]["steps"]) == 1
    for subject in without["image"]:  # nothing recovers an image, nor a table without one
        assert predicted[subject]["recovered"] == predicted[subject]["steps"] == []


@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_table_and_lines_agree(chain, name):
    lines, rows = chain.decisions(name), chain.predictions(name).to_dict("records")
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        for key in ("subject_id", "status"):
            assert line[key] == row[key]
        if line["status"] == "no prediction":
            continue
        assert line["predicted_class"] == row["predicted_class"]
        assert line["probabilities"] == {key: float(row[f"probability_{key}"]) for key in line["probabilities"]}
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        tried = [candidate for step in line["steps"] for candidate in step["candidates"]]
        rewards = [float(reward) for reward in row["reward"].split("; ") if reward]
        assert rewards == [pytest.approx(candidate["reward"], rel=1e-5) for candidate in tried]
        assert row["fused"] == "; ".join(f"{entry['modality']} by {entry['recovery']}" for entry in line["fused"])
        accepted = [candidate["recovery"] for candidate in tried if candidate["accepted"]]
        assert not tried or accepted == [entry["recovery"] for entry in line["fused"]]


def test_strategies_are_compared_on_the_same_subjects(chain, phantom_cohort):
    comparison = pd.read_csv(chain.root / "eval" / "evaluate" / "comparison.csv")
    wanted = [(pattern, strategy) for pattern in PATTERNS for strategy in STRATEGIES]
    assert list(comparison[["pattern", "strategy"]].itertuples(index=False, name=None)) == wanted
    test_labels = phantom_cohort.subjects.query("split == 'test'")["label_cad"]
    assert set(comparison["n"]) == {len(test_labels)}
    assert set(comparison["n_positive"]) == {int(test_labels.sum())}
    predictions = chain.predictions("evaluate")
    for _, rows in predictions.groupby(["pattern", "strategy"]):
        assert rows.set_index("subject_id")["label"].astype(int).to_dict() == test_labels.to_dict()
    hidden = predictions.query("pattern == 'whole table hidden'")
    assert set(hidden["observed"]) == {"image"}
    assert set(hidden.query("strategy == 'fuse_all'")["fused"]) == {"table by tip"}
    assert set(hidden.query("strategy == 'discard'")["fused"]) == {""}


def test_one_tracked_run_for_each_bundle_run(chain, phantom_cohort):
    assert [kind_of(found) for found in chain.stored] == ["pre-train", "train", "evaluate", "inference"]
    assert {found.info.status for found in chain.stored} == {"FINISHED"}
    pretrained, trained, evaluated, predicted = chain.stored
    assert pretrained.data.params["seed"] == trained.data.params["seed"] == "2022"
    assert trained.data.params["sizes.fusion_dim"] == "8"
    assert predicted.data.params["ics_weight"] == "ratio"
    assert predicted.data.params["decoding"] == "column"
    assert evaluated.data.tags["cohort_digest"] == trained.data.tags["cohort_digest"] == phantom_cohort.digest
    assert {found.data.tags["data_kind"] for found in chain.stored} == {"simulated"}
    assert set(pretrained.data.metrics) == {"train/loss"}
    of_subsets = [f"validation/auroc{part}" for part in ("", "_image", "_table", "_image_table")]
    assert set(trained.data.metrics) >= {"train/loss", *of_subsets}
    assert all(math.isfinite(value) for value in trained.data.metrics.values())


def test_predictions_lead_to_weights_data_and_code(chain, phantom_cohort):
    pretrained, trained, *users = chain.stored
    for used in users:
        tags = used.data.tags
        for role, maker, weights in (("classifier", trained, "model.pt"), ("recovery", pretrained, "tip.pt")):
            assert tags[f"weights.{role}.run"] == maker.data.tags["dymo_med.run"]
            assert tags[f"weights.{role}.sha256"] == sha256_of(chain.root / "models" / weights)
            assert tags[f"weights.{role}.cohort_digest"] == phantom_cohort.digest
            assert tags[f"weights.{role}.code_commit"] == maker.data.tags["code.commit"]
            assert f"/runs/{maker.info.run_id})" in tags["mlflow.note.content"]
    data = {found.tags[0].value: found.dataset for found in trained.inputs.dataset_inputs}
    assert set(data) == {"training", "validation"}
    n_training = int((phantom_cohort.subjects["split"] == "train").sum())
    assert json.loads(data["training"].profile)["subjects"] == n_training


def test_evaluated_model_is_registered_and_predicts(chain, phantom_folder):
    client = mlflow.MlflowClient(f"sqlite:///{chain.root / 'eval' / 'mlflow.db'}")
    versions = client.search_model_versions("name = 'dymo_med_cad'")  # other tests evaluate again
    (version,) = (each for each in versions if each.run_id == chain.stored[2].info.run_id)
    model = chain.root / "eval" / "mlflow-files" / "models" / version.tags["dymo_med.model"] / "artifacts" / "artifacts"
    predictor = Predictor.load({path.name: path for path in model.iterdir()})
    images = sorted((phantom_folder / "first_download").rglob("*.zip"))[:2]
    answer = predictor.predict(pd.DataFrame({"image": [str(path) for path in images]}))
    assert answer["status"].tolist() == ["predicted"] * 2


def test_metrics_stand_at_their_epochs(chain):
    client = mlflow.MlflowClient(f"sqlite:///{chain.root / 'eval' / 'mlflow.db'}")
    for name in ("train/loss", "validation/auroc"):
        history = client.get_metric_history(chain.stored[1].info.run_id, name)
        assert [metric.step for metric in history] == [1, 2]


def test_store_tells_of_no_subject_and_of_no_place_of_data(chain, phantom_cohort, phantom_cohort_with_faults):
    cohorts = (phantom_cohort, phantom_cohort_with_faults)
    texts = [text for cohort in cohorts for text in [*cohort.subjects.index, *cohort.set_aside["subject_id"]]]
    assert len(texts) == 44
    texts += [str(cohort.folder) for cohort in cohorts] + [str(chain.root / "models")]
    stored = [path for path in (chain.root / "eval").glob("mlflow*/**/*") if path.is_file()]
    assert {"comparison.csv", "comparison.json", "loss.png", "MLmodel", "classifier.pt"} <= {
        path.name for path in stored
    }
    for path in [*stored, chain.root / "eval" / "mlflow.db"]:
        content = path.read_bytes()
        assert [text for text in texts if text.encode() in content] == []


def test_error_in_training_is_a_failed_run(new_chain, phantom_cohort):
    chain = new_chain()
    work = workflow(TIP, bundle_root=str(chain.root), dataset_dir=str(phantom_cohort.folder))
    work.initialize()

    def explode(_):
        raise ValueError("out of luck")

    work.parser.get_parsed_content("train::trainer").add_event_handler(Events.ITERATION_COMPLETED(once=2), explode)
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        work.run()
    assert str(caught.value.__cause__) == "out of luck"
    assert [(kind_of(found), found.info.status) for found in chain.runs()] == [("pre-train", "FAILED")]
    assert not (chain.root / "models" / "tip.pt").exists()  # a checkpoint to resume from may be there


def test_a_target_prevalence_moves_the_log_odds_of_every_prediction(chain, phantom_cohort):
    """Training weighted classes to equal parts; 6 % of the patients are cases."""
    odds, fused = [], []
    for name, target in (("as_learned", None), ("six_percent", [0.94, 0.06])):
        folder = chain.root / "eval" / name
        chain.run(name, CAD, "inference.yaml", dataset_dir=phantom_cohort.folder, output_dir=folder,
                  target_prevalence=target)  # fmt: skip
        table = chain.predictions(name).query("status == 'predicted'")
        risk = table["probability_coronary artery disease"].astype(float)
        odds.append(np.log(risk / (1 - risk)))
        fused.append(table["fused"].tolist())
    np.testing.assert_allclose(odds[1] - odds[0], math.log(0.06 / 0.94), rtol=1e-3)
    assert fused[0] == fused[1]
    (run,) = [found for found in chain.runs() if found.data.params.get("target_prevalence") == "[0.94, 0.06]"]
    assert kind_of(run) == "inference"


def test_named_store_is_used(chain, tmp_path, phantom_cohort, copy_store):
    elsewhere, before = Chain(tmp_path), len(chain.runs())
    uri = f"sqlite:///{copy_store(tmp_path / 'eval') / 'mlflow.db'}"
    output = chain.root / "eval" / "elsewhere"
    chain.run("other", CAD, "inference.yaml", dataset_dir=phantom_cohort.folder, output_dir=output, tracking_uri=uri)
    assert [kind_of(found) for found in elsewhere.runs()] == ["inference"]
    assert len(chain.runs()) == before
