"""The page of a cohort: figures as they are, nothing of one subject, the same bytes each time."""

import re

import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import write_cohort
from dymo_med.evaluation.report import cohort_page, write_cohort_page
from dymo_med.evaluation.report.cohort_flow import _kind_of_reason
from dymo_med.tabular import Column
from dymo_med.utils import SubjectError
from tests.evaluation.report.test_page import Reader

N = 300
COLUMNS = [
    Column(name="sex", kind="categorical", categories=("female", "male"), title="Sex"),
    Column(name="age_years", kind="continuous", unit="years", low=18, high=110, title="Age"),
]
SOURCE = {
    "n_withdrawn": 17,
    "label_status": {"cad": {"positive": 60, "negative": 200, "after_scan": 30, "undated": 4}},
    "label_definitions": {"cad": "hospital diagnosis I250, I251; answer 1 in field 6150"},
    "label_evidence": [
        {"label": "cad", "source": "hospital diagnosis", "cases": 55, "only_source": 30},
        {"label": "cad", "source": "self-report", "cases": 30, "only_source": 5},
    ],
    "options": {"timing": "prevalent", "visit": 2},
    "features": {"age_years": {"observed": 250, "missing": 30, "out_of_range": 12}},
    "absent_features": ["height_cm"],
    "refused_features": [],
}


def read(source):
    if int(source.stem) >= 280:
        where = f"member 'x{source.stem}'"
        raise SubjectError(f"{source.stem} bytes of pixels in tag (7FE0,0010)", where=where, remedy="again")
    return np.zeros((3, 4, 4), dtype=np.float32), {}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """300 subjects: 20 unreadable images, 25 without image, 30 without row, one split of each size."""
    rng = np.random.default_rng(1)
    ids = [f"S{number:04d}" for number in range(N)]
    rows = pd.DataFrame(
        {"sex": np.where(rng.random(N) < 0.5, "male", "female"), "age_years": rng.normal(60, 8, N).round(1)}, index=ids
    )
    rows.loc[ids[40:55], "age_years"] = np.nan
    labels = pd.DataFrame({"cad": np.where(rng.random(N) < 0.3, 1, 0)}, index=ids).astype("Int64")
    labels.loc[ids[100:120], "cad"] = pd.NA
    splits = pd.Series(np.select([np.arange(N) % 10 < 7, np.arange(N) % 10 < 9], ["train", "val"], "test"), index=ids)
    folder = tmp_path_factory.mktemp("page")
    for number in range(N):
        (folder / f"{number}.img").touch()
    return write_cohort(
        folder / "cohort",
        features=rows.drop(ids[250:280]),
        columns=COLUMNS,
        images={subject: folder / f"{at}.img" for at, subject in enumerate(ids) if at >= 25},
        labels=labels,
        splits=splits,
        image_size=4,
        data_kind="simulated",
        record=SOURCE,
        read=read,
    )


@pytest.fixture(scope="module")
def text(cohort):
    return cohort_page(cohort).html()


def cells(text, title):
    """Cells of the first row with this title."""
    row = re.search(rf"<tr><th scope=\"row\">{re.escape(title)}</th>(.*?)</tr>", text, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row[1], re.DOTALL)]


def test_table_one_equals_pandas(cohort, text):
    subjects = cohort.subjects
    assert len(subjects) == 280
    sizes = [str(len(subjects)), *[str((subjects["split"] == name).sum()) for name in ("train", "val", "test")]]
    assert cells(text, "n")[:4] == sizes
    ages = [subjects["age_years"], *[subjects.loc[subjects["split"] == name, "age_years"] for name in ("train", "val")]]
    assert cells(text, "Age (years)")[:3] == [f"{age.mean():.1f} ({age.std():.1f})" for age in ages]
    male = (subjects["sex"] == "male").sum()
    assert cells(text, "male")[0] == f"{male} ({100 * male / len(subjects):.1f} %)"
    assert "Table 2. Subjects by label cad" in text


def test_flow_tells_who_came_and_who_went(cohort, text):
    (spoken,) = re.findall(r'aria-label="(Flow diagram[^"]*)"', text)
    assert "Image or table row at hand: 300 - withdrawn and removed before: 17" in spoken
    assert "Set aside: 20 - image: N bytes of pixels in tag (7FE0,0010) in member …: 20" in spoken
    assert "Cohort: 280" in spoken
    train = cohort.quality.merge(cohort.subjects["split"], on="subject_id").query("split == 'train'")
    assert f"train: {len(train)} - image and table: {(train['has_image'] & train['has_table']).sum()}" in spoken


def test_labels_ranges_and_digests_are_told(cohort, text):
    assert cells(text, "case") == ["60"]
    assert cells(text, "left out: first evidence after the scan") in (["30"], ["withheld"])
    assert cells(text, "left out: evidence without a date") == ["&lt;10"]
    # 60 cases less the 55 of hospitals would tell the 5 of self-report alone.
    assert cells(text, "cad: hospital diagnosis") == ["withheld", "30"]
    assert cells(text, "cad: self-report") == ["30", "&lt;10"]
    assert "hospital diagnosis I250, I251; answer 1 in field 6150" in text
    assert "time of the evidence" in text
    assert cells(text, "Age")[0] == f"{100 * cohort.subjects['age_years'].isna().mean():.1f} %"
    assert "18 to 110 years" in text
    assert cells(text.split("Readings not counted")[-1], "Age")[1] == "12"
    assert cohort.digest in text
    assert "height_cm" in text
    assert "Simulated data: these figures say nothing about patients." in text


def test_no_subject_is_told_of(cohort, text):
    told = [subject for subject in [*cohort.subjects.index, *cohort.set_aside["subject_id"]] if subject in text]
    assert told == []
    assert str(cohort.folder) not in text
    assert not re.search(r"x2[89]\d", text)


@pytest.mark.parametrize("min_count", [5, 10, 40])
def test_no_small_count_is_told(cohort, min_count):
    text = cohort_page(cohort, min_count=min_count).html()
    main_part = text.split("<main>")[1].split("Data and versions")[0]
    counts = re.findall(r"<td>(\d+) \(", main_part) + re.findall(r": (\d+)(?= - |; |\.\")", main_part)
    assert len(counts) > 10
    assert [count for count in counts if 0 < int(count) < min_count] == []


def test_all_counts_on_demand(cohort):
    text = cohort_page(cohort, min_count=1).html()
    assert "withheld" not in text
    assert cells(text, "left out: evidence without a date") == ["4"]


def test_page_is_whole_and_the_same_each_time(cohort, text, tmp_path):
    Reader(text)
    assert write_cohort_page(cohort) == cohort.folder / "cohort.html"
    assert (cohort.folder / "cohort.html").read_text(encoding="utf-8") == text
    assert main(["cohort-report", str(cohort.folder), "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text


def test_other_data_have_no_banner(cohort, monkeypatch):
    monkeypatch.setitem(cohort._about, "data_kind", "clinic")
    assert 'class="banner"' not in cohort_page(cohort).html()


def test_command_refuses_what_is_no_cohort(tmp_path, capsys):
    assert main(["cohort-report", str(tmp_path)]) == 2
    assert "no complete cohort" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("12 bytes in tag (7FE0,0010) of archive member 'a.dcm': again", "N bytes in tag (7FE0,0010)"),
        ("unknown category 'x: y' in table column 'sex': use one of", "unknown category … in table column …"),
        (
            "text in feature bmi_kg_per_m2 (field 21001, visit 2): look",
            "text in feature bmi_kg_per_m2 (field 21001, visit 2)",
        ),
        ("a code that the coding (0, 1, -3) does not know: fix", "a code that the coding (N, N) does not know"),
        ("a gap of 1.5e3 ms in slice 4: again", "a gap of N ms in slice N"),
    ],
)
def test_reasons_lose_what_belongs_to_one_subject(reason, kind):
    assert _kind_of_reason(reason) == kind
