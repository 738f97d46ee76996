"""The feature catalogue: which registry fields become which clinical features, and how."""

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dymo_med.tabular.schema import Column

__all__ = ["DEFAULT_TIERS", "Catalogue", "Coding", "Evidence", "Feature", "Skip", "Tier"]


class Tier(StrEnum):
    """How a feature stands to the disease, and so whether a model may see it.

    ``RISK_FACTOR`` there before or without the disease; ``MEASUREMENT`` read or felt at the visit; ``IMAGE_DERIVED``
    computed from cardiac images; ``CONSEQUENCE`` follows once the disease is known; ``LABEL_DEFINING`` part of a label,
    never an input.
    """

    RISK_FACTOR = "risk_factor"
    MEASUREMENT = "measurement"
    IMAGE_DERIVED = "image_derived"
    CONSEQUENCE = "consequence"
    LABEL_DEFINING = "label_defining"


DEFAULT_TIERS = (Tier.RISK_FACTOR, Tier.MEASUREMENT)
"""Consequences are left out: a drug for the disease tells the diagnosis, not the heart. So are values computed from
cardiac images: with them, a table holds part of the image, and image and table can no longer be compared."""


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Codes that a field with several answers knows.

    Args:
        answers: Codes that say something, "none of these" included.
        unanswered: Codes for "do not know" and "prefer not to answer".

    Example:
        >>> sorted(Coding(answers=frozenset({0, 1}), unanswered=frozenset({-3})).known)
        [-3, 0, 1]
    """

    answers: frozenset[int]
    unanswered: frozenset[int]

    @property
    def known(self) -> frozenset[int]:
        """All codes."""
        return self.answers | self.unanswered


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A field that can prove an "ever" feature.

    Args:
        field: Registry field.
        yes: Codes that prove a yes. Empty for a field with the age at diagnosis, where every age from 0 to 120 does.
        proves_no: Whether an answer without such a code, given at the scan visit, proves a no.
        any_entry: In a field with the age at diagnosis, let "do not know" and "prefer not to answer" prove a yes too.
        last_visit: Last visit that counts, for the published definition alone; None for that of the scan.

    Example:
        >>> Evidence(field=6150, yes=frozenset({3}), proves_no=True).is_age
        False
    """

    field: int
    yes: frozenset[int]
    proves_no: bool
    any_entry: bool = False
    last_visit: int | None = None

    @property
    def is_age(self) -> bool:
        """Whether the field holds an age at diagnosis."""
        return not self.yes

    def visits(self, scan: int) -> range:
        """Visits at which the evidence counts: up to that of the scan, or the last one that it names."""
        return range((scan if self.last_visit is None else self.last_visit) + 1)


@dataclass(frozen=True, kw_only=True)
class Skip:
    """The answer elsewhere that proves that a blank question was not asked.

    Args:
        field: Registry field of that answer, same visit.
        any_of: Codes of which one must be there.
        none_of: Codes of which none may be there, though the question was answered. One of the two sets is empty.
        value: What the blank then stands for: a category, or a number.

    Example:
        >>> Skip(field=864, any_of=frozenset({0}), none_of=frozenset(), value=0.0).value
        0.0
    """

    field: int
    any_of: frozenset[int]
    none_of: frozenset[int]
    value: str | float


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One clinical feature and the way it is derived.

    Args:
        name: Stable snake_case name with the unit as suffix.
        title: Title for people.
        kind: ``"categorical"`` or ``"continuous"``.
        rule: ``"code"`` one coded field, ``"number"`` measured fields, ``"ever"`` yes, no or unknown up to the scan,
            ``"age"`` from birth and scan dates.
        tier: How the feature stands to the disease.
        family: Features that come or go together.
        fields: Registry fields; rule ``number`` takes the first that has a reading.
        visit: ``"scan"`` or ``"baseline"`` (the first visit, 0).
        categories: Code to label; several codes may share a label.
        missing_codes: Codes that mean that there is no answer.
        evidence: Fields that rule ``ever`` reads.
        women_only: Missing for men.
        unknown_as_no: Rule ``ever`` takes everybody who did not say yes for a no, as in the published table.
        unit: Physical unit, empty if there is none.
        low: Smallest plausible reading.
        high: Largest plausible reading.
        reduction: ``"mean"`` over the readings of a visit, or the ``"first"`` alone.
        skip: Proof that a blank question was not asked.
        blank: What every blank stands for, whatever its cause, as in the published table; None for "missing".
        published_index: Position in the published table of 75 features, None if it is not there.
        published_title: Title in that table.

    Example:
        >>> sex = Feature(name="sex", title="Sex", kind="categorical", rule="code", tier=Tier.RISK_FACTOR,
        ...               family="demographics", fields=(31,), visit="baseline", categories={0: "female", 1: "male"})
        >>> sex.column().categories, sorted(sex.sources)
        (('female', 'male'), [31])
    """

    name: str
    title: str
    kind: Literal["categorical", "continuous"]
    rule: Literal["code", "number", "ever", "age"]
    tier: Tier
    family: str
    fields: tuple[int, ...] = ()
    visit: Literal["scan", "baseline"] = "scan"
    categories: dict[int, str] | None = None
    missing_codes: frozenset[int] = frozenset()
    evidence: tuple[Evidence, ...] = ()
    women_only: bool = False
    unknown_as_no: bool = False
    unit: str = ""
    low: float | None = None
    high: float | None = None
    reduction: Literal["first", "mean"] = "first"
    skip: Skip | None = None
    blank: str | float | None = None
    published_index: int | None = None
    published_title: str = ""

    @property
    def sources(self) -> frozenset[int]:
        """All registry fields that the feature reads."""
        others = [item.field for item in self.evidence] + ([self.skip.field] if self.skip else [])
        return frozenset(self.fields) | frozenset(others) | (frozenset({SEX_FIELD}) if self.women_only else frozenset())

    @property
    def uses(self) -> dict[int, frozenset[int] | None]:
        """Registry fields that can tell something of the label, with the codes read; None for all values."""
        used: dict[int, frozenset[int] | None] = dict.fromkeys(self.sources)
        if self.skip:
            used[self.skip.field] = self.skip.any_of | self.skip.none_of
        for item in self.evidence:
            used[item.field] = item.yes or None
        return used

    def reads(self, scan: int) -> set[tuple[int, int]]:
        """Give the registry fields, each with a visit, that the feature reads where the scan was at a visit."""
        read = {(item.field, visit) for item in self.evidence for visit in item.visits(scan)}
        if self.rule == "age":
            year, month, visited, whole_years = self.fields
            read |= {(year, 0), (month, 0), (visited, scan), (whole_years, scan)}
        else:
            read |= {(place, 0 if self.visit == "baseline" else scan) for place in self.fields}
        if self.skip:
            read.add((self.skip.field, scan))
        return read | ({(SEX_FIELD, 0)} if self.women_only else set())

    def column(self) -> Column:
        """Describe the feature as a table column, without training statistics."""
        fields = [str(field) for field in self.fields or dict.fromkeys(item.field for item in self.evidence)]
        when = "first visit" if self.visit == "baseline" else "imaging visit"
        source = f"UK Biobank field {', '.join(fields)}, {'up to the ' * (self.rule == 'ever')}{when}"
        return Column(
            name=self.name,
            kind=self.kind,
            title=self.title,
            categories=tuple(dict.fromkeys((self.categories or {}).values())),
            unit=self.unit,
            low=self.low,
            high=self.high,
            source=source + (", mean of the readings" if self.reduction == "mean" else ""),
        )


SEX_FIELD = 31
"""Sex (0 female, 1 male), read to keep features for women missing for men."""


@dataclass(frozen=True)
class Catalogue:
    """All known features.

    Args:
        features: Features in their order.
        codings: Codes of the fields with several answers.

    Example:
        >>> from dymo_med.data.ukbb import load_catalogue
        >>> len(load_catalogue().features), len(load_catalogue().select())
        (77, 59)
    """

    features: tuple[Feature, ...]
    codings: dict[int, Coding]

    def select(self, tiers: Collection[str] = DEFAULT_TIERS, names: Iterable[str] | None = None) -> tuple[Feature, ...]:
        """Choose the features that a model may see.

        Args:
            tiers: Tiers to take.
            names: Names to take instead, in this order, whatever their tier; for instance those of a trained schema.

        Raises:
            ValueError: a name or tier is unknown, or a feature defines a label.
        """
        if names is None:
            known = [tier.value for tier in Tier]
            if unknown := sorted(set(map(str, tiers)) - set(known)):
                raise ValueError(f"tiers must be among {known}, however: {unknown}")
            chosen = [feature for feature in self.features if feature.tier in tiers]
        else:
            chosen = [self.named(name) for name in names]
        if refused := [feature.name for feature in chosen if feature.tier is Tier.LABEL_DEFINING]:
            raise ValueError(f"features that define a label cannot be inputs, however: {refused}: leave them out")
        return tuple(chosen)

    def published(self) -> tuple[Feature, ...]:
        """Give the features of the published table in its order, those that define a label included."""
        return tuple(
            sorted(
                (feature for feature in self.features if feature.published_index is not None),
                key=lambda feature: feature.published_index or 0,
            )
        )

    def named(self, name: str) -> Feature:
        """Give one feature.

        Raises:
            ValueError: there is none of this name; the text proposes the nearest.
        """
        by_name = {feature.name: feature for feature in self.features}
        if name not in by_name:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "add it to a catalogue of your own"
            raise ValueError(f"the catalogue of {len(by_name)} features has no {name!r}: {hint}")
        return by_name[name]
