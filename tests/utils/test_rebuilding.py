"""Objects from their settings: the same class and arguments, nothing of other libraries."""

import copy
import json

import pytest
import torch

from dymo_med.networks.nets import TIP, ConvEncoder, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.recovery import IterativeRecovery, MeanModeRecovery, TIPRecovery
from dymo_med.utils import build_from, rebuildable, settings_of


def image():
    return ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=(4, 4, 8, 8))


def table():
    return TableEncoder([2, 3], 1, dim=8, n_blocks=1, n_heads=2)


BUILDERS = {
    "image": image,
    "table": table,
    "convolutions": lambda: ConvEncoder(1, 28, channels=[4, 8, 8]),
    "classifier": lambda: MultimodalTransformer({"a": image(), "b": table()}, 3, dim=8, n_heads=2, embedding_dim=4),
    "recovery": lambda: TIPRecovery(TIP(image(), table(), n_blocks=1, n_heads=2, decoding="global"), target="b"),
    "mean": lambda: MeanModeRecovery("table", cat_cardinalities=(2,), n_num_features=1),
    "iterative": lambda: IterativeRecovery("table", [2], 2, n_rounds=3),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_object_is_built_again_from_json(name):
    first = BUILDERS[name]()
    settings = json.loads(json.dumps(settings_of(first), allow_nan=False))
    second = build_from(settings)
    assert type(second) is type(first)
    assert settings_of(second) == settings
    second.load_state_dict(first.state_dict())


def test_copy_keeps_its_settings():
    encoder = table()
    assert settings_of(copy.deepcopy(encoder)) == settings_of(encoder)


def test_defaults_are_kept_so_that_a_later_default_changes_nothing():
    assert settings_of(image())["in_channels"] == 3
    assert settings_of(TableEncoder([2], 1, n_blocks=1))["dim"] == 512


def test_class_without_settings_is_refused():
    with pytest.raises(TypeError, match="class that keeps its settings, however: Linear"):
        settings_of(torch.nn.Linear(1, 1))


def test_subclass_must_say_so_itself():
    class Own(TableEncoder):
        pass

    with pytest.raises(TypeError, match="however: Own"):
        settings_of(Own([2], 1, dim=8, n_heads=2))


def test_argument_that_is_no_plain_value_is_refused():
    @rebuildable
    class Holder:
        def __init__(self, part):
            self.part = part

    with pytest.raises(
        TypeError, match="arguments of a Holder must be plain values or rebuildable, however: one is a Linear"
    ):
        settings_of(Holder({"inner": [torch.nn.Linear(1, 1)]}))


@pytest.mark.parametrize(
    "target", ["os.system", "torch.nn.Linear", "dymo_med.utils.files.os", "dymo_med.utils.nothing"]
)
def test_only_classes_of_this_library_are_built(target):
    with pytest.raises(ValueError, match="must be built of classes of dymo_med, however: "):
        build_from({"_target_": target})
