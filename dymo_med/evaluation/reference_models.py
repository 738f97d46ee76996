"""What simpler models reach on the same split: age and sex, the table alone, one modality of the network alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.tabular import TabularSchema

__all__ = ["modality_alone", "table_references"]

Items = Sequence[Mapping[str, Any]]
FloatArray = NDArray[np.float64]
PATTERN = "nothing hidden"


def table_references(
    train_items: Items, test_items: Items, schema: TabularSchema, *, basic_columns: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Fit models of the table on training subjects and predict test subjects.

    ``"age and sex"``, or what ``basic_columns`` are called: logistic regression without penalty. ``"table, logistic
    regression"``: all columns, ridge penalty 1. ``"table, gradient boosting"``: histogram gradient boosting, which
    reads missing cells itself. The logistic ones take median or mode and an indicator where a cell is missing.

    Args:
        train_items: Labeled datalist of the training split (``Cohort.items``); nothing else is fitted on.
        test_items: Labeled datalist to predict.
        schema: Schema of the table.
        basic_columns: Columns of the first model.
        seed: Seed of the boosting.

    Returns:
        Columns ``subject_id``, ``pattern``, ``strategy`` (the model), ``label``, ``probability``, ``fused`` (empty), as
        :func:`~dymo_med.evaluation.compare_strategies` takes them. Test subjects without any cell of a model's columns
        have no row for it.

    Raises:
        ValueError: a basic column is not in the schema, labels are absent, or training has one class only.
    """
    absent = [name for name in basic_columns if name not in schema.names]
    if absent or not basic_columns:
        raise ValueError(f"basic columns must be of the table, however: {absent or 'none given'} of {schema.names[:5]}")
    x, label = _table(train_items, schema), _labels(train_items, "training")
    if len(set(label.tolist())) < 2:
        raise ValueError(f"reference models need two classes, however: {len(label)} training subjects have one")
    test, test_label = _table(test_items, schema), _labels(test_items, "test")
    everything = list(range(schema.n_columns))
    basic = [schema.names.index(name) for name in basic_columns]
    n_categorical = len(schema.cat_cardinalities)
    boosting = HistGradientBoostingClassifier(
        categorical_features=list(range(n_categorical)) or None, random_state=seed
    )
    models = {
        " and ".join(basic_columns): (_logistic(basic, n_categorical, np.inf), basic),
        "table, logistic regression": (_logistic(everything, n_categorical, 1.0), everything),
        "table, gradient boosting": (boosting, everything),
    }
    tables = []
    for name, (model, columns) in models.items():
        known = np.atleast_1d(~np.isnan(test[:, columns]).all(axis=1))
        probability = model.fit(x, label).predict_proba(test[known])[:, 1]
        subjects = [
            str(item["subject_id"]) for item, is_known in zip(test_items, known.tolist(), strict=True) if is_known
        ]
        tables.append(_frame(subjects, name, test_label[known], probability))
    return pd.concat(tables, ignore_index=True)


@torch.no_grad()
def modality_alone(network: MultimodalTransformer, loader: Any, modality: str) -> pd.DataFrame:
    """Predict from one modality by the network itself, which was trained with every subset.

    Args:
        network: Trained network of two classes; set to evaluation mode.
        loader: Batches of labeled subjects with every modality and its mask, ``label`` and ``subject_id``.
        modality: The modality.

    Returns:
        As :func:`table_references`, strategy ``"<modality> alone"``; subjects without the modality have no row.

    Raises:
        KeyError: the network has no such modality.
    """
    if modality not in network.modalities:
        raise KeyError(f"modality must be one of {list(network.modalities)}, however: {modality!r}")
    network.eval()
    device = network.cls_token.device
    tables = []
    for batch in loader:
        missing = batch[f"{modality}_missing"].to(device)
        tokens = network.encode(modality, batch[modality].to(device), missing)
        present = ~tokens.missing.all(1).cpu()
        probability = torch.softmax(network.fuse({modality: tokens}).logits.double(), -1)[:, 1].cpu()[present]
        subjects = [str(name) for name, is_there in zip(batch["subject_id"], present.tolist(), strict=True) if is_there]
        label = torch.as_tensor(batch["label"])[present].numpy()
        tables.append(_frame(subjects, f"{modality} alone", label, probability.numpy()))
    return pd.concat(tables, ignore_index=True)


def _logistic(columns: Sequence[int], n_categorical: int, strength: float) -> Pipeline:
    """Make a logistic regression; ``strength`` is the inverse of the penalty."""
    categorical = [column for column in columns if column < n_categorical]
    numeric = [column for column in columns if column >= n_categorical]
    coded = make_pipeline(
        SimpleImputer(strategy="most_frequent", keep_empty_features=True),
        OneHotEncoder(handle_unknown="ignore", drop="first"),
    )
    scaled = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    prepare = ColumnTransformer([("categories", coded, categorical), ("numbers", scaled, numeric)])
    return make_pipeline(prepare, LogisticRegression(C=strength, max_iter=5000))


def _table(items: Items, schema: TabularSchema) -> FloatArray:
    """Give the encoded tables (N, F), nan where a cell is missing."""
    empty = np.full(schema.n_columns, np.nan)
    rows = [
        empty if item["table"] is None else np.where(item["table_missing"], np.nan, item["table"]) for item in items
    ]
    return np.stack(rows).astype(np.float64)


def _labels(items: Items, split: str) -> NDArray[np.int64]:
    absent = sum("label" not in item for item in items)
    if absent or not items:
        raise ValueError(f"{split} subjects need labels, however: {absent} of {len(items)} have none: name the task")
    return np.array([item["label"] for item in items], dtype=np.int64)


def _frame(subjects: Sequence[str], name: str, label: Any, probability: Any) -> pd.DataFrame:
    columns = {"subject_id": subjects, "pattern": PATTERN, "strategy": name, "label": label}
    return pd.DataFrame(columns | {"probability": probability, "fused": ""})
