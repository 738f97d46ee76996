"""Lists of participants that come beside a download: withdrawn, bridged between applications, related."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.table_files import open_text

__all__ = ["read_bridge", "read_relatives", "read_withdrawn"]


def read_withdrawn(paths: Sequence[Path]) -> set[str]:
    r"""Read lists of participants who have withdrawn: one id a line, first column, with or without a header.

    Returns:
        Their registry ids; give them to nobody.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a line does not begin with a number.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "w.csv"
        >>> _ = path.write_text("9000001\n9000002\n")
        >>> sorted(read_withdrawn([path]))
        ['9000001', '9000002']
    """
    return {row[0] for path in paths for row in _rows(Path(path), 1, "a withdrawal list", "one id")}


def read_bridge(path: Path) -> dict[str, str]:
    r"""Read the bridge between two applications: id in the tables, id of the images; one pair a line.

    Args:
        path: Text file with comma, tab or blanks between the two columns, with or without a header.

    Returns:
        Id in the tables by id of the images; registry ids: give them to nobody.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line does not hold two numbers, or an id stands in two pairs.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "b.csv"
        >>> _ = path.write_text("table,images\n9000001,9500001\n")
        >>> read_bridge(path)
        {'9500001': '9000001'}
    """
    pairs = _rows(Path(path), 2, "a bridge", "two ids")
    for position, side in enumerate(("tables", "images")):
        ids = [pair[position] for pair in pairs]
        if repeated := len(ids) - len(set(ids)):
            raise ValueError(
                f"a bridge must pair every id once, however: {repeated} of {len(pairs)} lines of {Path(path).name} "
                f"repeat an id of the {side}: ask the registry for the bridge again"
            )
    return {images: tables for tables, images in pairs}


def read_relatives(path: Path, pseudonymizer: Pseudonymizer) -> pd.Series:
    r"""Read pairs of relatives, and give everybody who is linked by any chain of pairs one group.

    Args:
        path: Text file with the two ids in the first two columns (``ukb_rel.dat``), with or without a header.
        pseudonymizer: Makes the index.

    Returns:
        Group by pseudonym: the first pseudonym of the group, so that it does not depend on the order of lines.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line does not begin with two numbers.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "rel.dat").write_text("ID1 ID2 Kinship\n9000001 9000002 0.25\n9000003 9000002 0.1\n")
        >>> read_relatives(folder / "rel.dat", Pseudonymizer(folder / "key")).nunique()
        1
    """
    pairs = pd.DataFrame(_rows(Path(path), 2, "a list of relatives", "two ids"), columns=["first", "second"])
    linked = pairs.map(pseudonymizer)
    subjects = np.unique(linked.to_numpy(object).ravel())
    first, second = (np.searchsorted(subjects, linked[side].to_numpy(object)) for side in linked)
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(subjects), len(subjects)))
    _, component = connected_components(graph, directed=False)
    groups = pd.Series(component, index=pd.Index(subjects, dtype="str"), dtype="int64")
    return groups.groupby(groups).transform(lambda group: group.index.min()).astype("str")


def _rows(path: Path, n_ids: int, kind: str, content: str) -> list[tuple[str, ...]]:
    """Read the ids at the start of each line; a header and empty lines are skipped."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name} for {kind}: pass the file that the registry sent")
    rows = []
    for number, line in enumerate(_lines(path, kind), start=1):
        words = [word.strip("\"'") for word in line.replace(",", " ").replace(";", " ").split()]
        if len(words) >= n_ids and all(word.isdigit() for word in words[:n_ids]):
            rows.append(tuple(words[:n_ids]))
        elif words and number > 1:
            raise ValueError(
                f"{kind} holds {content} a line, however: {path.name} line {number} does not begin with "
                f"{'a number' if n_ids == 1 else 'two numbers'}: correct the file"
            )
    return rows


def _lines(path: Path, kind: str) -> Iterator[str]:
    try:
        with open_text(path) as file:
            yield from file
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as err:
        raise ValueError(
            f"{kind} must be a text file, however: {path.name} cannot be read ({type(err).__name__}): it is damaged or "
            "not UTF-8; download it again"
        ) from None
