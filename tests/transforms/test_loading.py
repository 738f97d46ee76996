"""Loading transforms: a mixed cohort must collate to the batch contract."""

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, list_data_collate
from monai.transforms import Compose

from dymo_med.transforms import loading
from dymo_med.transforms.loading import LoadOrMissingd, TableOrMissingd

SHAPE = (3, 4, 5)
IMAGES = {"S0": np.full(SHAPE, 7.0, dtype=np.float64), "S1": np.full(SHAPE, 8.0, dtype=np.float16)}


def read(key):
    return IMAGES[key]


def items():
    row, cells = np.array([1, 0.5], dtype=np.float32), np.array([False, True])
    return [
        {"subject_id": "S0", "image": "S0", "table": row, "table_missing": cells, "label": 1},
        {"subject_id": "S1", "image": "S1", "table": None, "table_missing": None, "label": 0},
        {"subject_id": "S2", "image": None, "table": row + 1, "table_missing": ~cells, "label": 1},
    ]


TRANSFORM = Compose([LoadOrMissingd("image", reader=read, shape=SHAPE), TableOrMissingd("table", n_columns=2)])


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_mixed_batch_keeps_the_contract(n_workers):
    loader = DataLoader(
        Dataset(items(), TRANSFORM), batch_size=3, num_workers=n_workers, collate_fn=list_data_collate, shuffle=False
    )
    (batch,) = list(loader)
    assert {key: (tuple(value.shape), value.dtype) for key, value in batch.items() if key != "subject_id"} == {
        "image": ((3, *SHAPE), torch.float32),
        "image_missing": ((3,), torch.bool),
        "table": ((3, 2), torch.float32),
        "table_missing": ((3, 2), torch.bool),
        "label": ((3,), torch.int64),
    }
    assert batch["subject_id"] == ["S0", "S1", "S2"]
    assert batch["image_missing"].tolist() == [False, False, True]
    assert batch["image"].mean(dim=(1, 2, 3)).tolist() == [7.0, 8.0, 0.0]
    assert batch["table"].tolist() == [[1.0, 0.5], [0.0, 0.0], [2.0, 1.5]]
    assert batch["table_missing"].tolist() == [[False, True], [True, True], [True, False]]


def test_the_datalist_is_left_alone():
    data = items()
    TRANSFORM(data[1])
    assert data[1]["table"] is None
    assert "image_missing" not in data[1]


def test_several_keys_and_absent_ones():
    load = LoadOrMissingd(["image", "ecg"], reader=read, shape=SHAPE, allow_missing_keys=True)
    assert sorted(load({"image": "S0"})) == ["image", "image_missing"]
    with pytest.raises(KeyError, match="ecg"):
        LoadOrMissingd(["image", "ecg"], reader=read, shape=SHAPE)({"image": "S0"})
    assert TableOrMissingd("table", 2, allow_missing_keys=True)({}) == {}


def test_wrong_content_is_refused():
    with pytest.raises(ValueError, match=r"image must have shape \(3, 4, 4\), however: image.shape=\(3, 4, 5\)"):
        LoadOrMissingd("image", reader=read, shape=(3, 4, 4))({"image": "S0"})
    row, cells = np.zeros(2, dtype=np.float32), np.zeros(2, dtype=bool)
    table = TableOrMissingd("table", n_columns=2)
    with pytest.raises(ValueError, match=r"table must have shape \(2\), however: table.shape=\(3,\)"):
        table({"table": np.zeros(3), "table_missing": cells})
    with pytest.raises(ValueError, match=r"table_missing must have shape \(2\), however: table_missing.shape=\(1,\)"):
        table({"table": row, "table_missing": cells[:1]})
    with pytest.raises(TypeError, match=r"table_missing must be boolean .*torch.float32"):
        table({"table": row, "table_missing": row})
    for missing in ({}, {"table_missing": None}):
        with pytest.raises(
            KeyError, match=r"a row 'table' must come with 'table_missing', however: keys are \['table'"
        ):
            table({"table": row, **missing})


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"shape\[1\] must be a positive integer, however: shape\[1\]=0"):
        LoadOrMissingd("image", reader=read, shape=(3, 0))
    with pytest.raises(ValueError, match=r"n_columns must be a positive integer, however: n_columns=0"):
        TableOrMissingd("table", n_columns=0)


def test_aliases():
    assert loading.LoadOrMissingD is loading.LoadOrMissingDict is LoadOrMissingd
    assert loading.TableOrMissingD is loading.TableOrMissingDict is TableOrMissingd
