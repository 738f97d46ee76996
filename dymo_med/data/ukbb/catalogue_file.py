"""Reading of the feature catalogue from YAML, with every entry checked."""

import math
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, cast

import yaml

from dymo_med.data.ukbb.catalogue import Catalogue, Coding, Evidence, Feature, Skip, Tier
from dymo_med.data.ukbb.label_sets import Ingredients, load_labels
from dymo_med.utils import as_choice

__all__ = ["load_catalogue"]

_KINDS = {"code": "categorical", "ever": "categorical", "number": "continuous", "age": "continuous"}
_ALWAYS = {"name", "title", "kind", "rule", "tier", "family"}
_BY_RULE = {
    "code": ({"fields", "categories"}, {"visit", "missing_codes", "skip"}),
    "ever": ({"evidence", "categories"}, {"women_only"}),
    "number": ({"fields", "unit", "range"}, {"visit", "missing_codes", "skip", "reduction"}),
    "age": ({"fields", "unit", "range"}, set[str]()),
}

_N_FIELDS = {"code": 1, "age": 4}


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Load and check a feature catalogue.

    Args:
        path: YAML file of the same structure as the one in this package (``features.yaml``); None for that one.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an entry breaks a rule, or reads what defines a label without saying so; the text names the feature.

    Example:
        >>> load_catalogue().features[1].name
        'sex'
    """
    if path is None:
        return _packaged()
    if not Path(path).is_file():
        raise FileNotFoundError(f"no feature catalogue {Path(path).name}: pass a YAML file or leave the argument out")
    return _load(Path(path))


@cache
def _packaged() -> Catalogue:
    return _load(resources.files("dymo_med.data.ukbb") / "features.yaml")


def _load(source: Traversable) -> Catalogue:
    name = source.name
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ValueError(
            f"feature catalogue {name} is not valid YAML ({' '.join(str(err).split())}): correct it"
        ) from err
    if not isinstance(content, Mapping) or content.get("version") != 1 or not content.get("features"):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(
            f"feature catalogue {name} must hold 'version: 1', 'codings' and 'features', however: {found}: "
            "start from the catalogue of this package"
        )
    codings = _codings(content.get("codings", {}), name)
    features = tuple(_feature(entry, codings, name) for entry in content["features"])
    _check_unique(features, name)
    ingredients = load_labels().ingredients
    for feature in features:
        _check_leakage(feature, ingredients, name)
    return Catalogue(features, codings)


def _codings(content: Mapping[int, Any], file: str) -> dict[int, Coding]:
    codings = {}
    for field, item in content.items():
        try:
            answers, unanswered = (frozenset(_integers(key, item[key])) for key in ("answers", "unanswered"))
        except (_EntryError, KeyError, TypeError) as err:
            raise ValueError(
                f"feature catalogue {file}, coding of field {field}: 'answers' and 'unanswered' must list codes, "
                f"however: {item!r}: correct the coding"
            ) from err
        codings[field] = Coding(answers=answers, unanswered=unanswered)
    return codings


class _EntryError(ValueError):
    """A rule of the catalogue that one entry breaks."""


def _feature(entry: Any, codings: Mapping[int, Coding], file: str) -> Feature:
    try:
        return _checked_feature(entry, codings)
    except (_EntryError, TypeError, KeyError, AttributeError) as err:
        label = entry.get("name") if isinstance(entry, Mapping) else entry
        raise ValueError(f"feature catalogue {file}, feature {label!r}: {err}: correct the entry") from err


def _checked_feature(entry: Mapping[str, Any], codings: Mapping[int, Coding]) -> Feature:
    rule = entry.get("rule")
    if rule not in _BY_RULE:
        raise _EntryError(f"rule must be one of {sorted(_BY_RULE)}, however: rule={rule!r}")
    needed, allowed = _ALWAYS | _BY_RULE[rule][0], _BY_RULE[rule][1] | {"published"}
    if lacking := needed - set(entry):
        raise _EntryError(f"rule {rule!r} needs {sorted(lacking)}")
    if unknown := set(map(str, entry)) - needed - allowed:
        raise _EntryError(f"rule {rule!r} knows no {sorted(unknown)}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(entry["name"])):
        raise _EntryError("a name must be snake_case")
    if entry["kind"] != _KINDS[rule]:
        raise _EntryError(f"rule {rule!r} makes {_KINDS[rule]} features, however: kind={entry['kind']!r}")
    if entry.get("visit", "scan") not in ("scan", "baseline"):
        raise _EntryError(f"visit must be 'scan' or 'baseline', however: visit={entry['visit']!r}")
    if entry.get("reduction", "first") not in ("first", "mean"):
        raise _EntryError(f"reduction must be 'first' or 'mean', however: reduction={entry['reduction']!r}")
    if len(entry.get("fields", [])) != _N_FIELDS.get(rule, len(entry.get("fields", []))):
        raise _EntryError(f"rule {rule!r} reads {_N_FIELDS[rule]} fields, however: fields={entry['fields']!r}")
    if rule == "ever" and entry["categories"] != {0: "no", 1: "yes"}:
        raise _EntryError(f'categories of rule \'ever\' must be 0: "no", 1: "yes", however: {entry["categories"]!r}')
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
        fields=tuple(_integers("fields", entry.get("fields", []))),
        visit=entry.get("visit", "scan"),
        categories=categories,
        missing_codes=frozenset(_integers("missing_codes", entry.get("missing_codes", []))),
        evidence=tuple(_evidence(item, codings) for item in entry.get("evidence", [])),
        women_only=bool(entry.get("women_only", False)),
        unit=str(entry.get("unit", "")),
        low=low,
        high=high,
        reduction=entry.get("reduction", "first"),
        skip=_skip(entry["skip"], codings, categories) if "skip" in entry else None,
        published_index=published.get("index"),
        published_title=str(published.get("title", "")),
    )


def _tier(value: Any) -> Tier:
    try:
        return as_choice("tier", value, Tier)
    except ValueError as err:
        raise _EntryError(str(err)) from err


def _integers(name: str, values: Any) -> list[int]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise _EntryError(f"{name} must be a list of whole numbers, however: {name}={values!r}")
    return values


def _range(bounds: Any) -> tuple[float, float]:
    numbers = isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(bound, int | float) for bound in bounds)
    if not numbers or not all(map(math.isfinite, bounds)) or bounds[0] >= bounds[1]:
        raise _EntryError(f"range must be two finite numbers, the lower first, however: range={bounds!r}")
    return float(bounds[0]), float(bounds[1])


def _categories(value: Any) -> dict[int, str]:
    if not isinstance(value, dict) or not all(type(code) is int for code in value):
        raise _EntryError(f"categories must map codes to labels, however: categories={value!r}")
    if others := [label for label in value.values() if not isinstance(label, str)]:
        raise _EntryError(f"labels of categories must be text (put yes and no into quotes), however: {others}")
    if len(set(value.values())) < 2:
        raise _EntryError(f"a categorical feature needs two labels or more, however: {sorted(set(value.values()))}")
    return cast(dict[int, str], value)


def _evidence(item: Mapping[str, Any], codings: Mapping[int, Coding]) -> Evidence:
    field, yes, is_age = item["field"], frozenset(item.get("codes", [])), bool(item.get("ages", False))
    if is_age == bool(yes):
        raise _EntryError(f"evidence of field {field} needs either 'codes' or 'ages: true', however: {dict(item)}")
    if not is_age:
        _check_codes(field, yes, codings)
    return Evidence(field=field, yes=yes, proves_no=not is_age and bool(item.get("proves_no", True)))


def _skip(item: Mapping[str, Any], codings: Mapping[int, Coding], categories: dict[int, str] | None) -> Skip:
    any_of, none_of = frozenset(item.get("any_of", [])), frozenset(item.get("none_of", []))
    if bool(any_of) == bool(none_of):
        raise _EntryError(f"skip needs codes in either 'any_of' or 'none_of', however: {dict(item)}")
    _check_codes(item["field"], any_of | none_of, codings)
    if categories is not None and item["value"] not in categories.values():
        raise _EntryError(f"the value of skip must be one of the categories, however: value={item['value']!r}")
    return Skip(field=item["field"], any_of=any_of, none_of=none_of, value=item["value"])


def _check_codes(field: int, codes: frozenset[int], codings: Mapping[int, Coding]) -> None:
    known = codings[field].answers if field in codings else frozenset()
    if not codes <= known:
        raise _EntryError(
            f"field {field} must have a coding with the answers used, however: {sorted(codes - known)} lack"
        )


def _check_unique(features: tuple[Feature, ...], file: str) -> None:
    names = [feature.name for feature in features]
    indices = [str(feature.published_index) for feature in features if feature.published_index is not None]
    for what, values in (("name", names), ("published index", indices)):
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"feature catalogue {file} uses a {what} twice: {repeated}: keep one of them")


def _check_leakage(feature: Feature, ingredients: Ingredients, file: str) -> None:
    used: dict[int, frozenset[int] | None] = dict.fromkeys(feature.sources)
    if feature.skip:
        used[feature.skip.field] = feature.skip.any_of | feature.skip.none_of
    for item in feature.evidence:
        used[item.field] = item.yes or None
    leaks = [field for field, codes in used.items() if ingredients.touches(field, codes)]
    if leaks and feature.tier is not Tier.LABEL_DEFINING:
        raise ValueError(
            f"feature catalogue {file}, feature {feature.name!r}: field {leaks[0]} is part of a label, however: "
            f"tier={feature.tier.value!r}: set tier to 'label_defining' or leave the feature out"
        )
