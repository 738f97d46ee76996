import re

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dymo_med.data.synthetic.heart import draw_heart
from dymo_med.data.synthetic.person import draw_person
from dymo_med.data.synthetic.table import table_row

FEATURE_FIELDS = {
    4717, 31, 2443, 2976, 6153, 6177, 6150, 4056, 2966, 2188, 20160, 1200, 1558, 2178, 20117, 2296, 864, 884, 904, 924,
    1001, 1239, 1249, 20116, 21021, 4080, 4079, 102, 23099, 23100, 21001, 23105, 48, 49, 21002, 12336, 12338, 12340,
    22424, 22425, 22426, 22427, 874, 894, 914, *range(12673, 12687), 12702, 1160, 1269, 1279, *range(24100, 24110),
}  # fmt: skip
OTHER_FIELDS = {21003, 34, 52, 50, 53, 54, 21000, 41270, 41280, 42000, 42002, 42004, 3894, 3627, 190, 191, 189, 738, 46}
WAVEFORM = [f"{field}-2.0" for field in (*range(12673, 12687), 12702)]
VENTRICLES = [f"{field}-2.0" for field in range(24100, 24110)]


@pytest.fixture(scope="module")
def frame(population):
    return pd.DataFrame([cells for _, _, cells in population])


def test_every_field_of_features_and_labels_is_there(frame):
    fields = {int(name.split("-")[0]) for name in frame}
    assert fields >= FEATURE_FIELDS | OTHER_FIELDS
    assert all(re.fullmatch(r"\d+-\d\.\d+", name) for name in frame)


def test_all_participants_have_the_same_columns_in_the_same_order(population):
    assert len({tuple(cells) for _, _, cells in population}) == 1


CODINGS = {
    "4717-2.0": {0, 1, -1, -3},
    "1558-2.0": {1, 2, 3, 4, 5, 6, -3},
    "2178-2.0": {1, 2, 3, 4, -1, -3},
    "864-2.0": {*range(8), -1, -2, -3},
    "924-2.0": {1, 2, 3, -7, -3},
    "1001-2.0": {*range(1, 8), -1, -3},
    "1239-2.0": {0, 1, 2, -3},
    "1249-2.0": {1, 2, 3, 4, -3},
    "20116-2.0": {0, 1, 2, -3},
    "54-2.0": {11025, 11026, 11027, 11028},
}


@pytest.mark.parametrize(("column", "coding"), CODINGS.items())
def test_codes_are_those_of_the_coding_and_all_occur(frame, column, coding):
    assert set(frame[column].dropna()) == coding


RANGES = {
    "4080-2.0": (80, 230),
    "4079-2.1": (35, 135),
    "21001-2.0": (15, 50),
    "48-2.0": (45, 170),
    "12340-2.0": (50, 140),
    "12682-2.0": (1.5, 12),
    "12685-2.0": (0.1, 1.5),
    "12681-2.0": (0, 100),
    "24103-2.0": (10, 85),
    "22427-2.0": (1.2, 3),
    "23105-2.0": (3500, 13000),
}


@pytest.mark.parametrize(("column", "low", "high"), [(name, *bounds) for name, bounds in RANGES.items()])
def test_measurements_are_plausible(frame, column, low, high):
    values = frame[column].dropna().astype(float)
    assert values.between(low, high).all()
    assert values.std() > 0


def test_age_is_floored_and_agrees_with_birth_and_visit(population):
    for person, _, cells in population:
        assert cells["21003-2.0"] == int(person.age_years)
        assert cells["34-0.0"] == person.birth.year
        assert cells["53-2.0"] == person.scan.isoformat()


def test_minutes_are_asked_only_where_days_are_above_zero(frame):
    for days, minutes in (("864-2.0", "874-2.0"), ("884-2.0", "894-2.0"), ("904-2.0", "914-2.0")):
        assert frame.loc[frame[days] <= 0, minutes].isna().all()
        assert frame.loc[frame[days] > 0, minutes].notna().mean() > 0.9


def test_sport_and_past_smoking_are_gated(frame):
    assert frame.loc[frame["6164-2.0"] == 1, "1001-2.0"].isna().all()
    assert frame.loc[frame["1239-2.0"] == 1, "1249-2.0"].isna().all()


def test_gaps_come_in_groups_of_a_device_and_in_single_cells(frame):
    absent = frame[WAVEFORM].isna()
    assert 0.17 < absent.all(axis=1).mean() < 0.28
    assert 0 < absent[~absent.all(axis=1)].to_numpy().mean() < 0.03
    assert 0.29 < frame[VENTRICLES].isna().all(axis=1).mean() < 0.41


def test_gap_scale_governs_the_gaps():
    def gaps(scale):
        rows = []
        for index in range(60):
            rng = np.random.default_rng(index)
            person = draw_person(rng)
            rows.append(table_row(person, draw_heart(person, rng), rng, gap_scale=scale))
        return pd.DataFrame(rows)[WAVEFORM + VENTRICLES].isna().to_numpy().mean()

    assert gaps(0.0) == 0
    assert gaps(0.5) < gaps(1.0) < gaps(2.0)


def test_pressure_is_read_twice_or_taken_by_hand(frame):
    assert frame[["4080-2.0", "4080-2.1"]].notna().all(axis=1).mean() > 0.8
    by_hand = frame["93-2.0"].notna()
    assert by_hand.any()
    assert frame.loc[by_hand, "4080-2.0"].isna().all()


def test_volumes_measure_the_anatomy_with_error(population, frame):
    for column, value in (("24100-2.0", "edv_ml"), ("24105-2.0", "mass_g"), ("24103-2.0", "ef_percent")):
        truth = pd.Series([getattr(heart, value) for _, heart, _ in population])
        assert 0.7 < truth.corr(frame[column].astype(float)) < 0.995
    volumes = frame[["24100-2.0", "24101-2.0", "24102-2.0"]].astype(float).dropna().to_numpy()
    assert np.allclose(volumes[:, 2], volumes[:, 0] - volumes[:, 1], atol=0.01)


def area(x, y):
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.3, max_iter=1000))
    return roc_auc_score(y, cross_val_predict(model, x, y, cv=3, method="predict_proba")[:, 1])


def test_neither_table_nor_anatomy_decides_and_both_together_do_better(population, frame):
    """Diagnoses, drugs, health ratings and volumes are left out of the table."""
    diagnoses = {2443, 2976, 6150, 6153, 6177, 4056, 2966, 2188, 2178, 22424, 22425, *range(24100, 24110)}
    visits = ("-0.0" if field == 31 else "-2." for field in FEATURE_FIELDS)
    wanted = tuple(
        f"{field}{visit}" for field, visit in zip(FEATURE_FIELDS, visits, strict=True) if field not in diagnoses
    )
    columns = [name for name in frame if name.startswith(wanted)]
    table = frame[columns].astype(float).where(lambda x: x >= 0).to_numpy()
    angles, middle = np.linspace(0, 6.28, 12), np.asarray(0.5)
    pictures = []
    for _, heart, _ in population:
        inner = [heart.inner_radius(middle, angles, np.asarray(s)) for s in (0.0, 1.0)]
        wall = heart.outer_radius(middle, angles, np.asarray(0.0)) - inner[0]
        motion = 1 - inner[1] / inner[0]
        pictures.append(
            [heart.edv_ml, heart.ef_percent, heart.mass_g, motion.min(), motion.std(), wall.min() / wall.max()]
        )
    label = np.array([person.cad for person, _, _ in population])
    image = np.array(pictures)
    alone_table, alone_image, both = area(table, label), area(image, label), area(np.c_[table, image], label)
    assert 0.70 < alone_table < 0.83
    assert 0.73 < alone_image < 0.86
    assert max(alone_table, alone_image) + 0.02 < both < 0.92
