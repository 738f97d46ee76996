"""Sets of pictures: what is paired, what is drawn afresh, what is refused."""

import json

import numpy as np
import pytest
from monai.transforms import Compose

from dymo_med.data.epochs import SeededDataset
from dymo_med.data.polymnist import (
    DEFAULT_FRACTIONS,
    DEFAULT_TEXTURES,
    PACKAGED,
    PolyMNIST,
    RandPairing,
    fractions_of,
    read_textures,
    write_polymnist,
)
from tests.data.polymnist import build


@pytest.fixture
def data(tmp_path):
    return build.small_set(tmp_path / "set")


def digits_of(data, split):
    return {name: [item[name][1] for item in data.items(split)] for name in data.modalities}


def test_every_digit_is_in_one_split_and_once_in_every_modality(data):
    seen = []
    for split, size in (("train", 36), ("val", 12), ("test", 12)):
        digits = digits_of(data, split)
        assert {len(found) for found in digits.values()} == {size}
        for found in digits.values():
            assert sorted(found) == sorted(digits["m0"])
        seen += digits["m0"]
    assert sorted(seen) == list(range(60))


def test_pictures_of_a_sample_share_the_class_and_rarely_the_digit(data):
    _, labels = build.digits()
    same = []
    for item in data.items():
        places = [item[name] for name in data.modalities]
        assert [place[0] for place in places] == [0, 1, 2]
        assert {int(labels[digit]) for _, digit, _, _ in places} == {item["label"]}
        same.append(len({digit for _, digit, _, _ in places}) == 1)
    assert np.mean(same) < 0.2


def test_picture_is_the_crop_with_inverted_digit(data):
    pictures, _ = build.digits()
    photographs = build.photographs()
    for item in data.items()[::7]:
        for name in data.modalities:
            modality, digit, row, column = item[name]
            found = data.read_image(item[name])
            assert found.dtype == np.float32
            assert found.shape == data.image_shape == (3, 28, 28)
            for x in range(0, 28, 5):
                for y in range(28):
                    pixel = photographs[modality][row + x, column + y] / 255
                    expected = 1 - pixel if pictures[digit, x, y] > 127 else pixel
                    np.testing.assert_allclose(found[:, x, y], expected, atol=1e-6)


def test_crops_reach_every_edge(tmp_path):
    samples = build.small_set(tmp_path, n_modalities=1, n_digits=600).samples
    assert (samples["m0_row"].min(), samples["m0_row"].max()) == (0, 12)
    assert (samples["m0_column"].min(), samples["m0_column"].max()) == (0, 22)


def test_same_seed_gives_the_same_bytes(tmp_path):
    sets = [build.small_set(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert sets[0].digest == sets[1].digest != sets[2].digest
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name
    assert not sets[0].samples.equals(sets[2].samples)


def test_folder_that_was_cut_off_is_no_set(tmp_path, monkeypatch):
    build.small_set(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", _fail)
        with pytest.raises(OSError, match="no space"):
            build.small_set(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"no complete set at .* \(no polymnist.json\): run 'dymo-med polymnist'"
    ):
        PolyMNIST(tmp_path)


def _fail(*_, **__):
    raise OSError("no space left")


@pytest.mark.parametrize("name", ["digits.npy", "texture_m1.npy", "samples.csv"])
def test_changed_or_absent_files_are_refused(tmp_path, name):
    build.small_set(tmp_path)
    content = (tmp_path / name).read_bytes()
    for change in (lambda path: path.write_bytes(content[:-1] + b"?"), lambda path: path.unlink()):
        change(tmp_path / name)
        with pytest.raises(ValueError, match=rf"must stay as it was written, however: changed are \['{name}'\]"):
            PolyMNIST(tmp_path)


def test_other_versions_are_refused(tmp_path):
    build.small_set(tmp_path)
    about = json.loads((tmp_path / "polymnist.json").read_text())
    (tmp_path / "polymnist.json").write_text(json.dumps({**about, "version": 99}))
    with pytest.raises(ValueError, match=r"must be of format .* however: \('dymo_med polymnist', 99\)"):
        PolyMNIST(tmp_path)


def test_unknown_split_is_refused(data):
    with pytest.raises(
        ValueError, match=r"split must be one of \['test', 'train', 'val'\] or None, however: split='x'"
    ):
        data.items("x")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"labels": np.zeros(3, np.uint8)}, r"digits.shape=\(60, 28, 28\), labels.shape=\(3,\)"),
        ({"digits": np.zeros((60, 27, 28), np.uint8)}, r"digits.shape=\(60, 27, 28\)"),
        ({"textures": []}, "one photograph or more, however: 0"),
        ({"textures": [np.zeros((27, 90, 3), np.uint8)]}, r"28 or more, however: textures\[0\] has \(27, 90, 3\)"),
        ({"textures": [np.zeros((90, 90), np.uint8)]}, r"textures\[0\] has \(90, 90\)"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, match):
    pictures, labels = build.digits()
    given = {"digits": pictures, "labels": labels, "textures": build.photographs(), **change}
    with pytest.raises(ValueError, match=match):
        write_polymnist(tmp_path, **given)


def test_digits_without_labels_are_a_split_of_their_own(tmp_path):
    assert fractions_of(0.0) == dict(DEFAULT_FRACTIONS)
    data = build.small_set(tmp_path, n_digits=200, n_classes=2, fractions=fractions_of(0.5))
    assert {split: len(data.items(split)) for split in data.splits} == {
        "test": 30,
        "train": 80,
        "unlabeled": 80,
        "val": 10,
    }
    both = data.items(["train", "unlabeled"])
    assert len(both) == 160
    own = {split: set(digits_of(data, split)["m0"]) for split in ("train", "unlabeled")}
    pair = RandPairing(data, ["train", "unlabeled"]).set_random_state(seed=0)
    drawn = {pair(item)["m0"][1] for _ in range(20) for item in both}
    assert drawn == own["train"] | own["unlabeled"]
    with pytest.raises(ValueError, match=r"split must be one of .*, however: split=\['train', 'x'\]"):
        data.items(["train", "x"])


@pytest.mark.parametrize(
    ("share", "match"), [(1.0, "a classifier needs training digits, however: unlabeled=1.0"), (-0.1, "between 0 and 1")]
)
def test_shares_that_leave_nothing_are_refused(share, match):
    with pytest.raises(ValueError, match=match):
        fractions_of(share)


def test_fresh_pairs_stay_in_class_and_split(data):
    _, labels = build.digits()
    items = data.items("train")
    pair = RandPairing(data, "train").set_random_state(seed=0)
    own, drawn = set(digits_of(data, "train")["m0"]), set()
    for _ in range(20):
        for item in items:
            fresh = pair(item)
            assert {key: fresh[key] for key in ("subject_id", "label")} == {
                key: item[key] for key in ("subject_id", "label")
            }
            for name in data.modalities:
                assert labels[fresh[name][1]] == item["label"]
                assert data.read_image(fresh[name]).shape == (3, 28, 28)  # the crop is inside the photograph
                drawn.add(fresh[name][1])
    assert drawn == own


def test_pairs_are_drawn_by_seed_epoch_and_sample(data):
    def epoch(number, seed=1):
        dataset = SeededDataset(data.items("train"), Compose([RandPairing(data, "train")]), seed=seed)
        dataset.set_epoch(number)
        return [dataset[index] for index in range(len(dataset))]

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)
    assert epoch(1) != epoch(1, seed=2)


def test_pairs_can_stay_and_absent_modalities_do(data):
    item = data.items("train")[0] | {"m1": None}
    assert RandPairing(data, "train", prob=0.0)(item) == item
    fresh = RandPairing(data, "train").set_random_state(seed=0)(item)
    assert fresh["m1"] is None
    assert fresh["m0"] != item["m0"]


def test_packaged_photographs_need_no_download(monkeypatch):
    fetchers = pytest.importorskip("skimage.data._fetchers")
    monkeypatch.setattr(fetchers, "_image_fetcher", None)
    for name, photograph in zip(PACKAGED, read_textures(PACKAGED), strict=True):
        assert photograph.dtype == np.uint8
        assert photograph.ndim == 3
        assert photograph.std() > 10, name
    assert len(set(DEFAULT_TEXTURES)) == 5


def test_unknown_photograph_is_refused():
    with pytest.raises(ValueError, match=r"textures must be of .*, however: \['mona_lisa'\]; choose"):
        read_textures(["coffee", "mona_lisa"])


def test_absent_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skimage.data", None)
    with pytest.raises(ModuleNotFoundError, match=r"scikit-image, which is not installed: run pip install"):
        read_textures(["coffee"])
