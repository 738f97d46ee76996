"""Converted weights in a bundle, and cohorts in the columns of a published model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from dymo_med.data.cohort import Cohort, write_cohort
from dymo_med.inferers import SelectionInferer
from dymo_med.interop import load_published, with_schema, write_published
from dymo_med.networks import with_weights
from dymo_med.tabular import Column, TabularSchema
from dymo_med.utils import SubjectError
from tests.interop import files
from tests.networks import weights

CONFIGS = Path(__file__).parents[2] / "bundles/ukbb_cardiac_cad_classification/configs"
HEADS = {"table_heads": 2, "tip_heads": 4}


def columns(n_numbers=weights.N_NUMBERS, statistics=True):
    fitted = {"mean": 2.0, "std": 0.5} if statistics else {}
    coded = [
        Column(name=f"code_{i}", kind="categorical", categories=tuple(f"level {j}" for j in range(n)))
        for i, n in enumerate(weights.CARDINALITIES)
    ]
    return (*coded, *(Column(name=f"number_{i}", kind="continuous", **fitted) for i in range(n_numbers)))


def convert(folder, n_classes=2, **leave):
    arrays = files.classifier_arrays()
    for name in ("classifier.weight", "classifier.bias", "prototypes"):
        arrays[name] = arrays[name][:n_classes]
    paths = {
        "statistics": files.write_statistics(folder / "g.pt", files.random_statistics(2, n_classes, 6)),
        "recovery": files.write_tip(folder / "last.ckpt", weights.tip_arrays(1, layers=files.LAYERS)),
        "field_lengths": files.write_lengths(folder / "lengths.pt"),
    }
    return load_published(files.write_classifier(folder / "best.ckpt", arrays), **HEADS, **(paths | leave))


def make_cohort(folder, described, schema=None, n=12):
    """A cohort in which some lack the image and some the table; its images are in place of real files."""
    rng = np.random.default_rng(0)
    subjects = [f"S{i:02d}" for i in range(n)]
    table = {
        column.name: rng.choice(np.array(column.categories, dtype=object), n)
        if column.kind == "categorical"
        else rng.normal(2.0, 0.5, n)
        for column in described
    }
    features = pd.DataFrame(table, index=subjects)
    features.iloc[3] = np.nan
    features.iloc[5, 1] = np.nan
    folder.mkdir(parents=True, exist_ok=True)
    sources = {subject: folder / f"{subject}.npy" for subject in subjects if subject not in ("S04", "S07")}
    for source in sources.values():
        np.save(source, rng.normal(size=(3, weights.IMAGE_SIZE, weights.IMAGE_SIZE)).astype(np.float32))
    return write_cohort(
        folder / "cohort",
        features=features,
        columns=described,
        images=sources,
        labels=pd.DataFrame({"cad": rng.integers(0, 2, n)}, index=subjects),
        splits=pd.Series(["train"] * 8 + ["test"] * (n - 8), index=subjects),
        set_aside=pd.DataFrame([("X1", "image", "no pixels")], columns=["subject_id", "stage", "reason"]),
        schema=schema,
        image_size=weights.IMAGE_SIZE,
        image_spacing_mm=2.5,
        data_kind="simulated",
        read=read_array,
    )


def read_array(path):
    try:
        return np.load(path), {"slice_index": 1}
    except OSError as err:
        raise SubjectError("no image", where="the file", remedy="write it") from err


def test_bundle_predicts_with_converted_weights(tmp_path):
    model = convert(tmp_path)
    schema = TabularSchema(columns())
    written = write_published(model, tmp_path / "out", schema)
    assert written == ["model.pt", "tip.pt", "schema.json", "published.yaml"]
    cohort = make_cohort(tmp_path / "data", schema.columns, TabularSchema.from_json(tmp_path / "out/schema.json"))
    parser = ConfigParser()
    parser.read_config([CONFIGS / "train.yaml", CONFIGS / "inference.yaml", tmp_path / "out/published.yaml"])
    for name, value in {
        "dataset_dir": str(cohort.folder),
        "output_dir": str(tmp_path / "eval"),
        "bundle_root": str(tmp_path),
        "device": "cpu",
        "handlers": [],
    }.items():
        parser[name] = value
    dataset, inferer = parser.get_parsed_content("dataset"), parser.get_parsed_content("inferer")
    network = parser.get_parsed_content("fitted_network").eval()
    assert parser.get_parsed_content("decoding") == "global"
    assert parser.get_parsed_content("policy").ics_weight == "ratio"
    items = [dataset[index] for index in range(len(dataset))]
    batch = {
        name: torch.stack([torch.as_tensor(item[name]) for item in items])
        for name in ("image", "table", "image_missing", "table_missing")
    }
    image = batch.pop("image")
    expected = SelectionInferer([model.recovery], inferer.policies)(image, model.network, **batch)["prediction"]
    found = inferer(image, network, **batch)["prediction"]
    torch.testing.assert_close(found.logits, expected.logits)  # BatchNorm is folded in the bundle
    assert torch.equal(found.trace.variants, expected.trace.variants)
    assert found.logits.isfinite().all()
    assert len(found.trace.steps) > 0


def test_overlay_says_sizes_metric_and_files(tmp_path):
    model = convert(tmp_path)
    write_published(model, tmp_path / "out")
    overlay = yaml.safe_load((tmp_path / "out/published.yaml").read_text())
    assert overlay.pop("sizes") == model.sizes
    assert overlay == {
        "model_file": str(tmp_path / "out/model.pt"),
        "metric": "cosine",
        "ics_weight": "ratio",
        "decoding": "global",
        "tip_file": str(tmp_path / "out/tip.pt"),
    }
    assert not (tmp_path / "out/schema.json").exists()
    train = yaml.safe_load((CONFIGS / "train.yaml").read_text())
    assert model.sizes.keys() == train["sizes"].keys()


def test_without_recovery_and_with_more_classes(tmp_path):
    write_published(convert(tmp_path, n_classes=3, recovery=None), tmp_path / "out")
    overlay = yaml.safe_load((tmp_path / "out/published.yaml").read_text())
    assert overlay["recoveries"] == []
    assert overlay["class_names"] == ["class 0", "class 1", "class 2"]
    assert not (tmp_path / "out/tip.pt").exists()


def test_small_pictures_get_a_network_definition(tmp_path):
    path = files.write_classifier(tmp_path / "best.ckpt", weights.images_arrays(3), dataset="PolyMNIST", heads=2)
    model = load_published(path)
    assert write_published(model, tmp_path / "out") == ["model.pt", "published.yaml"]
    parser = ConfigParser()
    parser.read_config(tmp_path / "out/published.yaml")
    network = with_weights(parser.get_parsed_content("network_def"), parser["model_file"])
    image = torch.randn(2, 3, 28, 28)
    assert torch.equal(
        network.eval()(m0=image, m2=image, m2_missing=None), model.network(m0=image, m2=image, m2_missing=None)
    )
    assert network.statistics.metric == "cosine"


def test_schema_must_fit_the_model(tmp_path):
    with pytest.raises(
        ValueError, match=r"columns of the model, however: .* \(\[2, 4, 3\], 2\) and \(\[2, 4, 3\], 3\)"
    ):
        write_published(convert(tmp_path), tmp_path / "out", TabularSchema(columns(n_numbers=2)))
    assert not (tmp_path / "out").exists()


def test_cohort_in_other_columns(tmp_path):
    cohort = make_cohort(tmp_path / "data", columns(statistics=False)[1:])
    wanted = TabularSchema(columns())
    with pytest.raises(ValueError, match=r"all 6 columns of the schema, however: absent are \['code_0'\]"):
        with_schema(cohort, wanted, tmp_path / "other")
    other = with_schema(cohort, wanted, tmp_path / "other", absent_as_missing=True)
    assert other.schema.digest == wanted.digest
    assert other.subjects.index.equals(cohort.subjects.index)
    for title in ("split", "label_cad", "code_1"):
        assert other.subjects[title].equals(cohort.subjects[title])
    assert other.subjects["code_0"].isna().all()
    assert other.set_aside.equals(cohort.set_aside)
    assert (other.data_kind, other.image_shape) == (cohort.data_kind, cohort.image_shape)
    assert "2.5" in (other.folder / "cohort.json").read_text()
    images = {item["subject_id"]: item["image"] for item in cohort.items()}
    assert {item["subject_id"]: item["image"] for item in other.items()} == images
    for key in filter(None, images.values()):
        assert np.array_equal(other.read_image(key), cohort.read_image(key))
    with pytest.raises(ValueError, match=r"must not be written over itself"):
        with_schema(cohort, wanted, cohort.folder)
    assert Cohort(cohort.folder).digest == cohort.digest
