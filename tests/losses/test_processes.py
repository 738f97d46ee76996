"""Losses of several processes: their average has the value and the gradient of one process with the whole batch."""

import numpy as np
import pytest
import torch

from dymo_med.losses import PrototypeLoss, TIPLoss
from dymo_med.selection import Fused
from tests.processes import in_processes


def whole_case():
    generator = torch.Generator().manual_seed(0)
    logits, embedding = torch.randn(2, 6, 3, generator=generator), torch.randn(2, 6, 4, generator=generator)
    absent = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)  # most in the second process
    label = torch.tensor([0, 1, 2, 0, 0, 1])
    return logits, embedding, absent, label, torch.randn(3, 4, generator=generator)


def loss_of(part, class_weight):
    logits, embedding, absent, label, prototypes = whole_case()
    logits, embedding = logits[:, part].requires_grad_(), embedding[:, part].requires_grad_()
    gone = absent[:, part].unsqueeze(-1)
    loss = PrototypeLoss("squared_euclidean", class_weight=class_weight)
    loss.prototypes = prototypes
    value = loss(Fused(logits.masked_fill(gone, torch.nan), embedding.masked_fill(gone, torch.nan)), label[part])
    value.backward()
    return value, logits.grad, embedding.grad


@pytest.mark.parametrize("class_weight", [None, [0.2, 1.0, 3.0]])
def test_prototype_loss(tmp_path, class_weight):
    value, of_logits, of_embedding = loss_of(slice(0, 6), class_weight)
    parts = [slice(0, 3), slice(3, 6)]
    found = in_processes(lambda rank: loss_of(parts[rank], class_weight), tmp_path / "store")
    assert [float(part[0]) for part in found] == pytest.approx([value.item()] * 2, rel=1e-6)
    for index, expected in ((1, of_logits), (2, of_embedding)):  # each holds its own samples: half by the averaging
        np.testing.assert_allclose(np.concatenate([part[index] for part in found], 1) / 2, expected, atol=1e-6)


def test_batch_of_which_nothing_is_observed_has_no_loss():
    nothing = Fused(torch.full((1, 2, 3), torch.nan), torch.full((1, 2, 4), torch.nan))
    assert PrototypeLoss()(nothing, torch.tensor([0, 1])).item() == 0


def tip_loss_of(part):
    generator = torch.Generator().manual_seed(1)
    shapes = {"image_projection": (4, 5), "table_projection": (4, 5), "cat_logits": (4, 2, 5), "num_values": (4, 3)}
    full = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    table = torch.cat([torch.tensor([[0.0, 2], [1, 1], [0, 0], [1, 2]]), torch.randn(4, 3, generator=generator)], 1)
    scored = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
    leaves = {name: value[part].clone().requires_grad_() for name, value in full.items()}
    prediction = {name: torch.nn.functional.normalize(x, dim=-1) if "proj" in name else x for name, x in leaves.items()}
    terms = TIPLoss([2, 3]).terms(
        {**prediction, "match_logits": torch.zeros(6, 2), "table": table[part], "scored": scored[part]}
    )
    (terms["itc"] + 2 * terms["mtr"]).backward()
    return [terms["itc"], terms["mtr"]], {name: x.grad for name, x in leaves.items()}


def test_tip_loss_contrasts_the_samples_of_all_processes(tmp_path):
    values, gradients = tip_loss_of(slice(0, 4))
    parts = [slice(0, 2), slice(2, 4)]
    found = in_processes(lambda rank: tip_loss_of(parts[rank]), tmp_path / "store")
    for part, _ in found:
        assert [float(value) for value in part] == pytest.approx([value.item() for value in values], rel=1e-5)
    for name, expected in gradients.items():
        np.testing.assert_allclose(
            np.concatenate([part[1][name] for part in found]) / 2, expected, atol=1e-6, err_msg=name
        )
