"""What training does to images: our own recipe keeps frames and anatomy apart, the published one does not."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from tests.bundles.runs import CAD, TIP, configs

IMAGE_LISTS = {CAD: "train::augmentation", TIP: "train::image_augmentation"}
SIZE, N_DRAWS = 64, 80


def recipe(bundle, *overlays):
    """The transforms of the image, always on, with random states of their own."""
    files = [str(configs(bundle) / name) for name in ("train.yaml", *overlays)]
    config = ConfigParser(ConfigParser.load_config_files(files))
    listed = config[IMAGE_LISTS[bundle]]
    if overlays:
        listed = listed[0]["transforms"][0]["transforms"]
    listed = [entry for entry in listed if entry["keys"] == "image"]
    parser = ConfigParser({"list": listed, "augmentation_prob": 1.0})
    return Compose(parser.get_parsed_content("list")).set_random_state(seed=1)


def draws(transform, image):
    return [transform({"image": image.clone()})["image"] for _ in range(N_DRAWS)]


def blob(x, y, width=3.0):
    axis = torch.arange(float(SIZE))
    return torch.exp(-((axis[:, None] - x) ** 2 + (axis[None] - y) ** 2) / (2 * width**2))


def center(frame):
    axis = torch.arange(float(SIZE))
    return torch.stack([(frame.sum(1) * axis).sum(), (frame.sum(0) * axis).sum()]) / frame.sum()


def turn(image):
    """Sign of the way round from the blob of the first frame over the second to the third."""
    a, b, c = (center(frame) for frame in image)
    return float(torch.linalg.det(torch.stack([b - a, c - a])).sign())


@pytest.mark.parametrize("bundle", IMAGE_LISTS)
def test_every_frame_of_a_subject_gets_the_same_draw(bundle):
    frame = blob(25, 38) + 0.5 * blob(40, 30)
    results = draws(recipe(bundle), frame.expand(3, SIZE, SIZE))
    assert all(torch.equal(result[0], result[1]) and torch.equal(result[0], result[2]) for result in results)
    assert not torch.allclose(results[0], results[1])


@pytest.mark.parametrize("bundle", IMAGE_LISTS)
def test_intensity_changes_per_volume_and_frames_do_not_mix(bundle):
    frame = blob(30, 34, 6.0)
    image = torch.stack([frame, 0.5 * frame, torch.zeros(SIZE, SIZE)])
    sums = []
    for result in draws(recipe(bundle), image):
        assert not result[2].any()
        torch.testing.assert_close(result[1], 0.5 * result[0], rtol=1e-4, atol=1e-5)
        sums.append(float(result[0].max()))
    assert max(sums) / min(sums) > 1.4  # intensity does change: by up to 30 % each way


@pytest.mark.parametrize("bundle", IMAGE_LISTS)
def test_anatomy_is_never_mirrored(bundle):
    image = torch.stack([blob(24, 24), blob(40, 26), blob(34, 42)])
    assert {turn(result) for result in draws(recipe(bundle), image)} == {turn(image)}


@pytest.mark.parametrize("bundle", IMAGE_LISTS)
def test_the_heart_keeps_its_shape(bundle):
    axis = torch.arange(float(SIZE))
    for result in draws(recipe(bundle), blob(32, 32, 7.0).expand(3, SIZE, SIZE)):
        weight = result[0] / result[0].sum()
        middle = center(result[0])
        spread = [
            (weight.sum(1) * (axis - middle[0]) ** 2).sum(),
            (weight.sum(0) * (axis - middle[1]) ** 2).sum(),
            (weight * (axis[:, None] - middle[0]) * (axis[None] - middle[1])).sum(),
        ]
        matrix = torch.stack([spread[0], spread[2], spread[2], spread[1]]).reshape(2, 2)
        small, large = torch.linalg.eigvalsh(matrix).tolist()
        assert large / small < 1.1  # a disk stays a disk; 15 % along one axis alone would make 1.3


@pytest.mark.parametrize("bundle", IMAGE_LISTS)
def test_published_recipe_is_the_one_of_the_papers(bundle):
    transform = recipe(bundle, "augmentation_published.yaml")
    names = [type(step).__name__ for step in transform.transforms]
    assert names == ["RandFlipd", "RandRotated", "RandColorJitterd", "RandResizedCropd"]
    assert transform.transforms[3].area == ((0.2, 1.0) if bundle == TIP else (0.6, 1.0))
    image = torch.stack([blob(24, 24), blob(40, 26), blob(34, 42)])
    results = draws(transform, 0.8 * image)
    flip = transform.transforms[0]
    assert flip.prob == 0.5
    assert {turn(result) for result in results} == {1.0, -1.0}  # mirrored or not
    empty = torch.stack([image[0], image[1], torch.zeros(SIZE, SIZE)])
    assert any(bool(result[2].any()) for result in draws(transform, empty))  # frames do mix
    assert all(float(result.min()) >= 0 and float(result.max()) <= 1 for result in results)


def test_published_recipe_changes_image_and_table_together(phantom_cohort):
    files = [str(configs(CAD) / name) for name in ("train.yaml", "augmentation_published.yaml")]
    config = ConfigParser(ConfigParser.load_config_files(files))
    config.update({"dataset_dir": str(phantom_cohort.folder), "augmentation_prob": 0.5})
    transform = Compose(config.get_parsed_content("train::augmentation")).set_random_state(seed=0)
    n_columns = phantom_cohort.schema.n_columns
    image = torch.rand(3, 32, 32)
    sample = {"image": image, "table": torch.full((n_columns,), -7.0), "table_missing": torch.zeros(n_columns).bool()}
    changed = []
    for _ in range(60):
        result = transform(dict(sample))
        changed.append((not torch.equal(result["image"], image), not torch.equal(result["table"], sample["table"])))
    assert {(True, True), (False, False)} == set(changed)
    assert 15 < sum(image_changed for image_changed, _ in changed) < 45
