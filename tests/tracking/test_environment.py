"""Commit and versions of the code."""

import importlib.metadata
import subprocess

import pytest

from dymo_med.tracking import code_tags, pinned_requirements, version_tags
from dymo_med.tracking import environment as module


@pytest.fixture
def checkout(tmp_path):
    def git(*words):
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git("add", "a.py")
    git("commit", "-q", "-m", "first")
    return tmp_path, git


def test_clean_checkout(checkout):
    folder, git = checkout
    commit = git("rev-parse", "HEAD")
    expected = {"code.commit": commit, "code.dirty": "false", "mlflow.source.git.commit": commit}
    assert code_tags(folder) == expected


def test_changed_file_makes_it_dirty_and_a_new_one_does_not(checkout):
    folder, _ = checkout
    (folder / "note.txt").write_text("not under version control\n")
    assert code_tags(folder)["code.dirty"] == "false"
    (folder / "a.py").write_text("2\n")
    assert code_tags(folder)["code.dirty"] == "true"


def test_package_inside_of_somebody_elses_checkout_has_no_commit(checkout):
    folder, _ = checkout
    installed = folder / "env" / "dymo_med"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert code_tags(installed) == {"code.commit": "no git checkout"}


def test_machine_without_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code_tags(checkout[0]) == {"code.commit": "no git checkout"}


def test_versions_are_those_installed(monkeypatch):
    tags = version_tags()
    assert tags["version.torch"] == importlib.metadata.version("torch")
    assert len(tags) == 9
    monkeypatch.setattr(module, "_PACKAGES", ("no-such-package",))
    assert version_tags()["version.no-such-package"] == "not installed"


def test_package_that_is_not_installed_requires_nothing():
    assert pinned_requirements("dymo-med-of-nobody") == []
