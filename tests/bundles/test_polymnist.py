"""The bundles on five pictures: they agree with each other, and run from training to a comparison."""

import json

import pandas as pd
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow

from dymo_med.data.polymnist import fractions_of
from dymo_med.utils import load_weights
from tests.bundles.runs import THIRD_PARTY_WARNINGS, configs
from tests.data.polymnist.build import small_set

VAE, CLASSIFICATION = "polymnist_vae", "polymnist_classification"
STRATEGIES = ["discard", "fuse_all", "simultaneous", "greedy", "greedy_ics"]
ETAS = {"eta 0.2": 1, "eta 0.4": 2, "eta 0.6": 3, "eta 0.8": 4}
TINY_VAE = {"sizes::vae_channels": [4, 6], "sizes::vae_hidden_dim": 8, "sizes::vae_latent_dim": 4}
TINY = {
    VAE: {"max_epochs": 2, "batch_size": 16, **TINY_VAE},
    CLASSIFICATION: {
        "max_epochs": 3,
        "batch_size": 16,
        "aux_start_epoch": 1,
        "class_names": ["0", "1", "2"],
        "sizes::encoder_channels": [4, 6],
        "sizes::fusion_dim": 8,
        "sizes::fusion_blocks": 1,
        "sizes::fusion_heads": 2,
        "sizes::embedding_dim": 6,
        **TINY_VAE,
    },
}


def load(bundle, *names):
    return ConfigParser.load_config_files([str(configs(bundle) / name) for name in names])


@pytest.mark.parametrize("names", [["train.yaml"], ["train.yaml", "small.yaml"]])
def test_recovery_is_the_network_that_was_trained(names):
    vae, classifier = load(VAE, *names), load(CLASSIFICATION, *names)
    assert vae["network_def"] == classifier["recovery_def"]
    assert vae["posterior_encoders"] == classifier["posterior_encoders"]
    assert vae["sizes"] == {key: classifier["sizes"][key] for key in vae["sizes"]}
    for key in ("samples", "modalities", "loading", "prepare_batch", "fresh_pairing_prob"):
        assert vae[key] == classifier[key]


def test_sizes_are_those_of_the_papers():
    assert yaml.safe_load((configs(CLASSIFICATION) / "train.yaml").read_text())["sizes"] == {
        "encoder_channels": [32, 64, 128],
        "fusion_dim": 128,
        "fusion_blocks": 2,
        "fusion_heads": 4,
        "embedding_dim": 64,
        "vae_channels": [32, 64, 128],
        "vae_hidden_dim": 512,
        "vae_latent_dim": 512,
    }


@pytest.mark.parametrize(("unlabeled", "n_items"), [(0.0, 80), (0.5, 80)])
def test_recovery_learns_from_pictures_without_labels_too(tmp_path, unlabeled, n_items):
    data = small_set(tmp_path, n_digits=100, n_classes=2, fractions=fractions_of(unlabeled))
    for bundle, expected in ((VAE, n_items), (CLASSIFICATION, round(80 * (1 - unlabeled)))):
        parser = ConfigParser(load(bundle, "train.yaml"))
        parser["dataset_dir"] = str(data.folder)
        items = parser.get_parsed_content("train::items")
        assert len(items) == expected
        kept_out = {item["subject_id"] for split in ("val", "test") for item in data.items(split)}
        assert not kept_out & {item["subject_id"] for item in items}


@pytest.mark.parametrize(("metric", "weight"), [("cosine", "log_ratio"), ("squared_euclidean", "ratio")])
def test_weight_of_similarity_follows_the_metric(metric, weight):
    parser = ConfigParser(load(CLASSIFICATION, "train.yaml"))
    parser["metric"] = metric
    assert parser.get_parsed_content("ics_weight") == weight


class Chain:
    """A set with its runs."""

    def __init__(self, root):
        self.root = root
        self.data = small_set(root / "data", n_modalities=5)
        self.problems = {}

    def run(self, bundle, *overlays, name, **overrides):
        names = ["train.yaml", *overlays, "small.yaml"]
        kind = "inference" if "inference.yaml" in overlays else "train"
        work = ConfigWorkflow(
            [str(configs(bundle) / each) for each in names],
            workflow_type=kind,
            logging_file=False,
            **{**TINY[bundle], "dataset_dir": str(self.data.folder), "bundle_root": str(self.root / name), **overrides},
        )
        work.initialize()
        self.problems[name, overlays] = work.check_properties()
        work.run()
        work.finalize()

    def table(self, name, folder, file):
        return pd.read_csv(self.root / name / "eval" / folder / file, keep_default_na=file != "predictions.csv")


@pytest.fixture(scope="module")
def chain(tmp_path_factory, copy_store, process_state):
    chain = Chain(tmp_path_factory.mktemp("polymnist"))
    for name in ("vae", "cosine", "moddrop"):
        copy_store(chain.root / name / "eval")
    chain.run(VAE, name="vae")
    vae = str(chain.root / "vae" / "models" / "vae.pt")
    chain.run(CLASSIFICATION, name="cosine")
    chain.run(CLASSIFICATION, "evaluate.yaml", name="cosine", vae_file=vae)
    chain.run(CLASSIFICATION, "inference.yaml", name="cosine", vae_file=vae, missing_rate=0.6, split="test")
    chain.run(CLASSIFICATION, "moddrop.yaml", name="moddrop")
    chain.run(CLASSIFICATION, "evaluate.yaml", "moddrop.yaml", name="moddrop")
    return chain


slow = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]


@pytest.mark.slow
class TestRuns:
    """What the runs leave."""

    pytestmark = slow

    def test_monai_misses_nothing(self, chain):
        assert set(map(tuple, chain.problems.values())) == {()}

    def test_finished_weights(self, chain):
        for name in ("cosine", "moddrop"):
            weights = load_weights(chain.root / name / "models" / "model.pt")
            assert bool(weights["statistics.is_fitted"])
        assert not (chain.root / "vae" / "models" / "checkpoint.pt").exists()

    def test_every_sample_of_a_rate_lost_as_many(self, chain):
        table = chain.table("cosine", "evaluate", "predictions.csv")
        for pattern, n_hidden in ETAS.items():
            rows = table[table["pattern"] == pattern]
            assert set(rows["observed"].map(lambda text: len(text.split(", ")))) == {5 - n_hidden}
            every = rows[rows["strategy"] == "fuse_all"]["fused"]
            assert set(every.map(lambda text: len(text.split("; ")))) == {n_hidden}
        alone = table[table["pattern"] == "first modality alone"]
        assert set(alone["observed"]) == {"m0"}
        assert set(table[table["pattern"] == "nothing hidden"]["fused"]) == {""}

    def test_accuracy_is_that_of_the_predictions(self, chain):
        table, found = (
            chain.table("cosine", "evaluate", "predictions.csv"),
            chain.table("cosine", "evaluate", "accuracy.csv"),
        )
        patterns = ["nothing hidden", *ETAS, "first modality alone"]
        wanted = [(pattern, strategy) for pattern in patterns for strategy in STRATEGIES]
        assert list(found[["pattern", "strategy"]].itertuples(index=False, name=None)) == wanted
        for _, row in found.iterrows():
            rows = table[(table["pattern"] == row["pattern"]) & (table["strategy"] == row["strategy"])]
            right = rows["predicted_class"].astype(int) == rows["label"].astype(int)
            assert row["n"] == len(rows) == 12
            assert row["accuracy"] == pytest.approx(right.mean())
        complete = found[found["pattern"] == "nothing hidden"]
        assert complete["accuracy"].nunique() == 1

    def test_rewards_cover_every_modality(self, chain):
        found = chain.table("cosine", "evaluate", "rewards.csv")
        assert set(found["modality"]) == set(chain.data.modalities)
        assert set(found["strategy"]) == {"simultaneous", "greedy", "greedy_ics"}
        assert found["mean_loss_drop"].notna().all()

    def test_inference_hides_what_it_is_told(self, chain):
        lines = (chain.root / "cosine" / "eval" / "inference" / "decisions.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert sorted(record["subject_id"] for record in records) == sorted(
            item["subject_id"] for item in chain.data.items("test")
        )
        for record in records:
            assert sum(record["observed"].values()) == 2
            assert len(record["recovered"]) == 3

    def test_moddrop_recovers_nothing(self, chain):
        table = chain.table("moddrop", "evaluate", "predictions.csv")
        assert set(table["strategy"]) == {"moddrop"}
        assert set(table["recovered"]) == {""}
        assert len(chain.table("moddrop", "evaluate", "rewards.csv")) == 0

    def test_moddrop_learns_without_prototypes(self, chain):
        weights = load_weights(chain.root / "moddrop" / "models" / "best.pt")
        assert weights["classifier.weight"].isfinite().all()
        cosine = load_weights(chain.root / "cosine" / "models" / "best.pt")
        assert not torch.equal(weights["classifier.weight"], cosine["classifier.weight"])
