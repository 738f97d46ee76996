"""The benchmark of large tables writes one that is read as a whole."""

import pytest

from benchmarks.participant_table import read, titles_of, write_csv, write_parquet

pytestmark = pytest.mark.slow

N_ROWS, N_COLUMNS, SCANNED = 1100, 1000, 0.2


@pytest.mark.parametrize(("write", "name"), [(write_csv, "t.csv"), (write_parquet, "t.parquet")])
def test_scanned_participants_and_their_images_remain(tmp_path, write, name):
    write(tmp_path / name, N_ROWS, N_COLUMNS, SCANNED)
    told = read(tmp_path / name)
    # 200 of the first thousand rows and the hundred that repeat the first ones; images of 80 others.
    assert told["subjects"] == 200 + 100 + 80
    assert told["features"] > 50
    assert told["peak_mib"] >= told["peak_mib_of_imports"] > 0


def test_most_columns_are_not_read():
    titles, n_read = titles_of(N_COLUMNS)
    assert len(titles) == len(set(titles)) == N_COLUMNS
    assert n_read < N_COLUMNS
