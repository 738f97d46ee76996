"""What TIP and its recovery promise beside their equations."""

import pytest
import torch

from dymo_med.networks.nets import TIP
from dymo_med.recovery.tip import TIPRecovery
from tests.networks import build


@pytest.fixture(scope="module")
def network():
    return build.tip()[0]


@pytest.mark.parametrize("filler", [torch.nan, torch.inf, 1e6])
def test_content_of_missing_cells_changes_no_bit(network, filler):
    inputs = build.batch([(True, "part"), (True, "none"), (True, "whole")])
    missing = inputs["table_missing"]
    reference = network(inputs["image"], torch.where(missing, 0.0, inputs["table"]), missing)
    found = network(inputs["image"], torch.where(missing, filler, inputs["table"]), missing)
    assert torch.equal(found, reference)
    assert found.isfinite().all()


def test_observed_cells_stay_and_gaps_depend_on_the_image(network):
    inputs = build.batch([(True, "part")] * 3)
    missing = inputs["table_missing"]
    completed = network(inputs["image"], inputs["table"], missing)
    assert torch.equal(completed[~missing], inputs["table"][~missing])
    other = network(inputs["image"] * 0.3, inputs["table"], missing)
    assert not torch.equal(completed[missing], other[missing])


def test_no_table_equals_a_table_that_is_all_missing(network):
    image = torch.as_tensor(build.images(2))
    absent = torch.full((2, 6), torch.nan, dtype=torch.float64)
    assert torch.equal(network(image), network(image, absent, torch.ones(2, dtype=torch.bool)))
    assert torch.equal(network(image, torch.zeros(2, 6, dtype=torch.float64)), torch.zeros(2, 6, dtype=torch.float64))


def test_categories_are_within_their_columns(network):
    for decoding in ("column", "global"):
        completed = build.tip(decoding)[0](torch.as_tensor(build.images(12)))
        codes = completed[:, :3]
        assert torch.equal(codes, codes.round())
        assert (codes >= 0).all()
        assert (codes < torch.tensor([2, 4, 3])).all()


def test_refusals(network):
    with pytest.raises(ValueError, match=r"decoding must be one of 'column', 'global', however: decoding='argmax'"):
        TIP(build.image_encoder(), build.table_encoder(), decoding="argmax", n_heads=4)
    one = build.batch([(True, "whole")])
    with pytest.raises(ValueError, match=r"at least 2 samples in a batch, however: 1"):
        network(one["image"], one["table"], one["table_missing"], corrupted=one["table"], hidden=one["table_missing"])


def test_recovery_is_unavailable_without_an_image(network):
    recovery = TIPRecovery(network)
    passes = build.count_passes(network.encoder_imaging)
    inputs = build.batch([(False, "part"), (True, "part"), (False, "whole"), (True, "none")])
    proposal = recovery(
        {name: inputs[name] for name in ("image", "table")},
        {name: inputs[f"{name}_missing"] for name in ("image", "table")},
    )
    assert proposal.available.tolist() == [False, True, False, True]
    assert passes == [2]
    expected = network(inputs["image"][1::2], inputs["table"][1::2], inputs["table_missing"][1::2])
    assert torch.equal(proposal.values[1::2], expected)
    assert proposal.values.isfinite().all()


def test_recovery_takes_masks_per_token(network):
    inputs = build.batch([(False, "part"), (True, "part")])
    per_token = inputs["image_missing"].unsqueeze(1).expand(-1, 4)
    proposal = TIPRecovery(network)(inputs, {"image": per_token, "table": inputs["table_missing"]})
    assert proposal.available.tolist() == [False, True]
