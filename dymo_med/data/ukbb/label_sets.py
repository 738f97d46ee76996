"""Label definitions: code sets, evidence and what may therefore never be a feature."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

__all__ = ["Ingredients", "LabelCatalogue", "LabelSet", "load_labels", "normalize_codes"]

ICD10_FIELD = 41270
"""Hospital diagnoses (ICD-10), one position a code."""
ICD10_DATE_FIELD = 41280
"""First date of the code at the same position of :data:`ICD10_FIELD`."""
_ICD10_SHAPE = r"[A-Z]\d{2}\d{0,2}"


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """Evidence of one disease.

    Args:
        name: Name of the label.
        codes: ICD-10 codes without the dot.
        date_fields: Fields with the date of an algorithmic outcome.
        self_report: Field to the answers that report the disease.

    Example:
        >>> load_labels().get("infarction").date_fields
        (42000,)
    """

    name: str
    codes: frozenset[str]
    date_fields: tuple[int, ...]
    self_report: dict[int, frozenset[int]]

    @property
    def fields(self) -> frozenset[int]:
        """Registry fields that must be in the tables, dates of hospital codes aside."""
        return frozenset({ICD10_FIELD, *self.date_fields, *self.self_report})


@dataclass(frozen=True)
class Ingredients:
    """Fields, or single codes of fields, that make or tell a label.

    Args:
        codes: Field to its codes, None for all of them.

    Example:
        >>> parts = Ingredients({6150: frozenset({1}), 42000: None})
        >>> parts.touches(6150, frozenset({4})), parts.touches(6150, None), parts.touches(42000, frozenset({1}))
        (False, True, True)
    """

    codes: dict[int, frozenset[int] | None]

    def touches(self, field: int, codes: Collection[int] | None) -> bool:
        """Tell whether reading these codes of a field (None: all) would reveal a label."""
        if field not in self.codes:
            return False
        refused = self.codes[field]
        return refused is None or codes is None or bool(refused & set(codes))


@dataclass(frozen=True)
class LabelCatalogue:
    """All label sets.

    Args:
        sets: Label sets by name.
        ingredients: What may never be a feature.
        unknown_dates: Dates that stand for "unknown".

    Example:
        >>> sorted(load_labels().sets)[:2]
        ['cad', 'cad_as_run']
    """

    sets: dict[str, LabelSet]
    ingredients: Ingredients
    unknown_dates: frozenset[pd.Timestamp]

    def get(self, name: str) -> LabelSet:
        """Give a label set.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self.sets:
            raise ValueError(f"a label must be one of {sorted(self.sets)}, however: {name!r}")
        return self.sets[name]


def load_labels(path: Path | None = None) -> LabelCatalogue:
    """Load and check label definitions.

    Args:
        path: YAML file of the same structure as the one in this package (``labels.yaml``); None for that one.

    Raises:
        ValueError: a code has not the shape of an ICD-10 code, or a name is not defined above its use.

    Example:
        >>> labels = load_labels()
        >>> labels.get("infarction").codes < labels.get("cad").codes
        True
    """
    return _packaged() if path is None else _load(Path(path))


@cache
def _packaged() -> LabelCatalogue:
    return _load(resources.files("dymo_med.data.ukbb") / "labels.yaml")


def _load(source: Traversable) -> LabelCatalogue:
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    code_sets: dict[str, frozenset[str]] = {}
    for name, item in content["code_sets"].items():
        code_sets[name] = _codes_of(name, item, code_sets)
    sets: dict[str, LabelSet] = {}
    for name, item in content["labels"].items():
        sets[name] = _label_of(name, item, code_sets, sets)
    return LabelCatalogue(
        sets,
        _ingredients(sets.values(), content["refused_inputs"]),
        frozenset(pd.Timestamp(day) for day in content["unknown_dates"]),
    )


def normalize_codes(codes: pd.Series) -> pd.Series:
    """Bring ICD-10 codes to one form: upper case, no dots, blanks or padding ("X" or "-" at the end).

    Returns:
        Text; missing where the result has not the shape of a code (letter, two to four digits).

    Example:
        >>> normalize_codes(pd.Series([" i21.0 ", "I10X", "I21.0 Acute infarction"])).fillna("?").tolist()
        ['I210', 'I10', '?']
    """
    plain = (
        codes.astype("string").str.upper().str.replace(r"[\s.]", "", regex=True).str.replace(r"[X-]+$", "", regex=True)
    )
    return plain.where(plain.str.fullmatch(_ICD10_SHAPE).fillna(False).astype(bool))


def _codes_of(name: str, item: Mapping[str, Any], known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    own, without = item.get("codes", []), item.get("without", [])
    for code in [*own, *without]:
        if not re.fullmatch(_ICD10_SHAPE, str(code)):
            raise ValueError(
                f"code set {name!r} must hold ICD-10 codes (a letter and two to four digits), however: {code!r}: "
                "look for a missing comma or a dot"
            )
    codes = set(own).union(*(_known(known, base, name) for base in item.get("from", [])))
    if absent := set(without) - codes:
        raise ValueError(
            f"code set {name!r} takes out codes that it does not hold: {sorted(absent)}: correct 'without'"
        )
    return frozenset(codes - set(without))


def _label_of(
    name: str, item: Mapping[str, Any], code_sets: Mapping[str, frozenset[str]], known: Mapping[str, LabelSet]
) -> LabelSet:
    included = [_known(known, other, name) for other in item.get("includes", [])]
    self_report = {int(field): frozenset(codes) for field, codes in item.get("self_report", {}).items()}
    for other in included:
        for field, codes in other.self_report.items():
            self_report[field] = self_report.get(field, frozenset()) | codes
    return LabelSet(
        name=name,
        codes=_known(code_sets, item["icd10"], name).union(*(other.codes for other in included)),
        date_fields=tuple(sorted({*item.get("dates", []), *(day for other in included for day in other.date_fields)})),
        self_report=self_report,
    )


def _known(known: Mapping[str, Any], wanted: str, name: str) -> Any:
    if wanted not in known:
        raise ValueError(f"{name!r} uses {wanted!r}, which must be defined above it; known are {sorted(known)}")
    return known[wanted]


def _ingredients(sets: Iterable[LabelSet], refused: Mapping[int, Any]) -> Ingredients:
    codes: dict[int, frozenset[int] | None] = {ICD10_FIELD: None, ICD10_DATE_FIELD: None}
    for item in sets:
        codes |= dict.fromkeys(item.date_fields)
        for field, answers in item.self_report.items():
            codes[field] = answers | (codes.get(field) or frozenset())
    for field, answers in refused.items():
        codes[field] = None if answers == "all" else frozenset(answers) | (codes.get(field) or frozenset())
    return Ingredients(codes)
