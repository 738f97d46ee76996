import pandas as pd
import pytest
import yaml

from dymo_med.data.ukbb import Timing, load_labels
from dymo_med.data.ukbb.label_sets import normalize_codes
from tests.data.ukbb.downloads import person, read_rows, values

BEFORE, ON, AFTER = "2010-01-01", "2015-03-15", "2015-03-16"
INFARCTION = {"I210", "I211", "I212", "I213", "I214", "I219", "I252"}
OTHER_CORONARY = {
    "I200", "I201", "I208", "I209", "I220", "I221", "I228", "I229", "I240", "I248", "I249", "I250", "I251", "I253",
    "I254", "I255", "I256", "I258", "I259",
}  # fmt: skip
BEYOND = {"I420", "I500", "I501", "I509"} | {f"I70{k}" for k in (0, 1, 2, 8, 9)} | {
    f"I70{k}{site}" for k in (0, 1, 2, 8, 9) for site in (0, 1)
} | {f"I74{k}" for k in (0, 1, 2, 3, 4, 5, 8, 9)}  # fmt: skip


def coded(*codes_and_dates, **others):
    """A person with these hospital codes: coded(("I210", "2010-01-01"))."""
    cells = {}
    for position, (code, day) in enumerate(codes_and_dates):
        cells |= {f"f41270_0_{position}": code, f"f41280_0_{position}": day}
    return person(**cells, **others)


def both(tmp_path, *rows, **arguments):
    """Pairs (cad, infarction) of the rows."""
    download = read_rows(tmp_path, list(rows), **arguments)
    return list(zip(values(download, "cad"), values(download, "infarction"), strict=True))


class TestDefinitions:
    def test_code_sets(self):
        sets = load_labels().sets
        assert sets["infarction"].codes == INFARCTION
        assert sets["cad"].codes == INFARCTION | OTHER_CORONARY
        assert sets["cardiovascular_broad"].codes == INFARCTION | OTHER_CORONARY | BEYOND
        assert sets["cad_as_run"].codes == sets["cad"].codes - {"I249", "I250"}
        assert sets["cardiovascular_broad_as_run"].codes == sets["cardiovascular_broad"].codes - {"I249", "I250"}
        assert [len(sets[name].codes) for name in ("cad", "cad_as_run", "cardiovascular_broad_as_run")] == [26, 24, 51]

    def test_infarction_evidence_is_evidence_of_cad(self):
        sets = load_labels().sets
        assert sets["cad"].date_fields == sets["infarction"].date_fields == (42000,)
        assert sets["cad"].self_report == sets["infarction"].self_report == {6150: {1}}
        assert sets["cad_as_run"].fields == {41270}

    def test_ingredients(self):
        ingredients = load_labels().ingredients
        for field in (41270, 41280, 42000, 42002, 42004, 3894, 3627):
            assert ingredients.touches(field, {0})
        assert ingredients.touches(6150, {1})
        assert ingredients.touches(6150, {2, 3})
        assert not ingredients.touches(6150, {3, 4})
        assert not ingredients.touches(4080, None)

    @pytest.mark.parametrize(
        ("code_set", "message"),
        [
            ({"codes": ["I249I250"]}, "'own' must hold ICD-10 codes .* however: 'I249I250': look for a missing comma"),
            ({"codes": ["I21.0"]}, "however: 'I21.0'"),
            ({"codes": [210]}, "however: 210"),
            ({"from": ["cad"]}, r"'own' uses 'cad', which must be defined above it; known are \[\]"),
            ({"codes": ["I210"], "without": ["I211"]}, r"takes out codes that it does not hold: \['I211'\]"),
        ],
    )
    def test_code_sets_are_checked(self, tmp_path, code_set, message):
        content = {
            "version": 1,
            "unknown_dates": [],
            "code_sets": {"own": code_set},
            "labels": {},
            "refused_inputs": {},
        }
        (tmp_path / "labels.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(ValueError, match=message):
            load_labels(tmp_path / "labels.yaml")

    def test_unknown_label(self, tmp_path):
        with pytest.raises(ValueError, match=r"a label must be one of \['cad', .* however: 'stroke'"):
            read_rows(tmp_path, [person()], labels=["stroke"])


def test_codes_are_brought_to_one_form():
    raw = pd.Series(["I210", "I21.0", " i210 ", "I10X", "I21 0", "i70.00", "I210-"])
    assert normalize_codes(raw).tolist() == ["I210", "I210", "I210", "I10", "I210", "I7000", "I210"]
    for text in ("I249I250", "I21.0 Acute infarction", "heart", "I2", "", None):
        assert normalize_codes(pd.Series([text])).isna().all()


class TestPrevalent:
    def test_dates_decide(self, tmp_path):
        rows = [
            coded(("I210", BEFORE)),
            coded(("I210", ON)),
            coded(("I210", AFTER)),
            coded(("J459", BEFORE)),
            coded(("I251", BEFORE), ("I210", AFTER)),
            coded(("I210", AFTER), ("I219", BEFORE)),
        ]
        assert both(tmp_path, *rows) == [(1, 1), (1, 1), (None, None), (0, 0), (1, None), (1, 1)]

    def test_first_date_after_the_scan_is_counted(self, tmp_path):
        download = read_rows(tmp_path, [coded(("I251", AFTER)), coded(("I251", BEFORE)), person(), person()])
        assert download.label_counts.loc["cad"].to_dict() == {
            "positive": 1, "undated": 0, "after_scan": 1, "negative": 2,
        }  # fmt: skip
        assert download.label_counts.loc["infarction", "negative"] == 4

    def test_code_without_a_date_is_neither_case_nor_control(self, tmp_path):
        rows = [coded(("I251", "")), coded(("I251", "1900-01-01")), coded(("I251", BEFORE), f53_2_0="")]
        download = read_rows(tmp_path, rows)
        assert values(download, "cad") == [None] * 3
        assert values(download, "infarction") == [0] * 3
        assert download.label_counts.loc["cad", "undated"] == 3

    def test_undated_evidence_does_not_hide_dated_evidence(self, tmp_path):
        assert both(tmp_path, coded(("I210", BEFORE), ("I219", ""))) == [(1, 1)]

    def test_scan_date_unknown_without_any_code_is_a_control(self, tmp_path):
        assert both(tmp_path, person(f53_2_0=""), person()) == [(0, 0), (0, 0)]

    def test_algorithmic_outcome(self, tmp_path):
        cases = {BEFORE: (1, 1), ON: (1, 1), AFTER: (None, None), "1900-01-01": (None, None), "": (0, 0)}
        assert both(tmp_path, *(person(f42000_0_0=day) for day in cases)) == list(cases.values())

    def test_self_report(self, tmp_path):
        cases = [
            ({"f6150_2_0": "1"}, (1, 1)),
            ({"f6150_0_0": "1"}, (1, 1)),
            ({"f6150_3_0": "1"}, (None, None)),
            ({"f6150_2_0": "4", "f6150_2_1": "1"}, (1, 1)),
            ({"f6150_2_0": "2"}, (0, 0)),
            ({"f6150_2_0": "-3"}, (0, 0)),
        ]
        assert both(tmp_path, *(person(**cells) for cells, _ in cases)) == [expected for _, expected in cases]

    def test_infarction_lies_within_cad(self, tmp_path):
        evidence = [{"f42000_0_0": BEFORE}, {"f42000_0_0": AFTER}, {"f6150_2_0": "1"}, {}]
        codes = [("I251", BEFORE), ("I214", BEFORE), ("I214", AFTER), ("I252", ""), ("K219", BEFORE)]
        pairs = both(tmp_path, *(coded(code, **cells) for code in codes for cells in evidence))
        assert all(cad == 1 for cad, infarction in pairs if infarction == 1)
        assert all(infarction == 0 for cad, infarction in pairs if cad == 0)
        assert {cad for cad, _ in pairs} == {0, 1, None}

    def test_codes_match_as_a_whole(self, tmp_path):
        rows = [coded((code, BEFORE)) for code in ("I2101", "I21", "i21.0", "I230", "I249", "I250")]
        assert [cad for cad, _ in both(tmp_path, *rows)] == [0, 0, 1, 0, 1, 1]

    def test_as_run_set_misses_two_codes_and_self_report(self, tmp_path):
        rows = [coded((code, BEFORE)) for code in ("I249", "I250", "I251")] + [person(f6150_2_0="1")]
        download = read_rows(tmp_path, rows, labels=["cad_as_run", "cad"])
        assert values(download, "cad_as_run") == [0, 0, 1, 0]
        assert values(download, "cad") == [1, 1, 1, 1]


class TestEver:
    def test_any_time_counts(self, tmp_path):
        rows = [coded(("I251", AFTER)), coded(("I210", "")), person(f6150_3_0="1"), person()]
        assert both(tmp_path, *rows, timing="ever") == [(1, 0), (1, 1), (1, 1), (0, 0)]

    def test_needs_no_dates(self, tmp_path):
        rows = [coded(("I251", AFTER)), person()]
        for row in rows:
            for title in ("41280-0.0", "53-2.0"):
                row.pop(title)
        assert both(tmp_path, *rows, timing=Timing.EVER) == [(1, 0), (0, 0)]


class TestRefusals:
    @pytest.mark.parametrize("title", ["41270-0.0", "41280-0.0", "42000-0.0", "6150-2.0", "53-2.0"])
    def test_absent_field(self, tmp_path, title):
        row = {key: value for key, value in person().items() if key != title}
        field = title.split("-")[0]
        with pytest.raises(ValueError, match=rf"timing 'prevalent' reads the fields \[{field}\], which are in none"):
            read_rows(tmp_path, [row])

    def test_unknown_timing(self, tmp_path):
        with pytest.raises(ValueError, match="timing must be one of 'prevalent', 'ever', however: timing='incident'"):
            read_rows(tmp_path, [person()], timing="incident")

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (coded(("I249I250", BEFORE)), "text that is not an ICD-10 code in field 41270, visit 0"),
            (coded(("I210", "yesterday")), "text that is not a date .* in field 41280, visit 0"),
        ],
    )
    def test_one_bad_record_costs_one_subject(self, tmp_path, row, reason):
        download = read_rows(tmp_path, [row, person(), person()])
        assert len(download.labels) == len(download.features) == 2
        assert download.set_aside["stage"].tolist() == ["label"]
        assert download.set_aside["reason"].str.contains(reason).all()

    def test_without_labels_no_label_field_is_needed(self, tmp_path):
        row = {title: person()[title] for title in ("31-0.0", "50-2.0")}
        download = read_rows(tmp_path, [row], labels=[])
        assert download.labels.shape == (1, 0)
        assert download.label_counts.empty
