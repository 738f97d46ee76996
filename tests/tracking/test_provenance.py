"""Records of weights belong to these very weights, or to none."""

import pytest

from dymo_med.tracking import provenance_of, record_path, write_record
from dymo_med.utils import save_weights, sha256_of

FACTS = {"run": "5a" * 16, "cohort_digest": "cd" * 32, "code_commit": "e" * 40}


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.pt"
    save_weights(path, {"step": 1})
    return path


def test_record_comes_back_with_the_digest(weights):
    write_record(weights, FACTS)
    assert record_path(weights).name == "model.json"
    assert provenance_of(weights) == {"sha256": sha256_of(weights), **FACTS}


def test_other_weights_of_the_same_name_have_no_record(weights):
    write_record(weights, FACTS)
    save_weights(weights, {"step": 2})
    assert provenance_of(weights) == {"sha256": sha256_of(weights), "record": "of other weights"}


def test_weights_without_a_record(weights):
    assert provenance_of(weights) == {"sha256": sha256_of(weights), "record": "none beside the weights"}


def test_absent_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*tip.pt: train the bundle first"):
        provenance_of(tmp_path / "tip.pt")
