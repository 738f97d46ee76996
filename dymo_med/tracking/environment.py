"""Which code a run was made with."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["code_tags", "version_tags"]

_PACKAGES = ("dymo-med", "torch", "monai", "pytorch-ignite", "mlflow", "numpy", "pandas", "scikit-learn")
_GIT_SECONDS = 10.0


def version_tags() -> dict[str, str]:
    """Give the versions of Python and of the packages that decide over results, as tags.

    Example:
        >>> sorted(version_tags())[:2]
        ['version.dymo-med', 'version.mlflow']
    """
    import platform

    found = {"version.python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            found[f"version.{package}"] = "not installed"
    return found


def code_tags(folder: str | Path | None = None) -> dict[str, str]:
    """Give the git commit of the code and whether it was changed since, as tags.

    An installed package is in no checkout; then its version says what the code was.

    Args:
        folder: Folder with source code; None for that of this package.

    Returns:
        ``code.commit`` (hexadecimal, or why there is none), and in a checkout ``code.dirty`` ("true" or "false", of
        files under version control) and ``mlflow.source.git.commit``, which MLflow shows.

    Example:
        >>> import tempfile
        >>> code_tags(tempfile.mkdtemp())
        {'code.commit': 'no git checkout'}
    """
    where = Path(__file__).parents[1] if folder is None else Path(folder)
    if not _git(where, "ls-files", "."):  # an environment may lie inside of some other checkout
        return {"code.commit": "no git checkout"}
    commit = _git(where, "rev-parse", "HEAD")
    if not commit:
        return {"code.commit": "no commit yet"}
    changed = _git(where, "status", "--porcelain", "--untracked-files=no", ":/")
    dirty = "unknown" if changed is None else str(bool(changed)).lower()
    return {"code.commit": commit, "code.dirty": dirty, "mlflow.source.git.commit": commit}


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
