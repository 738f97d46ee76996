"""Files to examine: those of a folder, and every version of every file in a git history."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Source", "folder_files", "history"]

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file, or one stored version of a file.

    Args:
        path: Path inside the folder or repository, with ``/``; for commits and tags what they are.
        content: The file, cut at the limit.
        n_bytes: Size of the whole file.
        version: Short object name in a git history, empty on the disk.

    Example:
        >>> Source(path="a.txt", content=b"x", n_bytes=1).version
        ''
    """

    path: str
    content: bytes
    n_bytes: int
    version: str = ""


def folder_files(path: Path, limit: int) -> Iterator[Source]:
    """Give a file, or the files of a folder in the order of their paths; links are not followed.

    The top folder of a git checkout gives what git sees there: files that are tracked, or new and not ignored.

    Args:
        path: File or folder.
        limit: Bytes of a file to hold.

    Yields:
        One source per file, its path relative to the folder.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        OSError: a file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"nothing to scan at {path.name}: pass a file or folder that exists")
    if path.is_file():
        yield _read(path, path.as_posix(), limit)
        return
    names = _seen_by_git(path) if (path / ".git").exists() else None
    files = sorted(path.rglob("*")) if names is None else [path / name for name in names]
    for file in files:
        if file.is_file() and not file.is_symlink():
            yield _read(file, file.relative_to(path).as_posix(), limit)


def history(repository: Path, limit: int) -> Iterator[Source]:
    """Give every version of every file in all branches and tags, and the texts of commits and tags, streamed from git.

    Args:
        repository: Folder of a git repository.
        limit: Bytes of a version to hold.

    Yields:
        One source per object.

    Raises:
        ValueError: the folder is no git repository, or git fails.
        FileNotFoundError: git is not installed.
    """
    listed = _git(repository, "rev-list", "--objects", "--all").decode("utf-8", "surrogateescape")
    path_of: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, path = line.partition(" ")
        path_of.setdefault(name, path)
    for tag in _git(repository, "for-each-ref", "--format=%(objectname)", "refs/tags").decode().split():
        path_of.setdefault(tag, "")
    with _cat_file(repository, list(path_of)) as answers:
        for name, path in path_of.items():
            header = answers.readline().split()
            if len(header) != 3:
                raise ValueError(
                    f"git must know every object that it lists, however: {name[:10]} is absent from {repository.name}: "
                    "repair or complete the clone (git fsck, git fetch --unshallow)"
                )
            kind, n_bytes = header[1].decode(), int(header[2])
            content = _take(answers, n_bytes, limit)
            if kind == "blob":
                yield Source(path=path, content=content, n_bytes=n_bytes, version=name[:10])
            elif kind != "tree":
                yield Source(path=f"message of {kind}", content=content, n_bytes=n_bytes, version=name[:10])


def _read(path: Path, shown: str, limit: int) -> Source:
    with path.open("rb") as file:
        content = file.read(limit)
    return Source(path=shown, content=content, n_bytes=max(path.stat().st_size, len(content)))


def _seen_by_git(folder: Path) -> list[str]:
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    return sorted(name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name)


def _git(folder: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], check=False, capture_output=True)
    except FileNotFoundError as err:
        raise FileNotFoundError(f"'git {words[0]}' needs git, which is not installed: install it") from err
    if done.returncode:
        reason = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise ValueError(f"git must be able to read {folder.name}, however: {reason}: pass the top of a repository")
    return done.stdout


@contextmanager
def _cat_file(repository: Path, names: Sequence[str]) -> Iterator[IO[bytes]]:
    words = ["git", "-C", str(repository), "cat-file", "--batch"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        asked, answers = process.stdin, process.stdout
        if asked is None or answers is None:
            raise ValueError(f"git must answer through pipes, however: {asked=} {answers=}: run again")

        def ask() -> None:
            """Send the names while the answers are read, for pipes are short."""
            try:
                asked.write("".join(f"{name}\n" for name in names).encode())
                asked.close()
            except BrokenPipeError:  # the reader has stopped
                return

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield answers
        finally:
            process.kill()
            thread.join()


def _take(stream: IO[bytes], n_bytes: int, limit: int) -> bytes:
    """Read an answer of known length and the line end after it; what is over the limit is dropped."""
    content = stream.read(min(n_bytes, limit))
    left = n_bytes - len(content) + 1
    while left:
        dropped = stream.read(min(left, _CHUNK))
        if not dropped:
            raise ValueError(f"git must give {n_bytes} bytes, however: {left} are missing: run 'git fsck'")
        left -= len(dropped)
    return content
