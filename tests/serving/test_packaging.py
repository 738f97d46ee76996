"""A packaged model: loads elsewhere, predicts what the library predicts, and carries nothing of anybody."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dymo_med.inferers import Policy, SelectionInferer
from dymo_med.networks import prepare_for_inference
from dymo_med.networks.nets import TIP, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.recovery import TIPRecovery
from dymo_med.serving import Predictor, package_model
from dymo_med.utils import load_weights, read_json, save_weights, write_json

NAMES = ["healthy", "ill"]
MODALITIES = ("image", "table")


def networks(cohort):
    """A small classifier with made-up class statistics, and its recovery."""
    torch.manual_seed(1)

    def encoders():
        image = ImageEncoder(3, cohort.image_shape[1], block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        schema = cohort.schema
        return image, TableEncoder(schema.cat_cardinalities, schema.n_num_features, dim=8, n_blocks=1, n_heads=2)

    network = MultimodalTransformer(
        dict(zip(MODALITIES, encoders(), strict=True)), 2, dim=8, n_blocks=1, n_heads=2, embedding_dim=4
    )
    moments = network.statistics.new_moments()
    for subset in range(3):
        moments.update(subset, torch.nn.functional.normalize(torch.randn(20, 4)), torch.arange(20) % 2)
    network.statistics.fit(moments)
    recovery = TIPRecovery(prepare_for_inference(TIP(*encoders(), n_blocks=1, n_heads=2, projection_dim=4)))
    return network.eval(), recovery


@pytest.fixture(scope="module")
def model(phantom_cohort, tmp_path_factory):
    """A packaged model, and what it was made of."""
    network, recovery = networks(phantom_cohort)
    folder = package_model(
        tmp_path_factory.mktemp("serving") / "model",
        network=network,
        recoveries=[recovery],
        policy=Policy("greedy", "ratio"),
        temperature=0.1,
        cohort=phantom_cohort,
        class_names=NAMES,
    )
    return folder, network, recovery


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor.load(files(model[0]))


def files(folder):
    return {path.name: path for path in (folder / "artifacts").iterdir()}


@pytest.fixture(scope="module")
def rows(phantom_cohort, phantom_folder):
    """Raw rows of training subjects: with everything, without image, without table, with half of it."""
    table = phantom_cohort.subjects[phantom_cohort.schema.names].head(4).reset_index(drop=True)
    images = sorted((phantom_folder / "first_download").rglob("*.zip"))[:4]
    table.insert(0, "image", [str(path) for path in images])
    table.loc[1, "image"] = None
    table.loc[2, phantom_cohort.schema.names] = None
    table.loc[3, phantom_cohort.schema.names[::2]] = None
    return table


def test_model_folder_holds_no_pickle_of_objects_and_no_place_of_this_machine(model, phantom_cohort):
    folder, _, _ = model
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert {"MLmodel", "mlflow_model.py", "artifacts/classifier.pt", "artifacts/settings.json"} <= set(found)
    assert [name for name in found if name.endswith((".pkl", ".pickle", ".joblib"))] == []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            contents += [zipfile.ZipFile(path).read(name) for name in zipfile.ZipFile(path).namelist()]
        for content in contents:
            for text in (*phantom_cohort.subjects.index, str(phantom_cohort.folder), str(folder.parent), "/dymo_med/"):
                assert text.encode() not in content, (path.name, text)
    assert load_weights(folder / "artifacts" / "classifier.pt").keys() == model[1].state_dict().keys()


def test_every_column_is_optional(model, phantom_cohort):
    signature = yaml.safe_load((model[0] / "MLmodel").read_text())["signature"]["inputs"]
    columns = yaml.safe_load(signature)
    assert [column["name"] for column in columns] == ["image", *phantom_cohort.schema.names]
    assert {column["required"] for column in columns} == {False}
    kinds = {column["name"]: column["type"] for column in columns}
    for column in phantom_cohort.schema.columns:
        assert kinds[column.name] == ("string" if column.kind == "categorical" else "double")


def test_only_the_status_of_a_row_is_always_there(model):
    columns = yaml.safe_load(yaml.safe_load((model[0] / "MLmodel").read_text())["signature"]["outputs"])
    assert [column["name"] for column in columns if column["required"]] == ["status"]
    assert {"reason", "probability", "probability_ill"} < {column["name"] for column in columns}


def test_environment_is_asked_for_in_the_versions_of_here(model):
    lines = (model[0] / "requirements.txt").read_text().split()
    pinned = dict(line.split("==") for line in lines)
    assert {"dymo-med", "mlflow", "monai", "numpy", "pydicom", "torch"} <= pinned.keys()
    assert not {"snakemake", "onnx", "scikit-image"} & pinned.keys()  # of extras, which prediction does not need
    assert pinned["torch"] == torch.__version__.split("+")[0]
    assert pinned["numpy"] == np.__version__


def test_prediction_is_that_of_the_library(model, predictor, rows, phantom_cohort):
    """Oracle: the networks that were packaged, on tensors made step by step."""
    from dymo_med.data.cohort import read_model_image
    from dymo_med.tabular import encode_table

    _, network, recovery = model
    encoded = encode_table(rows[phantom_cohort.schema.names], phantom_cohort.schema)
    spacing = read_json(phantom_cohort.folder / "cohort.json")["image"]["spacing_mm"]
    images = [
        np.zeros(phantom_cohort.image_shape, np.float32)
        if pd.isna(path)
        else read_model_image(predictor_path(path), size=phantom_cohort.image_shape[1], spacing_mm=spacing)[0]
        for path in rows["image"]
    ]
    inferer = SelectionInferer([recovery], {"one": Policy("greedy", "ratio")}, 0.1)
    logits = inferer(
        torch.from_numpy(np.stack(images)),
        network,
        table=torch.from_numpy(encoded.values),
        image_missing=torch.tensor(rows["image"].isna().to_numpy()),
        table_missing=torch.from_numpy(encoded.missing),
    )["one"].logits
    answer = predictor.predict(rows)
    assert answer["status"].tolist() == ["predicted"] * 4
    np.testing.assert_allclose(answer["probability_ill"], torch.softmax(logits, 1)[:, 1], atol=1e-5)
    np.testing.assert_allclose(answer["probability"], answer["probability_ill"])
    assert answer["observed"].iloc[1].endswith("table")
    assert "image" not in answer["observed"].iloc[1]
    assert answer["observed"].iloc[2] == "image"
    assert " % of table" in answer["observed"].iloc[3]


def predictor_path(text):
    from pathlib import Path

    return Path(text)


def test_rows_keep_their_index_and_do_not_mind_each_other(predictor, rows):
    whole = predictor.predict(rows.set_axis(["d", "a", "c", "b"]))
    assert list(whole.index) == ["d", "a", "c", "b"]
    one = predictor.predict(rows.iloc[[2]])
    assert one["probability"].item() == pytest.approx(whole["probability"]["c"], abs=1e-6)


def test_absent_columns_are_missing_as_null_is(predictor, rows):
    null = rows.assign(**dict.fromkeys(rows.columns[1:], None))
    pd.testing.assert_frame_equal(predictor.predict(rows[["image"]].head(1)), predictor.predict(null.head(1)))


def test_bad_row_costs_itself_only(predictor, rows, tmp_path):
    bad = pd.concat([rows, rows, rows.head(2)], ignore_index=True).astype("object")
    bad.loc[4, "image"] = str(tmp_path / "secret_name.zip")
    bad.loc[5, next(name for name in rows.columns[1:] if pd.api.types.is_numeric_dtype(rows[name]))] = "old"
    bad.loc[6, :] = None
    bad.loc[7, "image"] = "a.nii.gz;b.nii.gz;c.nii.gz"
    answer = predictor.predict(bad)
    assert answer["status"].tolist() == ["predicted"] * 4 + ["no prediction"] * 4 + ["predicted"] * 2
    assert "unreadable file" in answer["reason"][4]
    assert "secret_name" not in answer["reason"][4]
    assert "'old' is no finite number" in answer["reason"][5]
    assert "nothing was observed" in answer["reason"][6]
    assert "3 file names" in answer["reason"][7]
    assert answer["probability"][4:8].isna().all()
    np.testing.assert_allclose(answer["probability"][8:10], answer["probability"][:2], atol=1e-6)


def test_no_row_gives_no_prediction(predictor, rows):
    assert predictor.predict(rows.head(0)).shape == (0, 9)


def test_mlflow_loads_it_in_another_process_and_folder(model, predictor, rows, tmp_path):
    script = """
import sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
assert model.input_example is None or "image" in model.input_example.columns
frame = pd.read_json(sys.argv[2], orient="split", dtype=False).astype({"image": "object"})
model.predict(frame).to_json(sys.argv[3], orient="split")
"""
    rows[["image", "age_at_scan_years"]].to_json(tmp_path / "rows.json", orient="split")
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    words = ["-W", "ignore", "-c", script, str(model[0]), str(tmp_path / "rows.json"), str(tmp_path / "out.json")]
    subprocess.run([sys.executable, *words], check=True, cwd=tmp_path, env=environment, timeout=300)
    answer = pd.read_json(tmp_path / "out.json", orient="split")
    expected = predictor.predict(rows[["image", "age_at_scan_years"]])
    np.testing.assert_allclose(answer["probability"], expected["probability"], atol=1e-6)
    assert not (tmp_path / "mlruns").exists()


def test_packaging_again_replaces_the_model(model, phantom_cohort, tmp_path):
    _, network, recovery = model
    options = {"policy": Policy("discard"), "temperature": 0.1, "cohort": phantom_cohort, "class_names": NAMES}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("")
    folder = package_model(tmp_path / "model", network=network, recoveries=[recovery], **options)
    assert not (folder / "old").exists()
    assert read_json(folder / "artifacts" / "settings.json")["strategy"] == "discard"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_network_without_statistics_is_refused(phantom_cohort, tmp_path):
    network, recovery = networks(phantom_cohort)
    network.statistics.is_fitted.fill_(False)
    options = {"policy": Policy("discard"), "temperature": 0.1, "cohort": phantom_cohort, "class_names": NAMES}
    with pytest.raises(RuntimeError, match="packaged with fitted class statistics, however: is_fitted=False"):
        package_model(tmp_path / "model", network=network, recoveries=[recovery], **options)
    assert list(tmp_path.iterdir()) == []


def test_model_of_another_version_is_refused(model, tmp_path):
    settings = read_json(model[0] / "artifacts" / "settings.json") | {"version": 2, "dymo_med": "9.9"}
    write_json(tmp_path / "settings.json", settings)
    line = r"settings.json must be of format \('dymo_med model', 1\), however: .*2\): use the release of dymo_med 9.9"
    with pytest.raises(ValueError, match=line):
        Predictor.load({**files(model[0]), "settings.json": tmp_path / "settings.json"})


def test_weights_of_another_network_are_refused(model, tmp_path):
    save_weights(tmp_path / "classifier.pt", {"a": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        Predictor.load({**files(model[0]), "classifier.pt": tmp_path / "classifier.pt"})
