"""Errors as one line, exit codes, help that comes at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from dymo_med.cli import main, prepare

ROOT = Path(__file__).parents[2]
WORDS = [
    "prepare",
    "--tables",
    "t.csv",
    "--images",
    "i",
    "--key-file",
    "k",
    "--output",
    "o",
    "--data-kind",
    "simulated",
]


def raising(error):
    def run(arguments):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\nlines  of text"), "two lines of text"),
        (OSError(28, "cannot write a.npy (disk full)"), "cannot write a.npy (disk full)"),
        (FileNotFoundError(2, "No such file", "t.csv"), "[Errno 2] No such file: 't.csv'"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_expected_error_is_one_line(monkeypatch, capsys, error, line):
    monkeypatch.setattr(prepare, "run", raising(error))
    assert main(WORDS) == 2
    assert capsys.readouterr() == ("", f"dymo-med: error: {line}\n")


def test_debug_shows_where(monkeypatch):
    monkeypatch.setattr(prepare, "run", raising(ValueError("no table")))
    with pytest.raises(ValueError, match="no table"):
        main(["--debug", *WORDS])


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    monkeypatch.setattr(prepare, "run", raising(RuntimeError("wrong state")))
    with pytest.raises(RuntimeError, match="wrong state"):
        main(WORDS)


def test_interruption_has_its_code(monkeypatch, capsys):
    monkeypatch.setattr(prepare, "run", raising(KeyboardInterrupt()))
    assert main(WORDS) == 130
    assert "run the same command again" in capsys.readouterr().err


def test_words_that_are_no_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train"])
    assert caught.value.code == 2
    assert "invalid choice: 'train'" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("dymo-med ")


def test_help_loads_no_library():
    code = "import sys; from dymo_med.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'pandas', 'monai', 'pydicom'} & set(sys.modules), 'heavy imports'"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("synth", "prepare", "intake"))
