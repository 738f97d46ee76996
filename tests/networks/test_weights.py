"""Weight files: all of a network, or a refusal that names what is wrong."""

import pytest
import torch

from dymo_med.networks import with_weights
from dymo_med.networks.nets import MultimodalTransformer, TableEncoder
from dymo_med.utils import save_weights


class Payload:
    """Would run a command if it were unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.target}",)


def small(n_classes=2, dim=8):
    encoder = TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2)
    return MultimodalTransformer({"labs": encoder}, n_classes, dim=dim, n_heads=2, embedding_dim=4)


def test_round_trip(tmp_path):
    source = small()
    source.prototypes.fill_(0.25)
    source.statistics.is_fitted.fill_(True)
    source.statistics.set_prevalence([0.75, 0.25], [0.5, 0.5])
    save_weights(tmp_path / "m.pt", source.state_dict())
    loaded = with_weights(small(), tmp_path / "m.pt")
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*none.pt: train the bundle first"):
        with_weights(small(), tmp_path / "none.pt")


def test_damaged_file(tmp_path):
    save_weights(tmp_path / "m.pt", small().state_dict())
    content = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"m.pt is not a weight file .* damaged or holds pickled objects"):
        with_weights(small(), tmp_path / "m.pt")


def test_pickled_object_is_not_executed(tmp_path):
    torch.save({"weight": Payload(tmp_path / "proof")}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"m.pt is not a weight file .* holds pickled objects"):
        with_weights(small(), tmp_path / "m.pt")
    assert not (tmp_path / "proof").exists()


def test_no_dictionary(tmp_path):
    torch.save([1, 2], tmp_path / "m.pt")
    with pytest.raises(ValueError, match=r"must hold a dictionary of tensors, however: list"):
        with_weights(small(), tmp_path / "m.pt")


def test_shapes_must_fit(tmp_path):
    save_weights(tmp_path / "m.pt", small(n_classes=3).state_dict())
    with pytest.raises(ValueError, match=r"has shape \(3, 4\) in m.pt and \(2, 4\) in the network"):
        with_weights(small(), tmp_path / "m.pt")


def test_names_must_fit(tmp_path):
    state = small().state_dict()
    del state["classifier.bias"]
    save_weights(tmp_path / "m.pt", state)
    with pytest.raises(ValueError, match=r"m.pt lacks 1 entries, first 'classifier.bias'"):
        with_weights(small(), tmp_path / "m.pt")
    state = small().state_dict() | {"zeta": torch.zeros(1), "eta": torch.zeros(1)}
    save_weights(tmp_path / "m.pt", state)
    with pytest.raises(ValueError, match=r"m.pt has in excess 2 entries, first 'eta'"):
        with_weights(small(), tmp_path / "m.pt")


def with_schema(digest):
    encoder = TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2, schema_digest=digest)
    return MultimodalTransformer({"labs": encoder}, 2, dim=8, n_heads=2, embedding_dim=4)


def test_weights_carry_the_schema_of_their_table(tmp_path):
    save_weights(tmp_path / "m.pt", with_schema("ab" * 32).state_dict())
    assert with_weights(with_schema("ab" * 32), tmp_path / "m.pt").encoders["labs"].schema_digest.tolist() == [171] * 32
    text = r"m.pt was trained with schema abababababab and the cohort has 0123456789ab; prepare the cohort with"
    with pytest.raises(ValueError, match=text):
        with_weights(with_schema("0123456789abcdef" * 4), tmp_path / "m.pt")


def test_schema_is_named_before_sizes_that_follow_from_it(tmp_path):
    encoder = TableEncoder([2, 5], 1, dim=8, n_blocks=1, n_heads=2, schema_digest="cd" * 32)
    other = MultimodalTransformer({"labs": encoder}, 2, dim=8, n_heads=2, embedding_dim=4)
    save_weights(tmp_path / "m.pt", other.state_dict())
    with pytest.raises(ValueError, match=r"trained with schema cdcdcdcdcdcd and the cohort has abababababab"):
        with_weights(with_schema("ab" * 32), tmp_path / "m.pt")


@pytest.mark.parametrize(("stored", "own"), [(None, "ab" * 32), ("ab" * 32, None)])
def test_unknown_schema_is_not_compared(tmp_path, stored, own):
    save_weights(tmp_path / "m.pt", with_schema(stored).state_dict())
    loaded = with_weights(with_schema(own), tmp_path / "m.pt")
    assert loaded.encoders["labs"].schema_digest.any() == (stored is not None)
