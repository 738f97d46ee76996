"""Folders, git histories, the allow file and the command."""

import re
import subprocess

import pytest

from dymo_med.cli import main
from dymo_med.privacy import Allowances, Bounds, Kind, scan_history, scan_paths
from dymo_med.privacy.allowances import ALLOW_FILE
from tests.privacy.samples import DICOM, ID, notebook

NONE = Allowances()


def git(folder, *words):
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout


def commit(folder, text):
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", text)


@pytest.fixture
def repository(tmp_path):
    """A scan, a table and a notebook were committed and taken out again; the tree is clean."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "readme.md").write_text("nothing\n")
    commit(folder, "begin")
    (folder / "scan.dcm").write_bytes(DICOM)
    (folder / "eids.csv").write_text("eid\n9000001\n")
    (folder / "look at me.ipynb").write_bytes(notebook([{"data": {}}]))
    commit(folder, "add data")
    for name in ("scan.dcm", "eids.csv", "look at me.ipynb"):
        (folder / name).unlink()
    commit(folder, f"remove participant {ID}")
    git(folder, "checkout", "-q", "-b", "side", "HEAD~2")
    (folder / f"{ID}_2.txt").write_text("on another branch\n")
    commit(folder, "a branch")
    git(folder, "tag", "-a", "-m", f"kept {ID} out", "v1")
    git(folder, "checkout", "-q", "main")
    return folder


def test_history_tells_what_the_folder_no_longer_holds(repository):
    assert scan_paths([repository], NONE).findings == []
    result = scan_history(repository, NONE)
    found = sorted((finding.path.replace(ID, "ID"), finding.kind.value) for finding in result.findings)
    assert found == [
        ("ID_2.txt", "id-in-name"),
        ("eids.csv", "id-column"),
        ("look at me.ipynb", "notebook-output"),
        ("message of commit", "id"),
        ("message of tag", "id"),
        ("scan.dcm", "dicom"),
    ]
    blob = git(repository, "rev-parse", "HEAD~1:scan.dcm").strip()[:10]
    lines = [str(finding) for finding in result.findings]
    assert any(f"scan.dcm (in history, version {blob}): dicom: a DICOM file; keep" in line for line in lines)
    assert all(line.endswith(", then rewrite the history before it is pushed") for line in lines)
    assert not any(ID in line for line in lines)


def test_every_object_is_examined_once(repository):
    kinds = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    assert scan_history(repository, NONE).n_files == sum(kind != "tree" for kind in kinds)


def test_long_histories_and_large_files_are_streamed(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    for number in range(3000):
        (tmp_path / f"file {number}.txt").write_text(f"content {number}\n")
    (tmp_path / "large.bin").write_bytes(b"\0" * 300_000 + ID.encode())
    (tmp_path / "zzz.txt").write_text(ID)
    commit(tmp_path, "many")
    result = scan_history(tmp_path, NONE, Bounds(content_bytes=100_000))
    assert [(finding.path, finding.kind) for finding in result.findings] == [
        ("large.bin", Kind.UNREADABLE),
        ("zzz.txt", Kind.ID),
    ]
    assert result.n_files == 3003


def test_what_git_ignores_is_not_scanned_in_a_checkout_and_is_elsewhere(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scan.dcm").write_bytes(DICOM)
    (tmp_path / ".gitignore").write_text("data/\n")
    assert len(scan_paths([tmp_path], NONE).findings) == 1
    git(tmp_path, "init", "-q")
    assert scan_paths([tmp_path], NONE).findings == []
    (tmp_path / "new.dcm").write_bytes(DICOM)
    assert [finding.path for finding in scan_paths([tmp_path], NONE).findings] == ["new.dcm"]
    assert len(scan_paths([tmp_path / "data"], NONE).findings) == 1


def test_links_are_not_followed(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "scan.dcm").write_bytes(DICOM)
    (tmp_path / "inside" / "link.dcm").symlink_to(tmp_path / "scan.dcm")
    (tmp_path / "inside" / "gone").symlink_to(tmp_path / "none")
    assert scan_paths([tmp_path / "inside"], NONE).n_files == 0


def test_allowed_findings_are_counted_and_not_told(tmp_path):
    (tmp_path / "a.dcm").write_bytes(DICOM)
    (tmp_path / "b.dcm").write_bytes(DICOM)
    (tmp_path / "a.csv").write_text("eid\n9000001\n")
    allowed = Allowances([("a.*", Kind.DICOM), ("b.dcm", Kind.ID)])
    result = scan_paths([tmp_path], allowed)
    assert [(finding.path, finding.kind) for finding in result.findings] == [
        ("a.csv", Kind.ID_COLUMN),
        ("b.dcm", Kind.DICOM),
    ]
    assert (result.n_files, result.n_allowed) == (3, 1)


def test_one_stored_version_can_be_allowed(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    for content in (DICOM, DICOM + b"changed"):
        (tmp_path / "a.dcm").write_bytes(content)
        commit(tmp_path, "a scan")
    first, second = (git(tmp_path, "rev-parse", f"{name}:a.dcm").strip()[:10] for name in ("HEAD~1", "HEAD"))
    allowed = Allowances([(f"a.dcm@{first}", Kind.DICOM)])
    result = scan_history(tmp_path, allowed)
    assert ([finding.version for finding in result.findings], result.n_allowed) == ([second], 1)
    assert len(scan_paths([tmp_path], allowed).findings) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a.csv | id-column",
            r"must read 'path pattern \| kind \| reason', however: 2 parts in .privacy-allow, line 2",
        ),
        ("a.csv | id-column | ", "however: 2 parts in"),
        ("a.csv | ids | simulated", "must name one of .*, however: 'ids' in .privacy-allow, line 2: correct it"),
    ],
)
def test_an_allowance_needs_path_kind_and_reason(tmp_path, line, message):
    (tmp_path / ALLOW_FILE).write_text(f"# comment\n{line}\n")
    with pytest.raises(ValueError, match=message):
        Allowances.from_file(tmp_path / ALLOW_FILE)


def test_command_on_folder_files_and_history(tmp_path, repository, capsys, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    (data / f"{ID}.txt").write_text("x")
    assert main(["privacy-scan", str(data)]) == 1
    why = "id-in-name: a number like a participant id in the name; rename it"
    assert capsys.readouterr().out == f"#######.txt: {why}\n1 findings in 1 files; 0 allowed\n"
    (data / ALLOW_FILE).write_text("*.txt | id-in-name | no participant\n")
    assert main(["privacy-scan", str(data)]) == 0
    assert capsys.readouterr().out == "0 findings in 2 files; 1 allowed\n"
    monkeypatch.chdir(data)
    assert main(["privacy-scan", f"{ID}.txt", ALLOW_FILE]) == 0  # as pre-commit calls it
    assert main(["privacy-scan", str(repository), "--git"]) == 1
    assert capsys.readouterr().out.endswith("6 findings in 10 stored versions; 0 allowed\n")
    allow = tmp_path / "allow"
    allow.write_text("".join(f"* | {kind} | a test\n" for kind in Kind))
    assert main(["privacy-scan", str(repository), "--git", "--allow", str(allow)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "nothing to scan at none: pass a file or folder that exists"),
        ([".", "--git"], "git must be able to read .*, however: fatal: not a git repository"),
        ([".", "--allow", "none"], "no allow file none: pass the file that lists what may stay, with reasons"),
    ],
)
def test_command_refuses_what_it_cannot_scan(tmp_path, monkeypatch, capfd, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["privacy-scan", *words]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("dymo-med: error: ")
    assert re.search(message, error)


def test_absent_object_and_absent_git_are_named(repository, monkeypatch):
    blob = git(repository, "rev-parse", "HEAD:readme.md").strip()
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ValueError, match=f"(git must know every object|git must be able to read).*{blob[:10]}"):
        scan_history(repository, NONE)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="'git rev-list' needs git, which is not installed: install it"):
        scan_history(repository, NONE)
