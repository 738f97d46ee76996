from datetime import date

import pandas as pd
import pytest
import yaml

from dymo_med.data.ukbb import Timing, When, load_catalogue, load_labels
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
        assert sets["cad"].self_report == sets["infarction"].self_report
        assert [(item.field, item.yes) for item in sets["cad"].self_report] == [(6150, {1})]
        assert sets["cad_as_run"].fields == {41270}

    def test_ingredients(self):
        ingredients = load_labels().refused
        for field in (41270, 41280, 42000, 42002, 42004, 3894, 3627):
            assert ingredients.touches(field, {0})
        assert ingredients.touches(6150, {1})
        assert ingredients.touches(6150, {2, 3})
        assert not ingredients.touches(6150, {3, 4})
        assert not ingredients.touches(4080, None)

    @pytest.mark.parametrize(
        ("code_set", "message"),
        [
            (
                {"codes": ["I249I250"]},
                "'own': it must hold ICD-10 codes .* however: 'I249I250'; look for a missing comma",
            ),
            ({"prefixes": ["I210.1"]}, "in 'prefixes' a letter and one to three digits.* however: 'I210.1'"),
            ({"code": ["I210"]}, r"there is no key \['code'\]; known are \['codes', 'from', 'prefixes', 'without'\]"),
            ({"codes": ["I21.0"]}, "however: 'I21.0'"),
            ({"codes": [210]}, "however: 210"),
            ({"from": ["cad"]}, r"'own': it uses 'cad', which must be defined above it; known are \[\]"),
            ({"codes": ["I210"], "without": ["I211"]}, r"takes out codes that it does not hold: \['I211'\]"),
        ],
    )
    def test_code_sets_are_checked(self, tmp_path, code_set, message):
        content = {
            "version": 1,
            "unknown_dates": [],
            "code_sets": {"own": code_set},
            "labels": {"own": {"dates": [42000]}},
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
            "positive": 1, "negative": 2, "prevalent": 0, "undated": 0, "after_scan": 1, "censored": 0,
            "no_scan_date": 0, "unmeasured": 0,
        }  # fmt: skip
        assert download.label_counts.loc["infarction", "negative"] == 4

    def test_code_without_a_date_is_neither_case_nor_control(self, tmp_path):
        rows = [coded(("I251", "")), coded(("I251", "1900-01-01")), coded(("I251", BEFORE), f53_2_0="")]
        download = read_rows(tmp_path, rows)
        assert values(download, "cad") == [None] * 3
        assert values(download, "infarction") == [0, 0, None]
        assert download.label_counts.loc["cad", "undated"] == 3

    def test_undated_evidence_does_not_hide_dated_evidence(self, tmp_path):
        assert both(tmp_path, coded(("I210", BEFORE), ("I219", ""))) == [(1, 1)]

    def test_without_a_scan_date_nobody_is_free_of_the_disease_at_the_scan(self, tmp_path):
        download = read_rows(tmp_path, [person(f53_2_0=""), person()])
        assert values(download, "cad") == [None, 0]
        assert download.label_counts.loc["cad", "no_scan_date"] == 1

    def test_algorithmic_outcome(self, tmp_path):
        cases = {BEFORE: (1, 1), ON: (1, 1), AFTER: (None, None), "1900-01-01": (None, None), "": (0, 0)}
        assert both(tmp_path, *(person(f42000_0_0=day) for day in cases)) == list(cases.values())

    def test_self_report(self, tmp_path):
        cases = [
            ({"f6150_2_0": "1"}, (1, 1)),
            ({"f6150_0_0": "1"}, (1, 1)),
            ({"f6150_3_0": "1"}, (0, 0)),
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
        rows = [coded(("I251", AFTER)), coded(("I210", "")), person(f6150_0_0="1"), person(f6150_3_0="1"), person()]
        assert both(tmp_path, *rows, when=When(timing="ever")) == [(1, 0), (1, 1), (1, 1), (0, 0), (0, 0)]

    def test_needs_no_dates(self, tmp_path):
        rows = [coded(("I251", AFTER)), person()]
        for row in rows:
            for title in ("41280-0.0", "53-2.0"):
                row.pop(title)
        assert both(tmp_path, *rows, when=When(timing=Timing.EVER)) == [(1, 0), (0, 0)]


class TestRefusals:
    @pytest.mark.parametrize("title", ["41270-0.0", "41280-0.0", "42000-0.0", "6150-2.0", "53-2.0"])
    def test_absent_field(self, tmp_path, title):
        row = {key: value for key, value in person().items() if key != title}
        field = title.split("-")[0]
        with pytest.raises(ValueError, match=rf"timing 'prevalent' reads the fields \[{field}\], which are in none"):
            read_rows(tmp_path, [row])

    def test_unknown_timing(self):
        with pytest.raises(
            ValueError, match="timing must be one of 'prevalent', 'incident', 'ever', however: timing='now'"
        ):
            When(timing="now")

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


END = date(2022, 10, 31)
FIVE_YEARS = When(timing="incident", within_years=5, linkage_end=END)
IN_TIME, LATE = "2019-06-01", "2021-06-01"


def followed(*codes_and_dates, **cells):
    """A person whose death and loss to follow-up would be on record."""
    return coded(*codes_and_dates, **{"f40000_0_0": "", "f191_0_0": "", **cells})


class TestIncident:
    def one(self, tmp_path, *rows, when=FIVE_YEARS):
        download = read_rows(tmp_path, [*rows, followed(f40000_0_0="2030-01-01")], labels=["cad"], when=when)
        return values(download, "cad")[:-1], download.label_counts.loc["cad"]

    def test_first_evidence_within_the_time_makes_a_case(self, tmp_path):
        rows = [
            followed(("I251", IN_TIME)),
            followed(("I251", "2020-03-13")),  # 1825 days
            followed(("I251", "2020-03-15")),  # 1827 days
            followed(("I251", LATE)),
            followed(),
        ]
        assert self.one(tmp_path, *rows)[0] == [1, 1, 0, 0, 0]

    def test_who_had_it_at_the_scan_is_left_out(self, tmp_path):
        rows = [
            followed(("I251", BEFORE), ("I210", IN_TIME)),
            followed(("I251", ON)),
            followed(("I210", IN_TIME), f6150_2_0="1"),
        ]
        found, counts = self.one(tmp_path, *rows)
        assert found == [None] * 3
        assert counts["prevalent"] == 3

    def test_answers_after_the_scan_are_not_used(self, tmp_path):
        assert self.one(tmp_path, followed(f6150_3_0="1"))[0] == [0]

    @pytest.mark.parametrize("field", ["f40000_0_0", "f191_0_0"])
    def test_death_and_loss_censor_controls_and_no_case(self, tmp_path, field):
        rows = [
            followed(**{field: "2020-03-13"}),
            followed(**{field: "2020-03-15"}),
            followed(("I210", IN_TIME), **{field: "2019-06-02"}),
            followed(("I210", LATE), **{field: "2021-06-02"}),
        ]
        found, counts = self.one(tmp_path, *rows)
        assert found == [None, 0, 1, 0]
        assert counts["censored"] == 1

    def test_end_of_linkage_censors(self, tmp_path):
        short = When(timing="incident", within_years=5, linkage_end=date(2020, 3, 13))
        rows = [followed(), followed(("I210", IN_TIME)), followed(f53_2_0="2015-03-13")]
        assert self.one(tmp_path, *rows, when=short)[0] == [None, 1, 0]

    def test_undated_evidence_might_be_older_than_the_scan(self, tmp_path):
        found, counts = self.one(tmp_path, followed(("I251", ""), ("I210", IN_TIME)))
        assert found == [None]
        assert counts["undated"] == 1

    def test_dates_of_death_and_loss_are_needed(self, tmp_path):
        with pytest.raises(ValueError, match=r"timing 'incident' reads the fields \[191, 40000\], which are in none"):
            read_rows(tmp_path, [person()], when=FIVE_YEARS)

    def test_time_without_meaning_is_refused(self):
        with pytest.raises(ValueError, match="timing='incident' with within_years=None: give both or neither"):
            When(timing="incident", linkage_end=END)
        with pytest.raises(ValueError, match="timing='prevalent' with within_years=5"):
            When(within_years=5)
        with pytest.raises(ValueError, match="needs the last day of the hospital records, however: linkage_end=None"):
            When(timing="incident", within_years=5)
        with pytest.raises(ValueError, match="within_years must be positive"):
            When(timing="incident", within_years=-1, linkage_end=END)


def test_a_scan_after_the_end_of_linkage_makes_no_control(tmp_path):
    rows = [person(), person(f53_2_0="2023-01-01"), coded(("I251", BEFORE), f53_2_0="2023-01-01")]
    download = read_rows(tmp_path, rows, when=When(linkage_end=END))
    assert values(download, "cad") == [0, None, 1]
    assert download.label_counts.loc["cad", "censored"] == 1


class TestHypertension:
    def labels(self, tmp_path, *cells, name="hypertension", **arguments):
        base = {"f6177_2_0": "", "f4079_2_0": "70"}
        rows = [person(**{**base, **change}) for change in cells]
        return values(read_rows(tmp_path, rows, labels=[name], **arguments), name)

    def test_either_pressure_at_its_limit_is_enough(self, tmp_path):
        cells = [
            {},
            {"f4080_2_0": "140", "f4080_2_1": "140"},
            {"f4080_2_0": "139", "f4080_2_1": "140"},
            {"f4079_2_0": "90"},
        ]
        assert self.labels(tmp_path, *cells) == [0, 1, 0, 1]

    def test_a_missing_reading_leaves_it_open_unless_the_other_decides(self, tmp_path):
        cells = [
            {"f4079_2_0": ""},
            {"f4079_2_0": "", "f4080_2_0": "150", "f4080_2_1": ""},
            {"f4079_2_0": "", "f6150_2_0": "4"},
            {},
        ]
        assert self.labels(tmp_path, *cells) == [None, 1, 1, 0]

    def test_other_evidence(self, tmp_path):
        cells = [
            {"f6150_2_0": "4"},
            {"f6153_2_0": "2"},
            {"f31_0_0": "1", "f6153_2_0": "", "f6177_2_0": "2"},
            {"f41270_0_0": "I10", "f41280_0_0": BEFORE},
            {"f41270_0_0": "I119", "f41280_0_0": BEFORE},
            {"f41270_0_0": "I14", "f41280_0_0": BEFORE},
        ]
        assert self.labels(tmp_path, *cells) == [1, 1, 1, 1, 1, 0]

    def test_as_published_both_pressures_above_and_missing_is_low(self, tmp_path):
        high = {"f4080_2_0": "150", "f4080_2_1": "150"}
        cells = [
            high | {"f4079_2_0": "91"},
            high | {"f4079_2_0": "90"},
            high | {"f4079_2_0": ""},
            {"f2966_0_0": "-3"},
            {"f2966_0_0": "", "f6153_3_0": "2"},
        ]
        found = self.labels(tmp_path, *cells, name="hypertension_as_run", when=When(timing="ever"))
        assert found == [1, 0, 0, 1, 1]

    def test_what_defines_it_is_no_input(self, tmp_path):
        rows = [person(f6177_2_0="", f4079_2_0="70", f12677_2_0="110", f2966_2_0="50")] * 2
        download = read_rows(tmp_path, rows, labels=["hypertension"])
        expected = {"systolic_blood_pressure_mmhg", "diastolic_blood_pressure_mmhg", "high_blood_pressure_diagnosed"}
        assert expected <= set(download.refused_features)
        assert "pwa_central_systolic_pressure_mmhg" in download.refused_features
        assert not set(download.refused_features) & set(download.features)
        assert "systolic_blood_pressure_mmhg" in read_rows(tmp_path, rows, labels=["cad"]).features
        with pytest.raises(ValueError, match=r"reveal one of the labels \['hypertension'\].*'systolic_blood_pressure"):
            read_rows(tmp_path, rows, labels=["hypertension"], names=["sex", "systolic_blood_pressure_mmhg"])


class TestEvidence:
    def test_sources_are_counted(self, tmp_path):
        rows = [
            coded(("I251", BEFORE)),
            coded(("I210", BEFORE), f6150_2_0="1"),
            person(f42000_0_0=BEFORE),
            person(f42000_0_0=AFTER),
            person(f6150_2_0="1", f50_2_0="tall"),
            person(),
        ]
        evidence = pd.DataFrame(read_rows(tmp_path, rows).evidence).set_index(["label", "source"])
        assert evidence.loc["cad"].to_dict("index") == {
            "algorithmic outcome (field 42000)": {"cases": 1, "only_source": 1},
            "hospital diagnosis (field 41270)": {"cases": 2, "only_source": 1},
            "self-report (field 6150)": {"cases": 1, "only_source": 0},
        }
        assert evidence.loc["infarction"]["cases"].to_dict() == {
            "algorithmic outcome (field 42000)": 1,
            "hospital diagnosis (field 41270)": 1,
            "self-report (field 6150)": 1,
        }

    def test_without_labels_there_is_none(self, tmp_path):
        assert read_rows(tmp_path, [person()], labels=[]).evidence == []

    def test_infarction_as_published_takes_any_entry_for_the_age(self, tmp_path):
        cells = [{"f3894_2_0": "-3"}, {"f3894_3_0": "60"}, {"f42004_0_0": "1900-01-01"}, {"f6150_3_0": "1"}]
        base = {"f3894_2_0": "", "f42002_0_0": "", "f42004_0_0": ""}
        rows = [person(**{**base, **change}) for change in cells]
        arguments = {"labels": ["infarction_as_run"], "when": When(timing="ever")}
        assert values(read_rows(tmp_path, rows, **arguments), "infarction_as_run") == [1, 1, 1, 0]


class TestOwnDefinitions:
    OWN = """
version: 1
extends: package
codings: {20002: {answers: [1471, 1065], unanswered: [99999]}}
code_sets:
  atrial_fibrillation: {prefixes: [I48]}
labels:
  atrial_fibrillation:
    icd10: atrial_fibrillation
    self_report: [{field: 20002, codes: [1471]}]
    refused_inputs: {12336: all}
  rhythm_or_coronary:
    icd10: atrial_fibrillation
    includes: [cad]
"""

    def test_build_on_those_of_the_package(self, tmp_path):
        (tmp_path / "own.yaml").write_text(self.OWN)
        base = {"f20002_2_0": "", "f12336_2_0": "60"}
        rows = [
            coded(("I4891", BEFORE), **base),
            person(**base | {"f20002_2_0": "1471"}),
            coded(("I251", BEFORE), **base),
            person(**base | {"f20002_2_0": "1065"}),
        ]
        names = ["atrial_fibrillation", "rhythm_or_coronary", "cad"]
        download = read_rows(tmp_path, rows, labels=names, label_sets=tmp_path / "own.yaml")
        assert [values(download, name) for name in names] == [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
        assert download.refused_features == ("ecg_ventricular_rate_bpm",)

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            ({}, "needs evidence: 'icd10'"),
            ({"icd10": "cad", "date": [1]}, r"there is no key \['date'\]"),
            ({"icd10": "none"}, "it uses 'none', which must be defined above it"),
            ({"dates": ["42000"]}, r"dates must be a list of whole numbers, however: dates=\['42000'\]"),
            ({"self_report": [{"field": 6150}]}, "evidence of field 6150 needs either 'codes' or 'ages: true'"),
            ({"self_report": [{"field": 6150, "codes": [77]}]}, r"coding with the answers used, however: \[77\] lack"),
            ({"self_report": [{"field": 6150, "code": [1]}]}, r"evidence knows no \['code'\]"),
            ({"measured": {"limits": {}}}, r"there is no key \['limits'\]"),
            ({"measured": {"combine": "any"}}, "under either 'at_least' or 'above'"),
            ({"measured": {"above": {"x": 1}, "combine": "most"}}, "combine must be 'any' or 'all', however: .*'most'"),
            ({"dates": [42000], "refused_inputs": {1: "some"}}, "codes of field 1 must be a list of whole numbers"),
        ],
    )
    def test_entries_are_checked(self, tmp_path, label, message):
        content = {"version": 1, "extends": "package", "labels": {"own": label}}
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(ValueError, match=rf"file of labels own\.yaml, label 'own': .*{message}"):
            load_labels(tmp_path / "own.yaml")

    def test_file_is_checked(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no file of labels own\.yaml"):
            load_labels(tmp_path / "own.yaml")
        (tmp_path / "own.yaml").write_text("version: 1\nextends: mine\nlabels: {own: {dates: [1]}}")
        with pytest.raises(ValueError, match="can extend 'package' alone, however: extends='mine'"):
            load_labels(tmp_path / "own.yaml")

    def test_measured_evidence_names_features_that_exist(self):
        for item in load_labels().sets.values():
            for name in item.measured.limits if item.measured else []:
                assert load_catalogue().named(name).rule == "number"
