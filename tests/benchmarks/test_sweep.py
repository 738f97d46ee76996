"""The benchmark of the sweep counts what it says it counts."""

import numpy as np
import pytest

from benchmarks import sweep
from dymo_med.evaluation.sweep import cells_of
from dymo_med.utils import read_json

pytestmark = pytest.mark.slow


def test_states_are_those_of_the_masks():
    mechanisms = sweep.mechanisms_of(5)
    cells = cells_of(mechanisms, [0.0, 0.5, 1.0], [1, 2])
    (own,) = sweep.states_of(["S00000"], 5, cells, mechanisms)
    masks = [np.frombuffer(state, dtype=bool) for state in own]
    assert all(len(mask) == 5 for mask in masks)
    assert {int(mask.sum()) for mask in masks} == {0, 2, 5}  # of half of 5 two are hidden, by each mechanism
    assert 3 <= len(own) <= 2 + 2 + 2 + 1  # nothing, everything; two draws of two mechanisms; one ranking


def test_passes_follow_from_states():
    none, half, whole = (bytes(cells) for cells in ([0, 0], [0, 1], [1, 1]))
    expected = {"network image": 2, "network table": 3 + 2 * 3, "TIP image": 2, "TIP table": 3}
    assert sweep.passes_of([{none, half, whole}, {half}], 2) == expected
    expected["network table"] -= 1  # of the table of which nothing is left there is one proposal, not two
    assert sweep.passes_of([{none, half, whole}, {half}], 2, 1) == expected


@pytest.mark.parametrize(("recoveries", "policies"), [("tip", "grid"), ("all", "strategies")])
def test_a_sample_is_counted_and_scaled(tmp_path, capsys, recoveries, policies):
    words = ["--sizes", "tiny", "--sample", "3", "--subjects", "6", "--recoveries", recoveries, "--policies", policies]
    sweep.main([*words, "--output", str(tmp_path / "s.json")])
    found = read_json(tmp_path / "s.json")
    assert found["measured"]["passes_per_subject"]["network image"] == 1
    assert found["measured"]["cells"] == 63
    assert found["computed"]["passes"]["network image"] == 6
    assert found["computed"]["states_of_the_table"] == round(6 * found["computed"]["states_per_subject"][1])
    assert found["scaled"]["processor_s_per_1000_subjects"] > 0
    assert "states_per_subject" in capsys.readouterr().out
