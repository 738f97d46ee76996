"""The sub-commands about published weights, from simulated download to exported checkpoint."""

import json

import pytest
import torch

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from dymo_med.interop import load_published
from dymo_med.tabular import TabularSchema
from tests.interop import files
from tests.interop.test_schema import FEATURES, LENGTHS, training_table
from tests.interop.test_writing import CONFIGS, columns, make_cohort
from tests.networks import weights

CONVERT = ["--table-heads", "2", "--tip-heads", "4"]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Small checkpoints of the 75 published columns, as options of convert-published."""
    monkeypatch.setattr(weights, "N_NUMBERS", 49)
    cardinalities = [length for length in LENGTHS if length > 1]
    arrays = weights.classifier_arrays(layers=files.LAYERS, cardinalities=cardinalities)
    for name in ("classifier.weight", "classifier.bias", "prototypes"):
        arrays[name] = arrays[name][:2]
    tip = weights.tip_arrays(1, layers=files.LAYERS, cardinalities=cardinalities)
    paths = {
        "--classifier": files.write_classifier(tmp_path / "best.ckpt", arrays),
        "--statistics": files.write_statistics(tmp_path / "g.pt", files.random_statistics(2, 2, 6)),
        "--recovery": files.write_tip(tmp_path / "last.ckpt", tip),
        "--field-lengths": files.write_lengths(tmp_path / "lengths.pt", LENGTHS),
    }
    return [str(word) for pair in paths.items() for word in pair]


def test_convert_with_a_training_table(tmp_path, published, capsys):
    training_table().drop(columns="angina_diagnosed").rename_axis("subject_id").to_csv(tmp_path / "table.csv")
    words = ["convert-published", *published, *CONVERT, "--output", str(tmp_path / "out")]
    words += ["--training-table", str(tmp_path / "table.csv")]
    assert main(words) == 2
    assert "absent are ['angina_diagnosed']" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--absent-as-missing"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("model.pt, tip.pt, schema.json, published.yaml in ")
    assert "not needed in best.ckpt: best_val_score, epoch, optimizer, scheduler" in out
    assert "not needed in g.pt: t_dist_params" in out
    schema = TabularSchema.from_json(tmp_path / "out/schema.json")
    assert schema.names == [feature.name for feature in FEATURES]


def test_convert_without_means_says_what_is_missing(tmp_path, published, capsys):
    assert main(["convert-published", *published[:2], *published[6:], *CONVERT, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "without --statistics only the strategies discard and fuse_all predict" in out
    assert "without --recovery nothing is recovered" in out
    assert "no schema.json: published files hold no means" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.pt", "published.yaml"]


def test_convert_with_column_statistics(tmp_path, published):
    statistics = {feature.name: {"mean": 1, "std": 2} for feature in FEATURES if feature.kind == "continuous"}
    (tmp_path / "s.json").write_text(json.dumps(statistics))
    words = ["convert-published", *published, *CONVERT, "--output", str(tmp_path / "out")]
    assert main([*words, "--column-statistics", str(tmp_path / "s.json")]) == 0
    assert (tmp_path / "out/schema.json").is_file()


def test_convert_explains_what_it_refuses(tmp_path, published, capsys):
    torch.save({"state_dict": {"a": torch.nn.Linear(1, 1)}}, tmp_path / "evil.ckpt")
    assert (
        main(["convert-published", "--classifier", str(tmp_path / "evil.ckpt"), "--output", str(tmp_path / "o")]) == 2
    )
    assert "it names torch.nn.modules.linear.Linear" in capsys.readouterr().err
    words = ["convert-published", *published[:6], *CONVERT, "--output", str(tmp_path / "o")]
    assert main([*words, "--training-table", str(tmp_path / "none.csv")]) == 2
    assert "a schema needs --field-lengths, however: None" in capsys.readouterr().err
    assert main([*words, *published[6:], "--training-table", str(tmp_path / "none.csv")]) == 2
    assert "no training table at" in capsys.readouterr().err


def test_cohort_in_published_columns(tmp_path, capsys):
    cohort = make_cohort(tmp_path / "data", columns(statistics=False)[1:])
    TabularSchema(columns()).to_json(tmp_path / "schema.json")
    words = ["published-cohort", "--cohort", str(cohort.folder), "--schema", str(tmp_path / "schema.json")]
    words += ["--output", str(tmp_path / "other")]
    assert main(words) == 2
    assert "absent are ['code_0']" in capsys.readouterr().err
    assert main([*words, "--absent-as-missing"]) == 0
    assert capsys.readouterr().out.startswith(f"{len(cohort)} subjects (test 4, train 8; data: simulated) in ")
    assert Cohort(tmp_path / "other").schema.names == [column.name for column in columns()]


def test_export_what_was_converted(tmp_path, capsys):
    arrays = weights.classifier_arrays(layers=files.LAYERS)
    for name in ("classifier.weight", "classifier.bias", "prototypes"):
        arrays[name] = arrays[name][:2]
    options = {
        "--classifier": files.write_classifier(tmp_path / "best.ckpt", arrays),
        "--statistics": files.write_statistics(tmp_path / "g.pt", files.random_statistics(2, 2, 6)),
        "--recovery": files.write_tip(tmp_path / "last.ckpt", weights.tip_arrays(1, layers=files.LAYERS)),
        "--field-lengths": files.write_lengths(tmp_path / "lengths.pt"),
        "--output": tmp_path / "converted",
    }
    assert main(["convert-published", *CONVERT, *(str(word) for pair in options.items() for word in pair)]) == 0
    cohort = make_cohort(tmp_path / "data", columns(), TabularSchema(columns()))
    words = ["export-published", "--dataset-dir", str(cohort.folder), "--output", str(tmp_path / "exported")]
    configs = [str(CONFIGS / "train.yaml"), str(tmp_path / "converted/published.yaml")]
    assert main([*words, "--config-file", *configs]) == 0
    assert "checkpoint_best_auc.ckpt, subset_gaussian.pt, tabular_lengths_reordered.pt" in capsys.readouterr().out
    files_back = {
        "statistics": tmp_path / "exported/subset_gaussian.pt",
        "recovery": tmp_path / "exported/checkpoint_last_epoch_499.ckpt",
        "field_lengths": tmp_path / "exported/tabular_lengths_reordered.pt",
    }
    back = load_published(tmp_path / "exported/checkpoint_best_auc.ckpt", **files_back, table_heads=2, tip_heads=4)
    converted = torch.load(tmp_path / "converted/model.pt", weights_only=True)
    for name, value in back.network.state_dict().items():
        torch.testing.assert_close(value, converted[name], rtol=0, atol=0, equal_nan=True, msg=name)
    assert main([*words, "--config-file", str(tmp_path / "none.yaml")]) == 2
    assert "no configuration at" in capsys.readouterr().err
    (tmp_path / "converted/model.pt").unlink()
    assert main([*words, "--config-file", *configs]) == 2
    assert "the bundle cannot be built" in capsys.readouterr().err
