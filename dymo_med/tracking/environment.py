"""Which code a run was made with."""

import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

__all__ = ["code_tags", "pinned_requirements", "version_tags"]

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


def pinned_requirements(package: str = "dymo-med") -> list[str]:
    """Give an installed package and what it requires directly, each in the version installed here, for pip.

    Extras are not among them, nor builds: of torch 2.13.0+cpu remains 2.13.0, as a registry lists it. Without pins, an
    environment made later would get the latest release of everything.

    Args:
        package: Name of the distribution.

    Returns:
        Lines such as ``torch==2.13.0``, the package first; empty if it is not installed.

    Example:
        >>> [line.partition("==")[0] for line in pinned_requirements()][:2]
        ['dymo-med', 'filelock']
    """
    try:
        lines = [line for line in requires(package) or [] if "extra ==" not in line]
        names = [package, *(re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in lines)]
        return [f"{name}=={version(name).split('+')[0]}" for name in names]
    except PackageNotFoundError:
        return []


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
