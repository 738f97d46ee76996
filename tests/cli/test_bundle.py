"""Overrides that change nothing are refused; errors end as one line."""

import os
import subprocess
import sys

import pytest

from dymo_med.cli.bundle import begin_bundle_run, check_overrides, check_settings
from dymo_med.utils import SubjectError

BASE = """
max_epochs: 300
learning_rate: 0.1
train:
  trainer:
    max_epochs: "@max_epochs"
  handlers: []
"""
OVERLAY = "policy: {strategy: greedy}\n"


@pytest.fixture
def config(tmp_path):
    (tmp_path / "train.yaml").write_text(BASE)
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    return tmp_path


def words(*more):
    return ["python", "run", *more]


def one_file(config):
    return str(config / "train.yaml")


def both_files(config):
    return f"['{config / 'train.yaml'}', '{config / 'overlay.yaml'}']"


@pytest.mark.parametrize(
    "override",
    [
        ("--max_epochs", "2"),
        ("--max_epochs=2",),
        ("--train::trainer::max_epochs", "2"),
        ("--train#trainer#max_epochs", "2"),
        ("--train::handlers", "[]"),
        ("--learning_rate", "-0.1", "--max_epochs=2"),
        ("--run_id", "run", "--logging_file=x", "--meta_file", "m", "--tracking", "t", "--workflow_type", "train"),
        ("--init_id", "i", "--final_id", "f", "--args_file", "a", "--properties_path", "p"),
    ],
)
def test_ids_that_exist_and_options_of_the_command_pass(config, override):
    check_overrides(words("--config_file", one_file(config), *override))
    check_overrides(words(*override, f"--config_file={one_file(config)}"))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (("--max_epoch", "2"), "however: --max_epoch; did you mean --max_epochs?"),
        (("--max_epoch=2",), "however: --max_epoch; did you mean --max_epochs?"),
        (
            ("--train::trainer::max_epoch", "2"),
            "--train::trainer::max_epoch; did you mean --train::trainer::max_epochs?",
        ),
        (("--train#trainer#epochs", "2"), "however: --train#trainer#epochs; "),
        (("--zzz", "2"), "however: --zzz; see the configuration files for the ids that exist"),
        (("--learning_rate", "1", "--learnign_rate", "2"), "--learnign_rate; did you mean --learning_rate?"),
        (("--policy::strategy", "discard"), "an override must change an id of the configuration, however: --policy::"),
    ],
)
def test_ids_that_do_not_exist_are_refused(config, override, line):
    with pytest.raises(ValueError, match="an override must change an id of the configuration") as caught:
        check_overrides(words("--config_file", one_file(config), *override))
    assert line in str(caught.value)


def test_ids_of_every_file_of_a_list_count(config):
    for form in (both_files(config), both_files(config).replace("[", "(").replace("]", ")")):
        check_overrides(words("--config_file", form, "--policy::strategy", "discard", "--max_epochs", "2"))
        with pytest.raises(ValueError, match="did you mean --policy::strategy"):
            check_overrides(words("--config_file", form, "--policy::strateg", "discard"))


def test_run_without_a_configuration_file_has_nothing_to_check():
    check_overrides(words("--whatever", "2"))
    check_overrides([])


def test_words_of_the_process_are_checked(config, monkeypatch):
    monkeypatch.setattr(sys, "argv", words("--config_file", one_file(config), "--max_epoch", "2"))
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with pytest.raises(ValueError, match="did you mean --max_epochs"):
        begin_bundle_run()
    monkeypatch.setattr(sys, "argv", words("--config_file", one_file(config), "--max_epochs", "2"))
    begin_bundle_run()


GOOD = {
    "batch_size": 1,
    "num_workers": 0,
    "learning_rate": 0.1,
    "weight_decay": 0,
    "augmentation_prob": 1,
    "compiled": True,
    "sizes": {"dim": 0},
}


def test_settings_within_their_ranges_pass_and_nothing_is_left(tmp_path):
    check_settings(GOOD, tmp_path / "new" / "folder")
    check_settings({}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_training_without_a_validation_is_refused(tmp_path):
    check_settings({"val_interval": 3, "max_epochs": 3}, tmp_path)
    check_settings({"val_interval": 3}, tmp_path)
    with pytest.raises(ValueError, match=r"val_interval must be at most max_epochs, .* val_interval=3, max_epochs=2"):
        check_settings({"val_interval": 3, "max_epochs": 2}, tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("batch_size", True, "an integer of 1 or more"),
        ("batch_size", 2.0, "an integer of 1 or more"),
        ("num_workers", -1, "an integer of 0 or more"),
        ("learning_rate", 0, "positive and finite"),
        ("learning_rate", float("nan"), "positive and finite"),
        ("learning_rate", "3e-4", "positive and finite"),
        ("weight_decay", -1e-9, "0 or more and finite"),
        ("weight_decay", float("inf"), "0 or more and finite"),
        ("augmentation_prob", 1.01, "between 0 and 1"),
        ("compiled", 1, "True or False"),
    ],
)
def test_settings_out_of_their_ranges_are_refused(tmp_path, name, value, rule):
    with pytest.raises(ValueError, match=rule) as caught:
        check_settings({**GOOD, name: value}, tmp_path)
    assert str(caught.value) == f"{name} must be {rule}, however: {name}={value!r}; correct --{name}"


def wrapped(cause, *texts):
    """An error as MONAI passes it on: every level says that it failed, and why stands below."""
    for text in texts:
        error = RuntimeError(text)
        error.__cause__ = cause
        cause = error
    return cause


EVALUATE, INSTANTIATE = "Failed to evaluate ConfigExpression: '$x'", "Failed to instantiate ConfigComponent: {}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("rule, however: 3\n  remedy"), "rule, however: 3 remedy"),
        (wrapped(SubjectError("no pixels", where="tag", remedy="export"), EVALUATE), "no pixels in tag: export"),
        (wrapped(FileNotFoundError("no weights at m.pt"), EVALUATE, INSTANTIATE, EVALUATE), "no weights at m.pt"),
        (wrapped(KeyError("no column 'a'"), EVALUATE), "no column 'a'"),
        (KeyError(), "KeyError"),
        (TypeError("wrong type"), "wrong type"),
        (wrapped(ValueError("below"), "epoch 3 diverged"), "epoch 3 diverged"),
        (OSError(28, "cannot write a.csv"), "[Errno 28] cannot write a.csv"),
    ],
)
def test_explained_error_is_one_line(error, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.delenv("DYMO_MED_DEBUG", raising=False)
    begin_bundle_run()
    sys.excepthook(type(error), error, None)
    assert capsys.readouterr().err == f"dymo-med: error: {line}\n"


@pytest.mark.parametrize(("error", "debug"), [(ValueError("rule"), "1"), (ZeroDivisionError("rule"), "")])
def test_traceback_of_the_unexplained_and_on_demand(error, debug, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("DYMO_MED_DEBUG", debug)
    begin_bundle_run()
    try:
        raise error
    except (ValueError, ZeroDivisionError):
        sys.excepthook(*sys.exc_info())
    text = capsys.readouterr().err
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith(f"{type(error).__name__}: rule\ndymo-med: error: rule\n")


def test_process_ends_with_one_line():
    """The hook in a real process, where nothing catches the error."""
    script = (
        "from dymo_med.cli.bundle import begin_bundle_run\n"
        "begin_bundle_run()\n"
        "try:\n    raise ValueError('a rule,\\nhowever: 3')\n"
        "except ValueError as err:\n    raise RuntimeError('Failed to evaluate x') from err\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DYMO_MED_DEBUG"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "dymo-med: error: a rule, however: 3\n")
