"""Reports of little: few subjects, everything withheld, nothing to decide; what the export form must not tell."""

import re

import pandas as pd
import pytest
import torch

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.report.disclosing import disclosure_for
from dymo_med.evaluation.report.sweep_results import SweepResults
from dymo_med.evaluation.report.wording import Disclosure
from dymo_med.networks.calibration import Calibration
from dymo_med.utils import read_json, save_weights, write_json
from tests.evaluation.report.handmade import make


def results_of(root):
    folder = root / "bundle"
    return SweepResults(folder / "eval" / "sweep", Cohort(root / "cohort"), folder / "models")


def report(root, *words):
    folder, path = root / "bundle" / "eval" / "sweep", root / "out" / "-".join(["page", *words]) / "report.html"
    code = main(["report", "--sweep", str(folder), "--cohort", str(root / "cohort"), "--output", str(path), *words])
    assert code == 0
    return path.read_text(encoding="utf-8"), {each.stem for each in (path.parent / "figures").glob("*.svg")}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """30 test subjects; fewer than 10 cases among 20 validation subjects."""
    return make(tmp_path_factory.mktemp("few"), n=100)


def test_the_report_of_thirty_subjects(few):
    text, figures = report(few)
    assert "30 test subjects" in text
    assert "Withheld for too few subjects of a class: sex; age (years)." in text
    assert "Every subgroup is withheld" in text
    assert "subgroups" not in figures
    assert "calibration" in figures


@pytest.mark.filterwarnings("error")
def test_an_export_form_that_may_tell_nothing_says_so_in_lines(few):
    text, figures = report(few, "--export", "--min-count", "1000")
    for caption in ("Figures of merit, nothing hidden", "AUROC by missing pattern", "Mean regret"):
        assert f"<p>{caption}: withheld, for too few subjects.</p>" in text
    assert "AUROC against the missing rate: not drawn" in text
    assert "Decision curves and net benefit are withheld" in text
    assert "The selection by subgroup is left out" in text  # tabulated with a limit of 10
    assert figures == set()
    assert not re.search(r"\d\.\d{3}", text.split("Discrimination</h2>")[1].split("TRIPOD+AI</h2>")[0])


def test_cases_of_another_split_cannot_be_worked_out(few):
    """Fewer than 10 cases in validation: cases of the test split, and what tells their share, are withheld as well."""
    results = results_of(few)
    cases = results.cohort.subjects.groupby("split")["label_cad"].sum()
    assert 0 < cases["val"] < 10 <= cases["test"]
    assert disclosure_for(results, 10).hides_all
    assert not disclosure_for(results, 1).hides_all
    text, _ = report(few, "--export")
    assert f"30 ({cases['test']})" not in text
    assert "treat all" not in text
    assert f"{cases['test']} of them cases" not in text


def test_unlabeled_test_subjects_cannot_be_counted(few):
    results = results_of(few)
    tested = results.cohort.subjects.index[results.cohort.subjects["split"] == "test"]
    results.cohort.subjects.loc[tested[:2], "label_cad"] = pd.NA
    assert disclosure_for(results, 2) == Disclosure(2, hides_all=False, hides_sizes=False)
    assert disclosure_for(results, 3).hides_sizes


def test_a_sweep_in_which_nothing_could_be_recovered(tmp_path):
    text, figures = report(make(tmp_path, tries=False))
    assert "Nothing was missing that a recovery could propose: there was nothing to select." in text
    assert "there is no case to show" in text
    assert not {"rewards", "right_and_wrong_fusions"} & figures


def test_the_prevalence_shift_stands_between_before_and_after(few, tmp_path):
    text, _ = report(few)
    assert "moves the log odds from 50.0 % cases" in text
    rows = re.findall(r'<th scope="row">(before|prevalence shift|after)</th>', text)
    assert rows == ["before", "prevalence shift", "after"]
    data = pd.read_csv(few / "out" / "page" / "figures" / "calibration.csv")
    assert list(dict.fromkeys(data["calibration"])) == ["before", "prevalence shift", "after"]
    exported, _ = report(few, "--export")
    assert "prevalence shift" not in exported  # its size would tell the cases of the validation split


@pytest.mark.parametrize("learned", [[float("nan")] * 2, None, [0.85, 0.15]])
def test_without_another_prevalence_there_is_no_shift(few, tmp_path, learned):
    results = results_of(few)
    evidence = {"n": 20, "n_positive": 3}
    models = tmp_path / "models"
    for name in ("policy.json", "calibration.json"):
        write_json(models / name, read_json(results.model_dir / name))
    if learned is not None:
        save_weights(models / "model.pt", {"statistics.learned_prevalence": torch.tensor(learned)})
    write_json(models / "calibration.json", read_json(models / "calibration.json") | {"evidence": evidence})
    assert SweepResults(results.folder, results.cohort, models).prevalence_shift is None
    save_weights(models / "model.pt", {"statistics.learned_prevalence": torch.tensor([0.5, 0.5])})
    shift = SweepResults(results.folder, results.cohort, models).prevalence_shift
    assert isinstance(shift, Calibration)
    assert shift.steps[0].target == (0.85, 0.15)


def test_selection_by_subgroup_shows_the_numbers_of_its_tables(tmp_path):
    root = make(tmp_path, n=400, n_seeds=2)
    text, _ = report(root)
    folder = root / "bundle" / "eval" / "sweep"
    fusions = pd.read_csv(folder / "fusions_by_group.csv").query("strategy == 'auto' and group == 'female'")
    own = fusions[fusions["mechanism"] == "whole table"]
    assert f"{100 * own['n_right'].sum() / own['n'].sum():.0f} %\nof {own['n'].sum():,.0f}" in text
    regret = pd.read_csv(folder / "regret_by_group.csv").query("strategy == 'auto' and group == 'male'").iloc[0]
    assert f"{regret['regret']:.3f}\n({regret['regret_low']:.3f} to {regret['regret_high']:.3f})" in text
    exported, _ = report(root, "--export")
    assert "Right decisions of auto by subgroup</caption>" in exported
    stricter, _ = report(root, "--export", "--min-count", "11")
    assert "by subgroup</caption>" not in stricter
    assert "The selection by subgroup is left out" in stricter
