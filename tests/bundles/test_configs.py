"""What bundles say about themselves: files, metadata, names that resolve, values that must agree."""

import importlib
import re
import shutil

import monai.bundle
import pytest
import yaml
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator

from dymo_med import __version__
from dymo_med.utils import sha256_of, write_json
from tests.bundles.runs import BUNDLES, CAD, INFARCTION, ROOT, TINY, TIP, configs, files, metadata

REQUIRED = [
    "schema",
    "version",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
]
"""Keys that the schema of MONAI asks for."""
REQUIRED_OF_A_TENSOR = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}
SCHEMA = "monai_meta_schema_20240725.json"
OFFICIAL = ROOT.parent / "shared" / "data" / SCHEMA
YAML_FILES = sorted(f"{path.parent.parent.name}/{path.name}" for path in ROOT.glob("bundles/*/configs/*.yaml"))


def load(bundle, name):
    return yaml.safe_load((configs(bundle) / name).read_text(encoding="utf-8"))


def merged(bundle, *names):
    """The configuration that a list of files makes."""
    return ConfigParser.load_config_files([str(configs(bundle) / name) for name in names])


def values_of(content):
    """Every (key, value) at any depth; items of a list have the key of the list."""
    for key, value in content.items() if isinstance(content, dict) else ((None, item) for item in content):
        yield key, value
        if isinstance(value, (dict, list)):
            yield from values_of(value)


def test_bundles_are_known():
    assert sorted([*TINY, "polymnist_classification", "polymnist_vae"]) == BUNDLES


@pytest.mark.parametrize("bundle", BUNDLES)
def test_files_of_a_bundle(bundle):
    folder = ROOT / "bundles" / bundle
    wanted = ["LICENSE", "configs/logging.conf", "configs/metadata.json", "configs/train.yaml", "docs/README.md"]
    assert [name for name in wanted if not (folder / name).is_file()] == []
    assert "Apache License" in (folder / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_metadata_has_what_monai_requires(bundle):
    about = metadata(bundle)
    assert [key for key in REQUIRED if not about.get(key)] == []
    assert about["name"]
    tensors = [*about["network_data_format"]["inputs"].values(), *about["network_data_format"]["outputs"].values()]
    assert tensors
    assert [tensor for tensor in tensors if REQUIRED_OF_A_TENSOR - set(tensor)] == []


@pytest.mark.parametrize("bundle", BUNDLES)
def test_metadata_has_the_version_of_the_library(bundle):
    about = metadata(bundle)
    assert about["version"] == about["required_packages_version"]["dymo-med"] == __version__
    assert about["changelog"][__version__]


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("kind", ["own", "official"])
def test_metadata_is_verified_without_a_network(bundle, kind, tmp_path):
    pytest.importorskip("jsonschema")
    schema = tmp_path / SCHEMA
    if kind == "official":
        if not OFFICIAL.is_file():
            pytest.skip("no copy of MONAI's schema beside the project")
        shutil.copy(OFFICIAL, schema)
    else:
        write_json(schema, {"type": "object", "required": REQUIRED})
    monai.bundle.verify_metadata(
        meta_file=str(configs(bundle) / "metadata.json"),
        filepath=str(schema),  # exists: nothing is downloaded
        hash_val=sha256_of(schema),
        hash_type="sha256",
    )


@pytest.mark.parametrize("bundle", sorted(TINY))
def test_network_gives_what_metadata_promise(bundle, phantom_cohort):
    assert metadata(bundle)["network_data_format"]["inputs"]["table"]["num_channels"] == phantom_cohort.schema.n_columns
    monai.bundle.verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs(bundle) / "metadata.json"),
        config_file=files(bundle),
        device="cpu",
        dataset_dir=str(phantom_cohort.folder),
        **TINY[bundle],
        **{"_meta_::network_data_format::inputs::image::spatial_shape": list(phantom_cohort.image_shape[1:])},
    )


@pytest.mark.parametrize("name", YAML_FILES)
def test_targets_resolve(name):
    targets = [value for key, value in values_of(load(*name.split("/"))) if key == "_target_"]
    assert targets or name.endswith("/small.yaml")
    locator = ComponentLocator()
    for target in targets:
        module, _, attribute = target.rpartition(".")
        if module:
            assert callable(getattr(importlib.import_module(module), attribute)), target
        else:
            assert locator.get_component_module_name(target), target


@pytest.mark.parametrize("name", YAML_FILES)
def test_imports_resolve(name):
    imports = load(*name.split("/")).get("imports", [])
    assert imports or not name.endswith("/train.yaml")
    for line in imports:
        names = re.fullmatch(r"\$(?:from (?P<module>[\w.]+) )?import (?P<name>[\w.]+)(?: as \w+)?", line)
        assert names, line
        module = importlib.import_module(names["module"] or names["name"])
        assert names["module"] is None or hasattr(module, names["name"]), line


@pytest.mark.parametrize("names", [["train.yaml"], ["train.yaml", "small.yaml"]])
def test_sizes_of_tip_agree(names):
    of_tip, of_cad = (merged(bundle, *names)["sizes"] for bundle in (TIP, CAD))
    assert of_tip == {key: of_cad[key] for key in of_tip}
    assert len(of_tip) == 9


@pytest.mark.parametrize(
    "key",
    ["image_encoder", "table_encoder", "seed", "batch_size", "learning_rate", "augmentation_prob", "num_workers"],
)
def test_what_both_bundles_define_agrees(key):
    assert load(TIP, "train.yaml")[key] == load(CAD, "train.yaml")[key]


def test_recovery_is_the_network_that_was_pretrained():
    trained, used = load(TIP, "train.yaml")["network_def"], load(CAD, "train.yaml")["recovery_def"]
    for part in ("image_encoder", "table_encoder"):
        assert (trained.pop(part), used.pop(part)) == (f"@{part}", f"%{part}")  # the recovery has encoders of its own
    del trained["temperature"]  # of the contrast: for training
    assert used.pop("decoding") == "@decoding"  # for recovery
    assert trained == used


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("overlay", ["small.yaml", "augmentation_published.yaml"])
def test_overlays_hold_differences_alone(bundle, overlay):
    if not (configs(bundle) / overlay).is_file():
        pytest.skip(f"{bundle} has no {overlay}")
    config = ConfigParser(load(bundle, "train.yaml"))
    for key, value in load(bundle, overlay).items():
        assert key in config, key
        assert config[key] != value, key


def test_sizes_are_those_of_the_papers():
    expected = {
        "resnet_block": "bottleneck",
        "resnet_layers": [3, 4, 6, 3],
        "resnet_channels": [64, 128, 256, 512],
        "table_dim": 512,
        "table_blocks": 4,
        "table_heads": 8,
        "tip_blocks": 4,
        "tip_heads": 8,
        "tip_projection_dim": 128,
        "fusion_dim": 256,
        "fusion_blocks": 2,
        "fusion_heads": 8,
        "embedding_dim": 128,
    }
    assert load(CAD, "train.yaml")["sizes"] == expected


TASK_KEYS = {"task", "class_names"}
"""Ids of train.yaml in which the two classification bundles differ."""
TASK_METADATA = {"name", "task", "description", "label_classes"}
"""Entries of metadata.json in which they differ, beside the names of the two output channels."""


def files_of(bundle):
    folder = ROOT / "bundles" / bundle
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_classification_bundles_have_the_same_files():
    cad, infarction = files_of(CAD), files_of(INFARCTION)
    assert cad.keys() == infarction.keys()
    differing = {name for name, path in cad.items() if path.read_bytes() != infarction[name].read_bytes()}
    assert differing == {"configs/train.yaml", "configs/metadata.json", "docs/README.md"}


def test_classification_bundles_differ_in_the_task_alone():
    cad, infarction = load(CAD, "train.yaml"), load(INFARCTION, "train.yaml")
    assert list(cad) == list(infarction)
    assert {key for key, value in cad.items() if value != infarction[key]} == TASK_KEYS
    assert (cad["task"], infarction["task"]) == ("cad", "infarction")
    about_cad, about_infarction = metadata(CAD), metadata(INFARCTION)
    for about in (about_cad, about_infarction):
        about["network_data_format"]["outputs"]["pred"].pop("channel_def")
    assert {key for key in about_cad.keys() | about_infarction.keys() if about_cad[key] != about_infarction[key]} == (
        TASK_METADATA
    )


@pytest.mark.parametrize("name", ["configs/train.yaml", "docs/README.md"])
def test_words_of_classification_bundles_differ_in_the_task_alone(name):
    text = files_of(CAD)[name].read_text(encoding="utf-8")
    for word, other in (
        ("coronary artery disease", "myocardial infarction"),
        ("CAD", "infarction"),
        ("cad ", "infarction "),
    ):
        text = text.replace(word, other)
    of_infarction = files_of(INFARCTION)[name].read_text(encoding="utf-8")
    assert [line.split() for line in text.splitlines()] == [line.split() for line in of_infarction.splitlines()]


@pytest.mark.parametrize("bundle", [CAD, INFARCTION])
def test_names_of_classes_agree_with_the_metadata(bundle):
    names, about = load(bundle, "train.yaml")["class_names"], metadata(bundle)
    assert list(about["network_data_format"]["outputs"]["pred"]["channel_def"].values()) == names
    assert about["label_classes"] == f"0: {names[0]}, 1: {names[1]}"
