"""What is wrong with data or settings ends a run with one line and a remedy, before the first epoch."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from dymo_med.data.cohort import write_cohort
from dymo_med.networks.nets import MultimodalTransformer
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TIP, configs, workflow
from tests.bundles.test_command import save_network

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]


@pytest.fixture
def rewritten(phantom_cohort, tmp_path):
    """A function that writes the cohort again with other splits or labels, under the same schema or one of its own."""

    def write(change=lambda _: None, *, same_schema=True):
        subjects = phantom_cohort.subjects.copy()
        change(subjects)
        images = {item["subject_id"]: tmp_path / f"{item['subject_id']}.npy" for item in phantom_cohort.items()}
        for subject, path in images.items():
            np.save(path, phantom_cohort.read_image(subject))
        return write_cohort(
            tmp_path / "rewritten",
            features=subjects[phantom_cohort.schema.names],
            columns=phantom_cohort.schema.columns,
            images=images,
            labels=subjects[["label_cad"]].set_axis(["cad"], axis=1),
            splits=subjects["split"],
            schema=phantom_cohort.schema if same_schema else None,
            image_size=phantom_cohort.image_shape[1],
            data_kind="simulated",
            read=lambda path: (np.load(path), {}),
        )

    return write


@pytest.fixture
def refused(explained, phantom_cohort, tmp_path):
    """A function that starts a run and gives the line with which it ends, nothing having been written."""

    def refuse(bundle=CAD, *overlays, cohort=phantom_cohort, **overrides):
        places = {"bundle_root": str(tmp_path / "work"), "dataset_dir": str(cohort.folder)}
        text = explained(workflow(bundle, *overlays, **places | overrides))
        assert text.startswith("dymo-med: error: ")
        assert text.count("\n") == 1
        assert not (tmp_path / "work" / "eval").exists()
        return text.removeprefix("dymo-med: error: ").rstrip()

    return refuse


def test_labels_of_one_class(refused, rewritten):
    def heal(split):
        return lambda subjects: subjects.__setitem__(
            "label_cad", subjects["label_cad"].where(subjects["split"] != split, 0)
        )

    line = refused(cohort=rewritten(heal("train")))
    assert line.startswith("training needs two classes or more, however: 20 subjects of split 'train' have class 0")
    assert line.endswith("prepare a larger cohort")
    line = refused(cohort=rewritten(heal("val")))
    assert line.startswith("the choice of the best epoch needs two classes or more, however: 5 subjects of split 'val'")
    assert line.endswith("prepare a larger cohort or other splits")


def test_split_without_a_subject(refused, rewritten):
    cohort = rewritten(lambda subjects: subjects.__setitem__("split", subjects["split"].replace("val", "train")))
    line = refused(cohort=cohort)
    assert line.startswith("split must be one of ['test', 'train'] or None, however: split='val'")
    assert line.endswith("prepare the cohort with fractions for it")


def test_task_that_the_cohort_does_not_have(refused):
    line = refused(task="stroke")
    assert line.endswith("however: task='stroke': prepare the cohort with --labels stroke")


def test_more_classes_are_named_than_there_are(refused):
    line = refused(class_names=["none", "some", "much"])
    assert line.startswith("every class needs a training subject, however: classes [2] have none of 20")


def test_more_subsets_than_exist(refused):
    text = "n_subsets must be at most 3, the number of non-empty subsets of 2 modalities, however: n_subsets=4"
    assert refused(n_subsets=4) == text


@pytest.mark.parametrize("bundle", [CAD, TIP])
@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("batch_size", 0, "an integer of 1 or more"),
        ("accumulation_steps", 0, "an integer of 1 or more"),
        ("max_epochs", 0, "an integer of 1 or more"),
        ("num_workers", -1, "an integer of 0 or more"),
        ("learning_rate", -0.1, "positive and finite"),
        ("temperature", 0, "positive and finite"),
        ("augmentation_prob", 1.5, "between 0 and 1"),
        ("channels_last", "false", "True or False"),
    ],
)
def test_numbers_that_no_training_can_have(refused, bundle, name, value, rule):
    assert refused(bundle, **{name: value}) == f"{name} must be {rule}, however: {name}={value!r}; correct --{name}"


def test_metric_that_does_not_exist(refused):
    line = refused(metric="manhattan")
    assert line == "metric must be one of 'cosine', 'squared_euclidean', however: metric='manhattan'"


def test_outputs_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        assert refused(TIP, bundle_root=str(root)) == (
            f"[Errno 20] outputs need a folder to write in, however: {root} is none (Not a directory); "
            "choose another --bundle_root"
        )
    assert refused(CAD, bundle_root="/proc/outputs").endswith("choose another --bundle_root")


def test_cohort_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(dataset_dir=str(tmp_path / "file"))
    assert line == f"no complete cohort at {tmp_path / 'file'} (no cohort.json): run 'dymo-med prepare' to its end"


def test_batch_larger_than_the_cohort(refused):
    line = refused(TIP, batch_size=21)
    assert line.startswith("a batch needs 21 training subjects with image and table, however: ")
    assert line.endswith("of 20; lower --batch_size or prepare a larger cohort")


def test_settings_of_the_encoders(refused):
    assert refused(initialization="zeros").startswith(
        "initialization must be one of ['scratch', 'imagenet', 'tip'], however: initialization='zeros'"
    )
    assert refused(freeze_encoders=True).endswith("leaves random weights; set freeze_encoders to false")
    assert refused(class_balance="oversample").startswith("class_balance must be one of 'loss_weights', ")


def test_published_configuration_asks_for_imagenet_weights(explained, phantom_cohort, tmp_path):
    work = ConfigWorkflow(
        [str(configs(CAD) / "train.yaml")],
        workflow_type="train",
        logging_file=False,
        bundle_root=str(tmp_path),
        dataset_dir=str(phantom_cohort.folder),
    )
    assert explained(work) == (
        f"dymo-med: error: no weights at {tmp_path / 'models' / 'resnet50.pth'} for initialization 'imagenet': "
        "pass --imagenet_file, or choose --initialization scratch or tip\n"
    )


@pytest.mark.parametrize(("overlays", "name"), [(["inference.yaml"], "model.pt"), ([], "tip.pt")])
def test_weights_of_another_schema(refused, rewritten, phantom_cohort, tmp_path, overlays, name):
    def older(subjects):
        numbers = subjects[phantom_cohort.schema.names].select_dtypes("number").columns
        subjects[numbers[-1]] += 1.0

    other = rewritten(older, same_schema=False)
    assert other.schema.digest != phantom_cohort.schema.digest
    for net_id, file in (("network_def", "model.pt"), ("recovery_def", "tip.pt")):
        save_network(CAD, net_id, tmp_path / "work" / "models" / file, other)
    line = refused(CAD, *overlays, initialization="tip")
    assert line == (
        "weights must be of the schema of the cohort, however: "
        f"{name} was trained with schema {other.schema.digest[:12]} and the cohort has "
        f"{phantom_cohort.schema.digest[:12]}; prepare the cohort with --schema and the cohort of that training, "
        "or pass weights of this schema"
    )


def test_gpu_out_of_memory(explained, phantom_cohort, tmp_path, copy_store, monkeypatch):
    def forward(*args, **kwargs):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2 GiB "
            "is free. See documentation for Memory Management (https://pytorch.org/docs/stable/notes/cuda.html)"
        )

    monkeypatch.setattr(MultimodalTransformer, "forward", forward)
    copy_store(tmp_path / "eval")
    text = explained(workflow(CAD, bundle_root=str(tmp_path), dataset_dir=str(phantom_cohort.folder)))
    assert text == (
        "dymo-med: error: the memory of the GPU is not enough (2.50 GiB more were asked for): lower --batch_size and "
        "raise --accumulation_steps in proportion, or set --precision bfloat16\n"
    )
