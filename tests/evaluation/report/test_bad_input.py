"""Bad and scarce input, through ``dymo-med report``: one clear line, or "not estimable" where a number would be."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from tests.evaluation.report.handmade import make

ESTIMATES = re.compile(r"<td>(?P<cell>[^<]*)</td>")


def report(root, *words, sweep=None):
    folder, path = sweep or root / "bundle" / "eval" / "sweep", root / "out" / "report.html"
    given = ["--sweep", folder, "--cohort", root / "cohort", "--models", root / "bundle" / "models", "--output", path]
    return main(["report", *map(str, given), *words]), path


def table(text, caption):
    """Cells of the rows of a table by the title of the row."""
    part = text[text.index(f"<caption>{caption}</caption>") :]
    body = part[part.index("<tbody>") : part.index("</tbody>")]
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>(.*?)</tr>', body, flags=re.DOTALL)
    return {title: ESTIMATES.findall(cells) for title, cells in rows}


def change(column, value, rows=3):
    """Put a value into a column of the first predictions by the chosen policy with nothing hidden."""

    def spoil(predictions):
        places = predictions.index[(predictions["strategy"] == "auto") & (predictions["rate"] == 0)][:rows]
        changed = predictions.astype({column: object if value is None else predictions[column].dtype})
        changed.loc[places, column] = value
        return changed

    return spoil


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda p: p.drop(columns="label"), "however: ['label'] are absent in predictions.parquet: sweep again"),
        (change("label", None), "must not have empty cells, however: 3 in label"),
        (change("label", 2), "a label must be 0 or 1, however: it is not in 3 rows, first 2 for mechanism"),
        (
            change("probability", np.nan),
            "unless nothing was observed, however: 3 of 48 in predictions.parquet are nan: check the weights",
        ),
        (change("probability", 1.5), "a probability must be between 0 and 1, however: it is not in 3 rows, first 1.5"),
        (
            lambda p: pd.concat([p, p.iloc[:40]]),
            "a subject may occur once in a mechanism and rate",
        ),
    ],
    ids=["no labels", "empty labels", "a third class", "nan", "logits", "duplicated subjects"],
)
def test_faulty_predictions_end_in_one_line(made, tmp_path, capsys, spoil, text):
    sweep = tmp_path / "sweep"
    shutil.copytree(made / "bundle" / "eval" / "sweep", sweep)
    path = sweep / "test" / "predictions.parquet"
    spoil(pd.read_parquet(path)).to_parquet(path, index=False)
    code, page = report(made, sweep=sweep)
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert text in error
    assert not page.parent.exists()


@pytest.fixture(scope="module")
def one_class(tmp_path_factory):
    with pytest.warns(UserWarning, match="48 subjects of split 'test' have class 0 of task 'cad' only"):
        return make(tmp_path_factory.mktemp("one"), label_of_test=0)


@pytest.mark.parametrize("words", [[], ["--export"]])
@pytest.mark.filterwarnings("ignore:48 subjects of split 'test' have class 0:UserWarning")
def test_one_class_is_not_estimable_and_never_a_half(one_class, words):
    code, path = report(one_class, *words)
    assert code == 0
    text = path.read_text(encoding="utf-8")
    for caption in ("Figures of merit, nothing hidden", "AUROC by missing pattern", "Calibration on test subjects"):
        cells = [cell for title, row in table(text, caption).items() if title != "n (events)" for cell in row]
        assert {cell for cell in cells if not cell.startswith("48 (0)")} == {"not estimable"}, caption
    assert "0 positive and 48 negative subjects, at least 5 of each are needed" in text


@pytest.fixture(scope="module")
def centers(tmp_path_factory):
    return make(tmp_path_factory.mktemp("centers"), n=400, center=True)


def test_a_subgroup_of_three_people_is_withheld_with_the_one_that_would_reveal_it(centers):
    code, path = report(centers)
    assert code == 0
    text = path.read_text(encoding="utf-8")
    rows = table(text, "By assessment center")
    assert set(rows) == {"11025", "11027", "11028"}
    assert set(rows["11028"]) == {"withheld"}
    shown = [name for name, cells in rows.items() if cells[0] != "withheld"]
    assert len(shown) == 1
    assert "suppressed: fewer than 10 subjects of a class" in text
    for caption in ("Right decisions of auto by subgroup", "Mean regret of auto by subgroup"):
        assert set(table(text, caption)["11028"]) == {"withheld"}


def test_a_subgroup_of_three_people_is_not_estimable_where_all_counts_are_shown(tmp_path):
    code, path = report(make(tmp_path, n=400, center=True, min_count=1))
    assert code == 0
    rows = table(path.read_text(encoding="utf-8"), "By assessment center")
    assert rows["11028"][0].startswith(("3 (", "withheld"))
    assert set(rows["11028"][1:]) <= {"not estimable", "withheld"}
    assert rows["11025"][1] != "not estimable"
