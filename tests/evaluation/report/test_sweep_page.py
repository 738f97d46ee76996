"""The report of a sweep, made from a small hand-made sweep: content, files, and what the export form must not tell."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.report import sweep_page
from dymo_med.evaluation.report.case_choice import choose_cases
from dymo_med.evaluation.report.case_values import CASES_FILE
from dymo_med.evaluation.report.charts import Chart, drawing, house_style
from dymo_med.evaluation.report.sweep_page import write_report
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.tripod import tripod_table
from dymo_med.evaluation.report.wording import Disclosure
from tests.evaluation.report.handmade import make
from tests.evaluation.report.test_page import Reader

SECTIONS = [
    "Summary", "Words", "Flow of subjects", "Table 1", "Labels", "Discrimination", "Missing rates", "Calibration",
    "Decisions", "Selection", "Single cases", "Subgroups", "Reference models", "TRIPOD+AI", "Provenance",
]  # fmt: skip
CHARTS = {
    "auroc_by_missing_rate", "calibration", "decision_curve", "fused_by_situation", "right_and_wrong_fusions",
    "rewards", "reward_calibration", "regret_by_missing_rate", "subgroups", "reference_models",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle's folder with a finished sweep of 120 test subjects, and its cohort."""
    return make(tmp_path_factory.mktemp("made"), n=400)


@pytest.fixture(scope="module")
def local(made):
    return write_report(made / "bundle" / "eval" / "sweep", made / "cohort", made / "local" / "report.html")


@pytest.fixture(scope="module")
def export(made):
    """The export form, by the command."""
    folder, path = made / "bundle" / "eval" / "sweep", made / "export" / "report.html"
    words = ["report", "--sweep", str(folder), "--cohort", str(made / "cohort"), "--export", "--output", str(path)]
    assert main(words) == 0
    return path


def _headings(text):
    return re.findall(r'<h2 id="s\d+">([^<]+)</h2>', text)


def test_every_section_is_there_and_the_page_is_whole(local):
    text = local.read_text(encoding="utf-8")
    Reader(re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL))
    assert [name.replace("&amp;", "&") for name in _headings(text)] == SECTIONS
    assert "Simulated data" in text.split("<main>")[0]
    assert "<title>Report: heart disease</title>" in text
    assert "c" * 40 in text
    assert "a" * 64 in text


def test_nothing_is_loaded_and_nothing_runs(local):
    text = local.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r'(?:href|src)="(?!#|data:)', text)
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_discrimination_shows_the_numbers_of_the_table(local, made):
    sweep = pd.read_csv(made / "bundle" / "eval" / "sweep" / "sweep.csv")
    row = sweep[(sweep["strategy"] == "auto") & (sweep["rate"] == 1.0)].iloc[0]
    assert f"{row['auroc']:.3f}\n({row['auroc_low']:.3f} to {row['auroc_high']:.3f})" in local.read_text(
        encoding="utf-8"
    )


def test_figures_are_files_with_the_numbers_behind_them(local):
    files = {path.name for path in (local.parent / "figures").iterdir()}
    assert files == {f"{name}.{ending}" for name in CHARTS for ending in ("svg", "pdf", "csv", "png")}
    data = pd.read_csv(local.parent / "figures" / "auroc_by_missing_rate.csv")
    assert set(data["strategy"]) == {"discard", "fuse_all", "greedy", "auto"}
    assert (local.parent / "figures" / "calibration.pdf").read_bytes().startswith(b"%PDF")


def test_a_chart_gives_the_same_bytes_again(tmp_path):
    def write(folder):
        with house_style():
            figure, (axes,) = drawing(1, 1, height=1.5)
            axes.plot([0, 1], [1, 0], marker="o", clip_on=True)
        data = pd.DataFrame({"x": [0, 1], "y": [1, 0]})
        return Chart(name="fall", caption="", alternative="", drawing=figure, data=data).write(tmp_path / folder)

    assert [path.read_bytes() for path in write("one")] == [path.read_bytes() for path in write("two")]


def test_cases_show_frames_recovered_values_and_decisions(local):
    text = local.read_text(encoding="utf-8").split("Single cases</h2>")[1].split("Subgroups</h2>")[0]
    for case in ("largest gain", "largest harm", "median of what was fused"):
        assert f": {case}</h3>" in text
    assert text.count("data:image/png;base64") == text.count("Decision, step by step</caption>") >= 4
    assert "recovered by means" in text
    assert text.count("<dd>fuse where the reward exceeds 0.0</dd>") >= 4


def test_recovered_values_are_in_units_and_only_of_absent_cells(made):
    table = pd.read_parquet(made / "bundle" / "eval" / "sweep" / "test" / CASES_FILE)
    age = next(column for column in Cohort(made / "cohort").schema.columns if column.name == "age_years")
    assert set(table.loc[table["column"] == "age_years", "value"]) == {f"{age.mean:.4g}"}
    assert set(table.loc[table["column"] == "sex", "value"]) == {"female"}
    assert not table["natural"].any()


def test_export_holds_no_single_subject(export, made):
    ids = Cohort(made / "cohort").subjects.index
    for path in [export, *(file for file in (export.parent / "figures").iterdir() if file.suffix in (".svg", ".csv"))]:
        text = path.read_text(encoding="utf-8")
        assert not any(subject in text for subject in ids), path.name
    text = export.read_text(encoding="utf-8")
    assert _headings(text) == [name for name in SECTIONS if name != "Single cases"]
    assert "data:image" not in text
    assert "Case 1" not in text
    assert "Right decisions</caption>" not in text


def test_export_hides_small_counts_in_figures_too(export, local):
    folder = export.parent / "figures"
    for name in ("rewards", "fused_by_situation", "right_and_wrong_fusions"):
        counts = pd.read_csv(folder / f"{name}.csv")["n"].dropna()
        assert not ((counts > 0) & (counts < 10)).any()
    shown = pd.read_csv(local.parent / "figures" / "rewards.csv")["n"]
    assert ((shown > 0) & (shown < 10)).any()
    assert "n_positive" not in pd.read_csv(folder / "calibration.csv")


def test_a_page_that_is_too_large_is_refused_before_anything_is_written(made, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_page, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="must be smaller than 1,000 bytes, however"):
        write_report(made / "bundle" / "eval" / "sweep", made / "cohort", tmp_path / "report.html", is_export=True)
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_an_unfinished_sweep(made, tmp_path, capsys):
    words = ["report", "--sweep", str(tmp_path), "--cohort", str(made / "cohort"), "--output", str(tmp_path / "a.html")]
    assert main(words) == 2
    assert "all files of a finished sweep" in capsys.readouterr().err


def test_a_sweep_of_another_cohort_is_refused(made, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    for name in ("policy.json", "calibration.json"):
        content = json.loads((made / "bundle" / "models" / name).read_text(encoding="utf-8"))
        (models / name).write_text(json.dumps(content | {"about": {"cohort": "f" * 64, "task": "cad"}}))
    with pytest.raises(ValueError, match="needs the cohort that was swept, however"):
        SweepResults(made / "bundle" / "eval" / "sweep", Cohort(made / "cohort"), models)


def test_cases_follow_the_rule():
    rows = [
        ("a", 1, 0.2, 0.9, 0.9, "t"),  # gain
        ("b", 1, 0.9, 0.1, 0.1, "t"),  # harm
        ("c", 1, 0.5, 0.55, 0.55, "t"),  # median
        ("d", 1, 0.8, 0.1, 0.8, ""),  # harm avoided
        ("e", 1, 0.3, 0.9, 0.3, ""),  # gain missed
    ]
    table = pd.concat(
        pd.DataFrame({"subject_id": [row[0]] * 3, "label": row[1], "probability": row[2:5], "fused": ["", "t", row[5]]})
        for row in rows
    ).assign(strategy=["discard", "fuse_all", "auto"] * 5, mechanism="m", rate=0.5, seed=1)
    found = dict(zip(*choose_cases(table)[["case", "subject_id"]].to_numpy().T, strict=True))
    assert found == {
        "largest gain": "a",
        "largest harm": "b",
        "median of what was fused": "c",
        "largest harm avoided": "d",
        "largest gain missed": "e",
    }


def test_all_27_items_of_tripod_are_listed():
    numbers = {int(n) for row in tripod_table().rows for n in re.findall(r"\d+", row[0])}
    assert numbers == set(range(1, 28))


def test_a_disclosure_hides_unknown_and_small_counts():
    limit = Disclosure(10)
    assert limit.hides_classes([30, 30, np.nan], [5, 15, 5]).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="min_count must be"):
        Disclosure(0)
