import re

import pytest
import yaml

from dymo_med.data.ukbb import DEFAULT_TIERS, Tier, load_catalogue

SEX = {
    "name": "sex", "title": "Sex", "kind": "categorical", "rule": "code", "tier": "risk_factor", "family": "person",
    "fields": [31], "visit": "baseline", "categories": {0: "female", 1: "male"},
}  # fmt: skip
WEIGHT = {
    "name": "weight_kg", "title": "Weight", "kind": "continuous", "rule": "number", "tier": "measurement",
    "family": "body", "fields": [21002], "unit": "kg", "range": [25, 300],
}  # fmt: skip
STROKE = {
    "name": "stroke", "title": "Stroke", "kind": "categorical", "rule": "ever", "tier": "risk_factor",
    "family": "history", "evidence": [{"field": 6150, "codes": [3]}], "categories": {0: "no", 1: "yes"},
}  # fmt: skip
CODINGS = {6150: {"answers": [1, 2, 3, 4, -7], "unanswered": [-3]}}

# Published order, kind and number of classes (1 = continuous) of the 75 columns.
PUBLISHED_CLASSES = [2] * 13 + [3, 6, 4, 3, 3, 8, 8, 8, 3, 8, 3, 4, 3] + [1] * 49


def load(tmp_path, *features, codings=CODINGS, **others):
    path = tmp_path / "own.yaml"
    content = {"version": 1, "codings": codings, "features": list(features)} | others
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_catalogue(path)


class TestPackaged:
    def test_all_published_features_are_there_in_order(self):
        published = [feature for feature in load_catalogue().features if feature.published_index is not None]
        assert [feature.published_index for feature in published] == list(range(75))
        assert [len(feature.column().categories) or 1 for feature in published] == PUBLISHED_CLASSES
        assert sum(count for count in PUBLISHED_CLASSES if count > 1) == 90
        assert len({feature.published_title for feature in published}) == 75

    @pytest.mark.parametrize(
        ("index", "title", "field"),
        [
            (0, "Shortness of breath walking on level ground-2.0", 4717),
            (14, "Alcohol intake frequency.-2.0", 1558),
            (27, "Systolic blood pressure-2.mean", 4080),
            (32, "Body mass index (BMI)-2.0", 21001),
            (36, "Weight-2.0", 21002),
            (65, "LVESV (mL)", 24101),
            (66, "LVEDV (mL)", 24100),
            (74, "RVEF (%)", 24109),
        ],
    )
    def test_published_titles_keep_their_field(self, index, title, field):
        feature = next(item for item in load_catalogue().features if item.published_index == index)
        assert (feature.published_title, feature.fields[0]) == (title, field)

    def test_age_and_height_are_added(self):
        added = [feature.name for feature in load_catalogue().features if feature.published_index is None]
        assert added == ["age_at_scan_years", "standing_height_cm"]

    def test_every_continuous_feature_has_a_range_and_a_unit_in_its_name(self):
        for feature in load_catalogue().features:
            if feature.kind == "continuous":
                assert feature.low < feature.high
                unit_words = re.split(r"[/ ]", feature.unit.lower().replace("%", "percent").replace("1/min", "bpm"))
                assert all(word.rstrip("s") in feature.name for word in unit_words), feature.name

    def test_tiers(self):
        tiers = {feature.name: feature.tier for feature in load_catalogue().features}
        assert tiers["angina_diagnosed"] == Tier.LABEL_DEFINING
        consequences = {name for name, tier in tiers.items() if tier == Tier.CONSEQUENCE}
        assert consequences == {
            "cholesterol_medication_ever", "blood_pressure_medication_ever", "long_standing_illness",
            "overall_health_rating",
        }  # fmt: skip
        image_derived = [f.fields[0] for f in load_catalogue().features if f.tier == Tier.IMAGE_DERIVED]
        assert sorted(image_derived) == [22424, 22425, 22426, *range(24100, 24110)]

    def test_unable_to_walk_is_no_walk(self):
        walking = next(item for item in load_catalogue().features if item.fields == (864,))
        assert walking.categories[-2] == walking.categories[0] == walking.column().categories[0]

    def test_columns(self):
        columns = {feature.name: feature.column() for feature in load_catalogue().features}
        pressure = columns["systolic_blood_pressure_mmhg"]
        assert (pressure.kind, pressure.unit, pressure.low, pressure.high) == ("continuous", "mmHg", 50, 300)
        assert pressure.source == "UK Biobank field 4080, 93, imaging visit, mean of the readings"
        assert pressure.mean is None
        assert pressure.std is None
        assert columns["sex"].categories == ("female", "male")
        assert columns["sex"].source == "UK Biobank field 31, first visit"
        assert columns["stroke_diagnosed"].source == "UK Biobank field 6150, 4056, up to the imaging visit"


class TestSelect:
    def test_defaults_leave_consequences_and_image_derived_out(self):
        names = [feature.name for feature in load_catalogue().select()]
        assert "age_at_scan_years" in names
        assert "lv_mass_g" not in names
        assert "cholesterol_medication_ever" not in names
        assert "angina_diagnosed" not in names

    def test_consequences_and_image_derived_on_demand(self):
        assert len(load_catalogue().select([*DEFAULT_TIERS, Tier.CONSEQUENCE])) == 63
        assert len(load_catalogue().select([*DEFAULT_TIERS, Tier.IMAGE_DERIVED])) == 72

    def test_names_keep_their_order(self):
        chosen = load_catalogue().select(names=["weight_kg", "overall_health_rating", "sex"])
        assert [feature.name for feature in chosen] == ["weight_kg", "overall_health_rating", "sex"]

    def test_refusals(self):
        catalogue = load_catalogue()
        with pytest.raises(ValueError, match=r"define a label cannot be inputs, however: \['angina_diagnosed'\]"):
            catalogue.select(list(Tier))
        with pytest.raises(ValueError, match="cannot be inputs"):
            catalogue.select(names=["angina_diagnosed"])
        with pytest.raises(ValueError, match=r"has no 'weight': did you mean 'weight_kg'"):
            catalogue.select(names=["weight"])
        with pytest.raises(ValueError, match="77 features has no 'zzz': add it to a catalogue"):
            catalogue.select(names=["zzz"])
        with pytest.raises(ValueError, match=r"tiers must be among .* however: \['leak'\]"):
            catalogue.select(["leak"])


class TestOwnCatalogue:
    def test_is_read(self, tmp_path):
        catalogue = load(tmp_path, SEX, WEIGHT, STROKE)
        assert [feature.name for feature in catalogue.features] == ["sex", "weight_kg", "stroke"]
        assert catalogue.features[2].sources == {6150}
        assert catalogue.codings[6150].known == {1, 2, 3, 4, -7, -3}

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            (SEX | {"rule": "guess"}, "'sex': rule must be one of .* however: rule='guess'"),
            ({k: v for k, v in SEX.items() if k != "categories"}, r"rule 'code' needs \['categories'\]"),
            (SEX | {"unit": "kg"}, r"rule 'code' knows no \['unit'\]"),
            (SEX | {"name": "Sex"}, "'Sex': a name must be snake_case"),
            (SEX | {"kind": "continuous"}, "rule 'code' makes categorical features, however: kind='continuous'"),
            (SEX | {"visit": "later"}, "visit must be 'scan' or 'baseline', however: visit='later'"),
            (SEX | {"tier": "leak"}, "tier must be one of .* however: tier='leak'"),
            (SEX | {"fields": [31, 32]}, r"rule 'code' reads 1 fields, however: fields=\[31, 32\]"),
            (SEX | {"fields": ["31"]}, r"fields must be a list of whole numbers, however: fields=\['31'\]"),
            (SEX | {"categories": {0: False, 1: True}}, r"put yes and no into quotes\), however: \[False, True\]"),
            (SEX | {"categories": {0: "a", 1: "a"}}, r"two labels or more, however: \['a'\]"),
            (SEX | {"categories": ["a", "b"]}, "must map codes to labels"),
            (WEIGHT | {"range": [300, 25]}, r"the lower first, or null for no bound, however: range=\[300, 25\]"),
            (WEIGHT | {"range": [0, float("nan")]}, "two finite numbers"),
            (WEIGHT | {"reduction": "median"}, "reduction must be 'first' or 'mean', however: reduction='median'"),
            (WEIGHT | {"skip": {"field": 6150, "value": 0}}, "codes in either 'any_of' or 'none_of'"),
            (
                WEIGHT | {"skip": {"field": 864, "any_of": [0], "value": 0}},
                r"field 864 must have a coding .*\[0\] lack",
            ),
            (SEX | {"skip": {"field": 6150, "any_of": [1], "value": "x"}}, "one of the categories, however: value='x'"),
            (STROKE | {"evidence": [{"field": 6150, "codes": [8]}]}, r"however: \[8\] lack"),
            (STROKE | {"evidence": [{"field": 6150}]}, "needs either 'codes' or 'ages: true'"),
            (STROKE | {"categories": {0: "none", 1: "yes"}}, "rule 'ever' must be 0"),
            ("sex", "'sex': 'str' object has no attribute"),
        ],
    )
    def test_entries_are_checked(self, tmp_path, entry, message):
        with pytest.raises(ValueError, match=rf"feature catalogue own\.yaml, feature .*{message}"):
            load(tmp_path, entry)

    @pytest.mark.parametrize(
        "entry",
        [
            STROKE | {"evidence": [{"field": 6150, "codes": [1]}]},
            STROKE | {"evidence": [{"field": 6150, "codes": [2, 3]}]},
            STROKE | {"evidence": [{"field": 3894, "ages": True}]},
            SEX | {"fields": [42000]},
            WEIGHT | {"fields": [21002, 41270]},
        ],
    )
    def test_label_ingredients_are_refused_as_inputs(self, tmp_path, entry):
        with pytest.raises(ValueError, match="is part of a label, however: tier="):
            load(tmp_path, entry)
        assert load(tmp_path, entry | {"tier": "label_defining"}).features[0].tier == Tier.LABEL_DEFINING

    def test_names_and_published_positions_are_used_once(self, tmp_path):
        with pytest.raises(ValueError, match=r"own\.yaml uses a name twice: \['sex'\]"):
            load(tmp_path, SEX, SEX)
        first = SEX | {"published": {"index": 1, "title": "Sex"}}
        with pytest.raises(ValueError, match=r"uses a published index twice: \['1'\]"):
            load(tmp_path, first, WEIGHT | {"published": {"index": 1, "title": "Weight"}})

    def test_codings_are_checked(self, tmp_path):
        with pytest.raises(ValueError, match=r"coding of field 6150: 'answers' and 'unanswered' must list codes"):
            load(tmp_path, SEX, codings={6150: {"answers": [1]}})

    def test_file_is_checked(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no feature catalogue own\.yaml"):
            load_catalogue(tmp_path / "own.yaml")
        with pytest.raises(ValueError, match=r"must hold 'version: 1'.* however: .*'features'"):
            load(tmp_path, SEX, version=2)
        (tmp_path / "own.yaml").write_text("features: [")
        with pytest.raises(ValueError, match=r"own\.yaml is not valid YAML"):
            load_catalogue(tmp_path / "own.yaml")
        (tmp_path / "own.yaml").write_text("- sex")
        with pytest.raises(ValueError, match="however: list"):
            load_catalogue(tmp_path / "own.yaml")
