"""Reading of the feature catalogue from YAML, with every entry checked."""

import math
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

from dymo_med.data.ukbb.catalogue import Catalogue, Coding, Feature, Skip, Tier
from dymo_med.data.ukbb.label_file import load_labels
from dymo_med.data.ukbb.label_sets import Ingredients
from dymo_med.data.ukbb.yaml_entries import (
    PACKAGE,
    EntryError,
    check_codes,
    extends_package,
    integers,
    parse_codings,
    parse_evidence,
    read_yaml,
)
from dymo_med.utils import as_choice

__all__ = ["load_catalogue", "load_published_catalogue"]

_KINDS = {"code": "categorical", "ever": "categorical", "number": "continuous", "age": "continuous"}
_ALWAYS = {"name", "title", "kind", "rule", "tier", "family"}
_BY_RULE = {
    "code": ({"fields", "categories"}, {"visit", "missing_codes", "skip", "blank"}),
    "ever": ({"evidence", "categories"}, {"women_only", "unknown_as_no"}),
    "number": ({"fields", "unit", "range"}, {"visit", "missing_codes", "skip", "reduction", "blank"}),
    "age": ({"fields", "unit", "range"}, set[str]()),
}

_KIND = "feature catalogue"
_N_FIELDS = {"code": 1, "age": 4}


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Load and check a feature catalogue.

    Args:
        path: YAML file of the same structure as the one in this package (``features.yaml``); None for that one. With
            ``extends: package`` it adds to that one: an entry of a known name changes the keys that it gives (null
            takes a key away), any other is a new feature.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an entry breaks a rule, or reads what defines a label without saying so; the text names the feature.

    Example:
        >>> load_catalogue().features[1].name
        'sex'
    """
    if path is None:
        return _packaged()
    return _load(Path(path))


@cache
def load_published_catalogue() -> Catalogue:
    """Load the features with the rules of the published table, flaws included (``features_published.yaml``).

    Example:
        >>> load_published_catalogue().named("past_tobacco_smoking").blank
        'on most or all days'
    """
    return _load(PACKAGE / "features_published.yaml")


@cache
def _packaged() -> Catalogue:
    return _load(PACKAGE / "features.yaml")


def _load(source: Traversable) -> Catalogue:
    name = source.name
    content = read_yaml(source, _KIND, "features")
    if extends_package(content, _KIND, name):
        content = _extended(content, name)
    codings = parse_codings(content.get("codings", {}), _KIND, name)
    features = tuple(_feature(entry, codings, name) for entry in content["features"])
    _check_unique(features, name)
    refused = load_labels().refused
    for feature in features:
        _check_leakage(feature, refused, name)
    return Catalogue(features, codings)


def _extended(content: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """Put the entries of a file over those of the package."""
    base = read_yaml(PACKAGE / "features.yaml", _KIND, "features")
    known = {entry["name"]: entry for entry in base["features"]}
    entries = dict(known)
    own = [entry if isinstance(entry, Mapping) else {"name": str(entry)} for entry in content["features"]]
    names = [str(entry.get("name")) for entry in own]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"feature catalogue {file} uses a name twice: {repeated}: keep one of them")
    for name, entry in zip(names, own, strict=True):
        merged = {**known.get(name, {}), **entry}
        entries[name] = {key: value for key, value in merged.items() if value is not None}
    return {"codings": {**base["codings"], **content.get("codings", {})}, "features": list(entries.values())}


def _feature(entry: Any, codings: Mapping[int, Coding], file: str) -> Feature:
    try:
        return _checked_feature(entry, codings)
    except (EntryError, TypeError, KeyError, AttributeError) as err:
        label = entry.get("name") if isinstance(entry, Mapping) else entry
        raise ValueError(f"feature catalogue {file}, feature {label!r}: {err}: correct the entry") from err


def _checked_feature(entry: Mapping[str, Any], codings: Mapping[int, Coding]) -> Feature:
    rule = entry.get("rule")
    if rule not in _BY_RULE:
        raise EntryError(f"rule must be one of {sorted(_BY_RULE)}, however: rule={rule!r}")
    needed, allowed = _ALWAYS | _BY_RULE[rule][0], _BY_RULE[rule][1] | {"published"}
    if lacking := needed - set(entry):
        raise EntryError(f"rule {rule!r} needs {sorted(lacking)}")
    if unknown := set(map(str, entry)) - needed - allowed:
        raise EntryError(f"rule {rule!r} knows no {sorted(unknown)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(entry["name"])):
        raise EntryError("a name must be snake_case")
    if entry["kind"] != _KINDS[rule]:
        raise EntryError(f"rule {rule!r} makes {_KINDS[rule]} features, however: kind={entry['kind']!r}")
    if entry.get("visit", "scan") not in ("scan", "baseline"):
        raise EntryError(f"visit must be 'scan' or 'baseline', however: visit={entry['visit']!r}")
    if entry.get("reduction", "first") not in ("first", "mean"):
        raise EntryError(f"reduction must be 'first' or 'mean', however: reduction={entry['reduction']!r}")
    if len(entry.get("fields", [])) != _N_FIELDS.get(rule, len(entry.get("fields", []))):
        raise EntryError(f"rule {rule!r} reads {_N_FIELDS[rule]} fields, however: fields={entry['fields']!r}")
    if rule == "ever" and entry["categories"] != {0: "no", 1: "yes"}:
        raise EntryError(f'categories of rule \'ever\' must be 0: "no", 1: "yes", however: {entry["categories"]!r}')
    low, high = _range(entry["range"]) if "range" in entry else (None, None)
    categories = _categories(entry["categories"]) if "categories" in entry else None
    published = entry.get("published", {})
    return Feature(
        name=entry["name"],
        title=str(entry["title"]),
        kind=entry["kind"],
        rule=rule,
        tier=_tier(entry["tier"]),
        family=str(entry["family"]),
        fields=tuple(integers("fields", entry.get("fields", []))),
        visit=entry.get("visit", "scan"),
        categories=categories,
        missing_codes=frozenset(integers("missing_codes", entry.get("missing_codes", []))),
        evidence=tuple(parse_evidence(item, codings) for item in entry.get("evidence", [])),
        women_only=bool(entry.get("women_only", False)),
        unknown_as_no=bool(entry.get("unknown_as_no", False)),
        unit=str(entry.get("unit", "")),
        low=low,
        high=high,
        reduction=entry.get("reduction", "first"),
        skip=_skip(entry["skip"], codings, categories) if "skip" in entry else None,
        blank=_value("blank", entry["blank"], categories) if "blank" in entry else None,
        published_index=published.get("index"),
        published_title=str(published.get("title", "")),
    )


def _tier(value: Any) -> Tier:
    try:
        return as_choice("tier", value, Tier)
    except ValueError as err:
        raise EntryError(str(err)) from err


def _range(bounds: Any) -> tuple[float | None, float | None]:
    is_pair = isinstance(bounds, list) and len(bounds) == 2
    given = [bound for bound in bounds if bound is not None] if is_pair else []
    numbers = is_pair and all(isinstance(bound, int | float) and math.isfinite(bound) for bound in given)
    if not numbers or (len(given) == 2 and given[0] >= given[1]):
        raise EntryError(
            f"range must be two finite numbers, the lower first, or null for no bound, however: range={bounds!r}"
        )
    low, high = (None if bound is None else float(bound) for bound in bounds)
    return low, high


def _categories(value: Any) -> dict[int, str]:
    if not isinstance(value, dict) or not all(type(code) is int for code in value):
        raise EntryError(f"categories must map codes to labels, however: categories={value!r}")
    if others := [label for label in value.values() if not isinstance(label, str)]:
        raise EntryError(f"labels of categories must be text (put yes and no into quotes), however: {others}")
    if len(set(value.values())) < 2:
        raise EntryError(f"a categorical feature needs two labels or more, however: {sorted(set(value.values()))}")
    return cast(dict[int, str], value)


def _skip(item: Mapping[str, Any], codings: Mapping[int, Coding], categories: dict[int, str] | None) -> Skip:
    any_of, none_of = frozenset(item.get("any_of", [])), frozenset(item.get("none_of", []))
    if bool(any_of) == bool(none_of):
        raise EntryError(f"skip needs codes in either 'any_of' or 'none_of', however: {dict(item)}")
    check_codes(item["field"], any_of | none_of, codings)
    value = _value("value of skip", item["value"], categories)
    return Skip(field=item["field"], any_of=any_of, none_of=none_of, value=value)


def _value(name: str, value: Any, categories: dict[int, str] | None) -> str | float:
    if categories is None and isinstance(value, int | float):
        return float(value)
    if categories is not None and value in categories.values():
        return str(value)
    expected = "a number" if categories is None else "one of the categories"
    raise EntryError(f"the {name} must be {expected}, however: {name.split()[0]}={value!r}")


def _check_unique(features: tuple[Feature, ...], file: str) -> None:
    names = [feature.name for feature in features]
    indices = [str(feature.published_index) for feature in features if feature.published_index is not None]
    for what, values in (("name", names), ("published index", indices)):
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"feature catalogue {file} uses a {what} twice: {repeated}: keep one of them")


def _check_leakage(feature: Feature, refused: Ingredients, file: str) -> None:
    leaks = refused.revealed_by(feature)
    if leaks and feature.tier is not Tier.LABEL_DEFINING:
        raise ValueError(
            f"feature catalogue {file}, feature {feature.name!r}: field {leaks[0]} is part of a label, however: "
            f"tier={feature.tier.value!r}: set tier to 'label_defining' or leave the feature out"
        )
