"""Label definitions: code sets, evidence and what may therefore never be a feature."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from dymo_med.data.ukbb.catalogue import Coding, Evidence, Feature

__all__ = [
    "ICD10_DATE_FIELD",
    "ICD10_FIELD",
    "ICD10_SHAPE",
    "Ingredients",
    "LabelCatalogue",
    "LabelSet",
    "Measured",
    "normalize_codes",
]

ICD10_FIELD = 41270
"""Hospital diagnoses (ICD-10), one position a code."""
ICD10_DATE_FIELD = 41280
"""First date of the code at the same position of :data:`ICD10_FIELD`."""
ICD10_SHAPE = r"[A-Z]\d{2}\d{0,2}"
"""A letter and two to four digits."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Readings at the visit of the scan that prove a disease.

    Args:
        limits: Feature of the catalogue, by name, to its limit in the feature's unit.
        inclusive: Whether a reading at the limit counts.
        combine: Whether ``"any"`` reading beyond its limit proves it, or ``"all"`` must be.
        unknown_as_no: Whether subjects without the readings can be controls.

    Example:
        >>> load = {"systolic_blood_pressure_mmhg": 140.0}
        >>> Measured(limits=load, inclusive=True, combine="any", unknown_as_no=False).limits
        {'systolic_blood_pressure_mmhg': 140.0}
    """

    limits: dict[str, float]
    inclusive: bool
    combine: Literal["any", "all"]
    unknown_as_no: bool


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

    def touches(self, registry_field: int, codes: Collection[int] | None) -> bool:
        """Tell whether reading these codes of a field (None: all) would reveal a label."""
        if registry_field not in self.codes:
            return False
        refused = self.codes[registry_field]
        return refused is None or codes is None or bool(refused & set(codes))

    def revealed_by(self, feature: Feature) -> list[int]:
        """Give the fields with which a feature would reveal a label."""
        return [place for place, codes in feature.uses.items() if self.touches(place, codes)]

    def __or__(self, other: "Ingredients") -> "Ingredients":
        """Give what makes or tells either label."""
        codes = dict(self.codes)
        for place, answers in other.codes.items():
            both = codes.get(place, frozenset())
            codes[place] = None if answers is None or both is None else both | answers
        return Ingredients(codes)


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """Evidence of one disease.

    Args:
        name: Name of the label.
        codes: ICD-10 codes without the dot, matched as a whole.
        prefixes: Beginnings of ICD-10 codes without the dot.
        date_fields: Fields with the date of an algorithmic outcome.
        self_report: Answers that report the disease.
        measured: Readings that prove it.
        refused: What may not be an input of a model of this label, beside the evidence itself.

    Example:
        >>> from dymo_med.data.ukbb import load_labels
        >>> load_labels().get("infarction").date_fields
        (42000,)
    """

    name: str
    codes: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    date_fields: tuple[int, ...] = ()
    self_report: tuple[Evidence, ...] = ()
    measured: Measured | None = None
    refused: Ingredients = field(default_factory=lambda: Ingredients({}))

    @property
    def fields(self) -> frozenset[int]:
        """Registry fields that must be in the tables, dates of hospital codes and measured features aside."""
        hospital = {ICD10_FIELD} if self.codes or self.prefixes else set()
        return frozenset({*hospital, *self.date_fields, *(item.field for item in self.self_report)})

    @property
    def ingredients(self) -> Ingredients:
        """What may not be an input of a model of this label, fields of measured evidence aside."""
        made = Ingredients({ICD10_FIELD: None, ICD10_DATE_FIELD: None, **dict.fromkeys(self.date_fields)})
        for item in self.self_report:
            made |= Ingredients({item.field: item.yes or None})
        return made | self.refused

    def describe(self) -> str:
        """Say in one line what counts as evidence.

        Example:
            >>> LabelSet(name="cad", codes=frozenset({"I251", "I250"}), date_fields=(42000,)).describe()
            'hospital diagnosis I250, I251; date in field 42000'
        """
        parts = []
        if self.codes or self.prefixes:
            parts.append("hospital diagnosis " + ", ".join(sorted({*self.codes, *(f"{x}..." for x in self.prefixes)})))
        parts += [f"date in field {place}" for place in self.date_fields]
        for item in self.self_report:
            what = f"answer {', '.join(map(str, sorted(item.yes)))}" if item.yes else "age"
            parts.append(f"{what} in field {item.field}")
        if self.measured:
            sign = "at least" if self.measured.inclusive else "above"
            limits = (f"{name} {sign} {limit:g}" for name, limit in self.measured.limits.items())
            parts.append(f" {'or' if self.measured.combine == 'any' else 'and'} ".join(limits))
        return "; ".join(parts)

    def matches(self, codes: pd.Series) -> pd.Series:
        """Tell which ICD-10 codes, in the form of :func:`normalize_codes`, are evidence."""
        found = codes.isin(self.codes)
        return found | codes.str.startswith(self.prefixes) if self.prefixes else found


@dataclass(frozen=True)
class LabelCatalogue:
    """All label sets.

    Args:
        sets: Label sets by name.
        refused: What may never be a feature, whatever the label.
        unknown_dates: Dates that stand for "unknown".
        codings: Codes of the fields with the answers.

    Example:
        >>> from dymo_med.data.ukbb import load_labels
        >>> sorted(load_labels().sets)[:2]
        ['cad', 'cad_as_run']
    """

    sets: dict[str, LabelSet]
    refused: Ingredients
    unknown_dates: frozenset[pd.Timestamp]
    codings: dict[int, Coding]

    def get(self, name: str) -> LabelSet:
        """Give a label set.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self.sets:
            raise ValueError(f"a label must be one of {sorted(self.sets)}, however: {name!r}")
        return self.sets[name]

    def ingredients(self, names: Iterable[str]) -> Ingredients:
        """Give what may not be an input of a model of any of these labels."""
        made = self.refused
        for name in names:
            made |= self.get(name).ingredients
        return made


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
    return plain.where(plain.str.fullmatch(ICD10_SHAPE).fillna(False).astype(bool))
