"""Schema paths, closing line."""

from types import SimpleNamespace

import pandas as pd
import pytest

from dymo_med.cli import common
from dymo_med.tabular import Column, TabularSchema


def test_a_schema_is_found_by_folder_or_file(tmp_path):
    schema = TabularSchema((Column(name="age_years", kind="continuous", mean=60, std=8),))
    schema.to_json(tmp_path / "schema.json")
    (tmp_path / "cohort.json").write_text('{"image": {"shape": [3, 128, 128], "spacing_mm": 1.8}}')
    for path in (tmp_path, tmp_path / "schema.json"):
        assert common.load_schema(SimpleNamespace(schema=path, image_size=128, image_spacing=1.8)) == schema
    with pytest.raises(FileNotFoundError, match="no table schema at"):
        common.load_schema(SimpleNamespace(schema=tmp_path / "none"))


def test_the_closing_line_counts(capsys, monkeypatch):
    pages = []
    monkeypatch.setattr("dymo_med.evaluation.report.write_cohort_page", pages.append)
    cohort = SimpleNamespace(
        subjects=pd.DataFrame({"split": ["val", "train", "train"]}),
        set_aside=pd.DataFrame({"stage": ["table", "image", "image"]}),
        data_kind="simulated",
        folder="cohort",
    )
    common.write_summary(cohort)
    assert capsys.readouterr().out == (
        "3 subjects (train 2, val 1; data: simulated) in cohort; "
        "3 set aside (image 2, table 1), reasons in qc.parquet\n"
    )
    cohort.set_aside = cohort.set_aside[:0]
    common.write_summary(cohort)
    assert capsys.readouterr().out.endswith("in cohort; 0 set aside\n")
    assert pages == [cohort, cohort]
