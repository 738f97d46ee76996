"""Reading of label definitions from YAML, with every entry checked."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pandas as pd

from dymo_med.data.ukbb.catalogue import Coding
from dymo_med.data.ukbb.label_sets import (
    ICD10_DATE_FIELD,
    ICD10_FIELD,
    ICD10_SHAPE,
    Ingredients,
    LabelCatalogue,
    LabelSet,
    Measured,
)
from dymo_med.data.ukbb.yaml_entries import (
    PACKAGE,
    EntryError,
    extends_package,
    integers,
    parse_codings,
    parse_evidence,
    read_yaml,
)

__all__ = ["load_labels"]

_KIND = "file of labels"
_LABEL_KEYS = {"icd10", "dates", "self_report", "measured", "includes", "refused_inputs"}
_MEASURED_KEYS = {"at_least", "above", "combine", "unknown_as_no"}
_PREFIX_SHAPE = r"[A-Z]\d{1,3}"


def load_labels(path: Path | None = None) -> LabelCatalogue:
    """Load and check label definitions.

    Args:
        path: YAML file of the same structure as the one in this package (``labels.yaml``); None for that one. With
            ``extends: package`` it adds labels to that one, and can build on its code sets and labels.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an entry breaks a rule; the text names it.

    Example:
        >>> labels = load_labels()
        >>> labels.get("infarction").codes < labels.get("cad").codes
        True
    """
    return _packaged() if path is None else _load(Path(path))


@cache
def _packaged() -> LabelCatalogue:
    return _load(PACKAGE / "labels.yaml")


def _load(source: Traversable | Path) -> LabelCatalogue:
    own = read_yaml(source, _KIND, "labels")
    contents = [own]
    if extends_package(own, _KIND, source.name):
        contents.insert(0, read_yaml(PACKAGE / "labels.yaml", _KIND, "labels"))
    codings = _codings(contents, source.name)
    code_sets: dict[str, _Codes] = {}
    sets: dict[str, LabelSet] = {}
    refused = Ingredients({ICD10_FIELD: None, ICD10_DATE_FIELD: None})
    unknown_dates: set[pd.Timestamp] = set()
    for content in contents:
        for name, item in content.get("code_sets", {}).items():
            code_sets[name] = _checked(_codes_of, source.name, f"code set {name!r}", item, code_sets)
        for name, item in content["labels"].items():
            entry = {"name": name} | item
            sets[name] = _checked(_label_of, source.name, f"label {name!r}", entry, code_sets, sets, codings)
        refused |= _checked(_refused, source.name, "'refused_inputs'", content.get("refused_inputs", {}))
        unknown_dates |= {pd.Timestamp(day) for day in content.get("unknown_dates", [])}
    return LabelCatalogue(sets, refused, frozenset(unknown_dates), codings)


def _codings(contents: list[Mapping[str, Any]], file: str) -> dict[int, Coding]:
    features = read_yaml(PACKAGE / "features.yaml", "feature catalogue", "features")
    codings = parse_codings(features["codings"], _KIND, file)
    for content in contents:
        codings |= parse_codings(content.get("codings", {}), _KIND, file)
    return codings


def _checked(parse: Any, file: str, what: str, *arguments: Any) -> Any:
    try:
        return parse(*arguments)
    except (EntryError, TypeError, KeyError, AttributeError) as err:
        raise ValueError(f"{_KIND} {file}, {what}: {err}: correct the entry") from err


class _Codes:
    """ICD-10 codes, matched as a whole, and beginnings of codes."""

    def __init__(self, whole: frozenset[str], prefixes: tuple[str, ...]) -> None:
        self.whole = whole
        self.prefixes = prefixes


def _codes_of(item: Mapping[str, Any], known: Mapping[str, _Codes]) -> _Codes:
    _check_keys(item, {"codes", "prefixes", "from", "without"})
    own, without, prefixes = item.get("codes", []), item.get("without", []), item.get("prefixes", [])
    _check_shape([*own, *without], ICD10_SHAPE, "a letter and two to four digits")
    _check_shape(prefixes, _PREFIX_SHAPE, "in 'prefixes' a letter and one to three digits")
    bases = [_known(known, base) for base in item.get("from", [])]
    codes = set(own).union(*(base.whole for base in bases))
    if absent := set(without) - codes:
        raise EntryError(f"'without' takes out codes that it does not hold: {sorted(absent)}")
    inherited = [prefix for base in bases for prefix in base.prefixes]
    return _Codes(frozenset(codes - set(without)), tuple(sorted({*prefixes, *inherited})))


def _check_shape(codes: list[Any], shape: str, words: str) -> None:
    for code in codes:
        if not re.fullmatch(shape, str(code)):
            raise EntryError(
                f"it must hold ICD-10 codes ({words}), however: {code!r}; look for a missing comma or a dot"
            )


def _label_of(
    item: Mapping[str, Any],
    code_sets: Mapping[str, _Codes],
    known: Mapping[str, LabelSet],
    codings: Mapping[int, Coding],
) -> LabelSet:
    _check_keys(item, _LABEL_KEYS | {"name"})
    included = [_known(known, other) for other in item.get("includes", [])]
    codes = _known(code_sets, item["icd10"]) if "icd10" in item else _Codes(frozenset(), ())
    dates = integers("dates", item.get("dates", []))
    reports = [parse_evidence(entry, codings) for entry in item.get("self_report", [])]
    refused = _refused(item.get("refused_inputs", {}))
    for other in included:
        refused |= other.refused
    made = LabelSet(
        name=item["name"],
        codes=codes.whole.union(*(other.codes for other in included)),
        prefixes=tuple(sorted({*codes.prefixes, *(prefix for other in included for prefix in other.prefixes)})),
        date_fields=tuple(sorted({*dates, *(day for other in included for day in other.date_fields)})),
        self_report=tuple(dict.fromkeys([*reports, *(entry for other in included for entry in other.self_report)])),
        measured=_measured(item["measured"]) if "measured" in item else None,
        refused=refused,
    )
    if not made.fields and made.measured is None:
        raise EntryError("it needs evidence: 'icd10', 'dates', 'self_report', 'measured' or 'includes'")
    return made


def _measured(item: Mapping[str, Any]) -> Measured:
    _check_keys(item, _MEASURED_KEYS)
    if ("at_least" in item) == ("above" in item):
        raise EntryError(f"'measured' needs limits under either 'at_least' or 'above', however: {sorted(item)}")
    if item.get("combine", "any") not in ("any", "all"):
        raise EntryError(f"combine must be 'any' or 'all', however: combine={item['combine']!r}")
    limits = item.get("at_least", item.get("above"))
    return Measured(
        limits={str(name): float(limit) for name, limit in limits.items()},
        inclusive="at_least" in item,
        combine=item.get("combine", "any"),
        unknown_as_no=bool(item.get("unknown_as_no", False)),
    )


def _refused(content: Mapping[int, Any]) -> Ingredients:
    return Ingredients(
        {
            field: None if answers == "all" else frozenset(integers(f"codes of field {field}", answers))
            for field, answers in content.items()
        }
    )


def _check_keys(item: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(map(str, set(item) - known)):
        raise EntryError(f"there is no key {unknown}; known are {sorted(known - {'name'})}")


def _known(known: Mapping[str, Any], wanted: str) -> Any:
    if wanted not in known:
        raise EntryError(f"it uses {wanted!r}, which must be defined above it; known are {sorted(known)}")
    return known[wanted]
