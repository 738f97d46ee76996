"""Rules of the feature catalogue, each on rows written by hand."""

import re
from datetime import date

import pytest

from tests.data.ukbb.downloads import person, read_rows, values


def feature(tmp_path, name, *rows, **arguments):
    """Values of one feature, one row of changed cells each."""
    return values(read_rows(tmp_path, [person(**row) for row in rows], names=[name], **arguments), name)


class TestNumbers:
    def test_mean_of_the_readings_that_are_there(self, tmp_path):
        rows = [{}, {"f4080_2_0": ""}, {"f4080_2_0": "", "f4080_2_1": ""}]
        assert feature(tmp_path, "systolic_blood_pressure_mmhg", *rows) == [125.0, 130.0, None]

    def test_first_reading_alone(self, tmp_path):
        rows = [{"f50_2_1": "175"}, {"f50_2_0": "", "f50_2_1": "175"}]
        assert feature(tmp_path, "standing_height_cm", *rows) == [165.0, None]

    def test_reading_out_of_range_does_not_count(self, tmp_path):
        rows = [person(f4080_2_0="1200"), person(f4080_2_0="49.9", f4080_2_1="301"), person(f4080_2_0="50")]
        download = read_rows(tmp_path, rows)
        assert values(download, "systolic_blood_pressure_mmhg") == [130.0, None, 90.0]
        counts = download.feature_counts.loc["systolic_blood_pressure_mmhg"]
        assert counts.to_dict() == {"observed": 2, "missing": 1, "out_of_range": 3}

    def test_manual_reading_stands_in(self, tmp_path):
        rows = [{"f93_2_0": "150"}, {"f4080_2_0": "", "f4080_2_1": "", "f93_2_0": "150"}]
        assert feature(tmp_path, "systolic_blood_pressure_mmhg", *rows) == [125.0, 150.0]

    def test_other_visits_are_not_read(self, tmp_path):
        rows = [{"f4080_2_0": "", "f4080_2_1": "", "f4080_0_0": "140", "f4080_3_0": "150"}]
        assert feature(tmp_path, "systolic_blood_pressure_mmhg", *rows) == [None]

    def test_field_number_decides_not_a_like_one(self, tmp_path):
        rows = [{"f23104_2_0": "30", "f21001_2_0": ""}, {"f21001_2_0": "25", "f23104_2_0": "30"}]
        assert feature(tmp_path, "body_mass_index_kg_per_m2", *rows) == [None, 25.0]

    def test_special_codes_are_missing_and_not_out_of_range(self, tmp_path):
        rows = [person(f1160_2_0="-1"), person(f1160_2_0="-3"), person(f1160_2_0="8")]
        download = read_rows(tmp_path, rows)
        assert values(download, "sleep_duration_hours") == [None, None, 8.0]
        assert download.feature_counts.loc["sleep_duration_hours", "out_of_range"] == 0

    @pytest.mark.parametrize("blank", ["", "NA"])
    def test_blank_smoke_exposure_is_unknown(self, tmp_path, blank):
        assert feature(tmp_path, "smoke_exposure_home_h_per_week", {"f1269_2_0": blank}, {"f1269_2_0": "0"}) == [
            None,
            0,
        ]


class TestSkips:
    def test_minutes_of_walking(self, tmp_path):
        cases = [
            ("", "0", 0.0), ("", "-2", 0.0), ("", "3", None), ("", "", None), ("", "-1", None), ("-1", "0", None),
            ("45", "3", 45.0), ("1001", "3", None),
        ]  # fmt: skip
        rows = [{"f874_2_0": minutes, "f864_2_0": days} for minutes, days, _ in cases]
        assert feature(tmp_path, "walking_duration_min_per_day", *rows) == [expected for *_, expected in cases]

    def test_strenuous_sports(self, tmp_path):
        cases = [
            ("", ["1", "2"], "no strenuous sports"), ("", ["-7"], "no strenuous sports"), ("", ["1", "3"], None),
            ("", ["-3"], None), ("", [""], None), ("4", ["3"], "1 to 1.5 hours"), ("-1", ["1"], None),
        ]  # fmt: skip
        rows = [
            {"f1001_2_0": duration} | {f"f6164_2_{k}": code for k, code in enumerate(ticked)}
            for duration, ticked, _ in cases
        ]
        assert feature(tmp_path, "strenuous_sports_duration", *rows) == [expected for *_, expected in cases]

    def test_past_smoking(self, tmp_path):
        cases = [
            ("", "1", "on most or all days"), ("", "0", None), ("", "2", None), ("", "", None), ("4", "0", "never"),
            ("-3", "1", None),
        ]  # fmt: skip
        rows = [{"f1249_2_0": past, "f1239_2_0": now} for past, now, _ in cases]
        assert feature(tmp_path, "past_tobacco_smoking", *rows) == [expected for *_, expected in cases]

    def test_answer_of_another_visit_proves_nothing(self, tmp_path):
        row = {"f874_2_0": "", "f864_0_0": "0", "f864_2_0": ""}
        assert feature(tmp_path, "walking_duration_min_per_day", row) == [None]


class TestCodes:
    def test_labels(self, tmp_path):
        rows = [{"f1558_2_0": "1"}, {"f1558_2_0": "6.0"}, {"f1558_2_0": "-3"}, {"f1558_2_0": ""}]
        assert feature(tmp_path, "alcohol_intake_frequency", *rows) == ["daily or almost daily", "never", None, None]

    def test_blank_drinker_status_is_unknown(self, tmp_path):
        assert feature(tmp_path, "alcohol_drinker_status", {"f20117_2_0": ""}, {"f20117_2_0": "0"}) == [None, "never"]

    def test_unable_to_walk_is_no_days(self, tmp_path):
        rows = [{"f864_2_0": "-2"}, {"f864_2_0": "0"}, {"f864_2_0": "1"}]
        assert feature(tmp_path, "walking_days_per_week", *rows) == ["0 days", "0 days", "1 day"]

    def test_sex_is_read_at_the_first_visit(self, tmp_path):
        assert feature(tmp_path, "sex", {}, {"f31_0_0": "1"}, {"f31_0_0": ""}) == ["female", "male", None]


class TestEver:
    def test_stroke_is_yes_no_or_unknown_at_the_scan(self, tmp_path):
        cases = [
            ({"f6150_2_0": "3"}, "yes"),
            ({"f6150_2_0": "1", "f6150_2_1": "3"}, "yes"),
            ({"f6150_2_0": "-7"}, "no"),
            ({"f6150_2_0": "4"}, "no"),
            ({"f6150_2_0": "-3"}, None),
            ({"f6150_2_0": ""}, None),
            ({"f6150_2_0": "-7", "f6150_0_0": "3"}, "yes"),
            ({"f6150_2_0": "", "f6150_0_0": "-7"}, None),
            ({"f6150_2_0": "-7", "f6150_3_0": "3"}, "no"),
            ({"f6150_2_0": "", "f6150_3_0": "3"}, None),
            ({"f6150_2_0": "", "f4056_2_0": "55"}, "yes"),
            ({"f6150_2_0": "-7", "f4056_0_0": "55"}, "yes"),
            ({"f6150_2_0": "-7", "f4056_3_0": "66"}, "no"),
            ({"f6150_2_0": "-7", "f4056_2_0": "-1"}, "no"),
            ({"f6150_2_0": "", "f4056_2_0": "-3"}, None),
        ]
        assert feature(tmp_path, "stroke_diagnosed", *(cells for cells, _ in cases)) == [
            expected for _, expected in cases
        ]

    def test_visit_of_the_scan_moves_the_window(self, tmp_path):
        row = person(f6150_3_0="3", f53_3_0="2019-04-01")
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "9000001_20209_3_0.zip").touch()
        assert values(read_rows(tmp_path, [row], visit=3, names=["stroke_diagnosed"]), "stroke_diagnosed") == ["yes"]

    def test_not_taking_insulin_is_no_proof_against_diabetes(self, tmp_path):
        cases = [
            ({"f2443_2_0": "1"}, "yes"),
            ({"f2443_2_0": "0"}, "no"),
            ({"f2443_2_0": "-1"}, None),
            ({"f2443_2_0": "", "f6153_2_0": "3"}, "yes"),
            ({"f2443_2_0": "", "f6153_2_0": "-7"}, None),
        ]
        assert feature(tmp_path, "diabetes_diagnosed", *(cells for cells, _ in cases)) == [
            expected for _, expected in cases
        ]

    def test_drugs_of_men_come_from_their_own_field(self, tmp_path):
        man = {"f31_0_0": "1", "f6153_2_0": ""}
        rows = [man | {"f6177_2_0": "1"}, man | {"f6177_2_0": "-7"}, man | {"f6177_2_0": ""}, {"f6153_2_0": "1"}, {}]
        assert feature(tmp_path, "cholesterol_medication_ever", *rows) == ["yes", "no", None, "yes", "no"]

    def test_drugs_for_women_are_missing_for_men(self, tmp_path):
        rows = [{"f6153_2_0": "4"}, {}, {"f31_0_0": "1", "f6153_2_0": "-7"}, {"f31_0_0": "1", "f6153_2_0": "4"}]
        assert feature(tmp_path, "hormone_replacement_therapy_ever", *rows) == ["yes", "no", None, None]


class TestAge:
    def test_from_month_of_birth_and_scan(self, tmp_path):
        expected = (date(2015, 3, 15) - date(1955, 3, 15)).days / 365.25
        assert feature(tmp_path, "age_at_scan_years", {"f21003_2_0": "59"}) == [expected]

    def test_whole_years_where_a_date_is_blank(self, tmp_path):
        rows = [{"f52_0_0": "", "f21003_2_0": "59"}, {"f53_2_0": "", "f21003_2_0": "61"}, {"f34_0_0": ""}]
        assert feature(tmp_path, "age_at_scan_years", *rows) == [59.0, 61.0, None]

    def test_implausible_age_is_missing(self, tmp_path):
        download = read_rows(tmp_path, [person(f34_0_0="1855"), person()])
        assert values(download, "age_at_scan_years")[0] is None
        assert download.feature_counts.loc["age_at_scan_years", "out_of_range"] == 1


class TestFaults:
    @pytest.mark.parametrize(
        ("cells", "reason"),
        [
            ({"f50_2_0": "tall"}, r"text where a number belongs in feature standing_height_cm \(field 50, visit 2\)"),
            ({"f50_2_0": "inf"}, "text where a number belongs in feature standing_height_cm"),
            ({"f31_0_0": "5"}, r"a code that the coding \(0, 1\) does not know in feature sex \(field 31, visit 0\)"),
            ({"f31_0_0": "0.5"}, r"does not know in feature sex"),
            ({"f6150_2_0": "9"}, r"a code that the coding \(-7, .*\) does not know in field 6150, visit 2"),
            ({"f6150_2_0": "stroke"}, "does not know in field 6150"),
            ({"f53_2_0": "15 March"}, r"text that is no date \(YYYY-MM-DD\) in field 53, visit 2"),
        ],
    )
    def test_one_bad_cell_costs_one_subject(self, tmp_path, cells, reason):
        download = read_rows(tmp_path, [person(**cells), person(), person()])
        assert len(download.features) == len(download.labels) == len(download.images) == 2
        assert len(download.set_aside) == 1
        assert re.search(reason, download.set_aside["reason"][0])
        assert download.set_aside["stage"][0] == "table"
        assert not set(download.set_aside["subject_id"]) & (set(download.features.index) | set(download.images))

    def test_reason_does_not_quote_the_cell(self, tmp_path):
        download = read_rows(tmp_path, [person(f50_2_0="Mrs Smith"), person()])
        assert "Smith" not in download.set_aside["reason"][0]

    def test_bad_cell_that_no_feature_reads_does_not_matter(self, tmp_path):
        download = read_rows(tmp_path, [person(f46_2_0="strong", f4080_0_0="high"), person()])
        assert download.set_aside.empty

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{"f31_0_0": "Female"}, {"f31_0_0": "Male"}], "field 31, visit 0 must hold .* 2 of 2 filled cells"),
            ([{"f6150_2_0": "Stroke"}, {"f6150_2_0": "Angina"}], "field 6150, visit 2 must hold codes.* RAW coding"),
            ([{"f53_2_0": "15/03/2015"}] * 2, "field 53, visit 2 must hold dates.* YYYY-MM-DD"),
            ([{"f41270_0_0": "I21.0 Acute infarction"}] * 2, "field 41270, visit 0 must hold ICD-10 codes"),
        ],
    )
    def test_decoded_table_is_refused(self, tmp_path, rows, message):
        with pytest.raises(ValueError, match=message):
            read_rows(tmp_path, [person(**row) for row in rows])
