"""What the YAML files of features and labels have in common: reading, codings, evidence."""

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from dymo_med.data.ukbb.catalogue import Coding, Evidence

__all__ = [
    "PACKAGE",
    "EntryError",
    "check_codes",
    "extends_package",
    "integers",
    "parse_codings",
    "parse_evidence",
    "read_yaml",
]

PACKAGE = resources.files("dymo_med.data.ukbb")
"""Where the files of this package lie."""


class EntryError(ValueError):
    """A rule that one entry of a file breaks; whoever reads the file adds which entry of which file."""


def read_yaml(source: Traversable | Path, kind: str, needed: str) -> Mapping[str, Any]:
    """Read a YAML file of version 1.

    Args:
        source: The file.
        kind: What it is, for messages.
        needed: Key that must be there and not be empty.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is no YAML, of another version, or lacks the key.
    """
    name = source.name
    if not source.is_file():
        raise FileNotFoundError(f"no {kind} {name}: pass a YAML file or leave the argument out")
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ValueError(f"{kind} {name} is not valid YAML ({' '.join(str(err).split())}): correct it") from err
    if not isinstance(content, Mapping) or content.get("version") != 1 or not content.get(needed):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(
            f"{kind} {name} must hold 'version: 1' and {needed!r}, however: {found}: start from that of this package"
        )
    return content


def extends_package(content: Mapping[str, Any], kind: str, file: str) -> bool:
    """Tell whether a file adds to that of the package.

    Raises:
        ValueError: it names anything else.
    """
    extends = content.get("extends")
    if extends not in (None, "package"):
        raise ValueError(f"{kind} {file} can extend 'package' alone, however: extends={extends!r}: correct the key")
    return extends is not None


def parse_codings(content: Mapping[int, Any], kind: str, file: str) -> dict[int, Coding]:
    """Read the section ``codings``.

    Raises:
        ValueError: an entry does not list ``answers`` and ``unanswered``.
    """
    codings = {}
    for field, item in content.items():
        try:
            answers, unanswered = (frozenset(integers(key, item[key])) for key in ("answers", "unanswered"))
        except (EntryError, KeyError, TypeError) as err:
            raise ValueError(
                f"{kind} {file}, coding of field {field}: 'answers' and 'unanswered' must list codes, "
                f"however: {item!r}: correct the coding"
            ) from err
        codings[field] = Coding(answers=answers, unanswered=unanswered)
    return codings


def parse_evidence(item: Mapping[str, Any], codings: Mapping[int, Coding]) -> Evidence:
    """Read one entry of evidence: ``field``, then ``codes`` or ``ages: true`` (``any``: unknown ages count too).

    Raises:
        EntryError: the entry is incomplete, has an unknown key, or a code without a coding.
    """
    if unknown := sorted(map(str, set(item) - {"field", "codes", "ages", "proves_no", "last_visit"})):
        raise EntryError(f"evidence knows no {unknown}")
    field, yes, ages = item["field"], frozenset(item.get("codes", [])), item.get("ages", False)
    if ages not in (False, True, "any") or bool(ages) == bool(yes):
        raise EntryError(f"evidence of field {field} needs either 'codes' or 'ages: true', however: {dict(item)}")
    if not ages:
        check_codes(field, yes, codings)
    return Evidence(
        field=field,
        yes=yes,
        proves_no=not ages and bool(item.get("proves_no", True)),
        any_entry=ages == "any",
        last_visit=item.get("last_visit"),
    )


def check_codes(field: int, codes: frozenset[int], codings: Mapping[int, Coding]) -> None:
    """Refuse codes that the coding of a field does not list.

    Raises:
        EntryError: there is no coding, or it lacks a code.
    """
    known = codings[field].answers if field in codings else frozenset()
    if not codes <= known:
        raise EntryError(
            f"field {field} must have a coding with the answers used, however: {sorted(codes - known)} lack"
        )


def integers(name: str, values: Any) -> list[int]:
    """Check a list of whole numbers.

    Raises:
        EntryError: it is none.
    """
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise EntryError(f"{name} must be a list of whole numbers, however: {name}={values!r}")
    return values
