import pytest
import torch

from dymo_med.recovery.base import Proposal, Recovery, TableRecovery


class Zeros(TableRecovery):
    name = "zeros"

    def fit(self, values, missing):
        raise NotImplementedError

    def forward(self, inputs, missing):
        known, mask = self.cells(inputs, missing)
        return Proposal(known, torch.ones(len(mask), dtype=torch.bool))


@pytest.fixture
def recovery():
    return Zeros("table", cat_cardinalities=[3, 2], n_num_features=1)


def table():
    return torch.tensor([[2.0, 1.0, -0.5], [0.0, 0.0, 7.0]])


def test_recovery_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Recovery("table")


def test_proposal_is_frozen():
    proposal = Proposal(torch.zeros(1), torch.ones(1, dtype=torch.bool))
    with pytest.raises(AttributeError, match="values"):
        proposal.values = torch.ones(1)


def test_layout_and_target(recovery):
    assert (recovery.target, recovery.name, recovery.n_features) == ("table", "zeros", 3)


@pytest.mark.parametrize("content", [torch.nan, torch.inf, 1e6, -3.5])
def test_content_of_missing_cells_is_never_read(recovery, content):
    mask = torch.tensor([[True, False, True], [False, True, False]])
    values = table()
    values[mask] = content
    known, cells = recovery.cells({"table": values}, {"table": mask})
    assert known.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 7.0]]
    assert (cells == mask).all()


def test_mask_of_whole_tables_is_spread_over_the_columns(recovery):
    _, cells = recovery.cells({"table": table()}, {"table": torch.tensor([True, False])})
    assert cells.tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("cell", "value", "text"),
    [
        ((1, 0), 3.0, "'table' must be a category index below 3, however: 3.0 in column 0 of batch row 1"),
        ((0, 1), -1.0, "category index below 2, however: -1.0 in column 1 of batch row 0"),
        ((0, 1), 0.5, "category index below 2, however: 0.5"),
        ((0, 0), torch.nan, "category index below 3, however: nan"),
        ((1, 2), torch.inf, "must be finite, however: inf in column 2 of batch row 1"),
    ],
)
def test_invalid_observed_cells(recovery, cell, value, text):
    values = table()
    values[cell] = value
    with pytest.raises(ValueError, match=text):
        recovery.cells({"table": values}, {"table": torch.zeros(2, 3, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("inputs", "missing", "error", "text"),
    [
        ({}, {"table": torch.zeros(2, dtype=torch.bool)}, KeyError, r"inputs must hold 'table'.*inputs holds \[\]"),
        ({"table": table()}, {"image": 0}, KeyError, r"missing must hold 'table'.*holds \['image'\]"),
        ({"table": table()}, {"table": torch.zeros(2)}, TypeError, r"missing\['table'\] must be boolean.*float32"),
        ({"table": table()[:, :2]}, {"table": torch.zeros(2, dtype=torch.bool)}, ValueError, r"\(B, 3\).*\(2, 2\)"),
        ({"table": table()}, {"table": torch.zeros(2, 2, dtype=torch.bool)}, ValueError, r"shape \(2, 3\).*\(2, 2\)"),
    ],
)
def test_refusals(recovery, inputs, missing, error, text):
    with pytest.raises(error, match=text):
        recovery.cells(inputs, missing)


def test_training_needs_every_column(recovery):
    mask = torch.tensor([[False, True, False], [False, True, False]])
    with pytest.raises(
        ValueError, match=r"needs an observed training cell, however: columns \[1\] have none in 2 rows"
    ):
        recovery.training_cells(table(), mask)


@pytest.mark.parametrize(
    ("cardinalities", "n_num", "text"),
    [
        ([2, 0], 1, r"cat_cardinalities\[1\] must be a positive integer.*0"),
        ([], 0, r"at least one column.*cat_cardinalities=\[\], n_num_features=0"),
        ([], -1, "n_num_features=-1"),
    ],
)
def test_layout_refusals(cardinalities, n_num, text):
    with pytest.raises(ValueError, match=text):
        Zeros("table", cardinalities, n_num)
