import pytest

from dymo_med.data.ukbb.dialects import Cell, is_participant_column, parse_column


@pytest.mark.parametrize(
    "title",
    [
        "4080-2.1",
        "f.4080.2.1",
        "X4080.2.1",
        "p4080_i2_a1",
        "participant.p4080_i2_a1",
        "n_4080_2_1",
        "s_4080_2_1",
        "ts_4080_2_1",
        "x4080_2_1",
        "c4080_2_1",
        "f_4080_2_1",
        "X4080_2_1",
        " 4080-2.1 ",
    ],
)
def test_every_dialect_names_the_same_cell(title):
    assert parse_column(title) == Cell(field=4080, visit=2, array=1)


@pytest.mark.parametrize(
    ("title", "cell"),
    [("p31", Cell(31, 0, 0)), ("p21021_i2", Cell(21021, 2, 0)), ("p41280_a17", Cell(41280, 0, 17))],
)
def test_parts_left_out_are_zero(title, cell):
    assert parse_column(title) == cell


@pytest.mark.parametrize(
    "title",
    ["eid", "Sex", "Systolic blood pressure | Instance 2", "4080", "4080-2", "q4080_2_1", "p_i2", "24080-2.1x", ""],
)
def test_other_titles_are_no_cells(title):
    assert parse_column(title) is None


def test_participant_columns():
    assert all(map(is_participant_column, ["eid", "f.eid", "f_eid", "n_eid", "participant.eid"]))
    assert not any(map(is_participant_column, ["eid_old", "Participant ID", "IID", "31-0.0"]))
