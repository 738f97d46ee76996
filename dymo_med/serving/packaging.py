"""A trained model as a folder that MLflow can load: code, settings and tensors, nothing pickled."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from torch import nn

from dymo_med import __version__
from dymo_med.data.cohort import Cohort, image_settings
from dymo_med.inferers import Policy
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.recovery.base import Recovery
from dymo_med.serving.predictor import (
    CLASSIFIER_FILE,
    FORMAT,
    RECOVERIES_FILE,
    SCHEMA_FILE,
    SETTINGS_FILE,
    VERSION,
    output_columns,
)
from dymo_med.tabular import TabularSchema
from dymo_med.tracking import disable_telemetry, pinned_requirements
from dymo_med.utils import process_rank, save_weights, settings_of, write_json

__all__ = ["package_model"]

_SETTINGS = {"MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_CODE = Path(__file__).with_name("mlflow_model.py")


def package_model(
    folder: str | Path,
    *,
    network: MultimodalTransformer,
    recoveries: Sequence[Recovery],
    policy: Policy,
    temperature: float,
    cohort: Cohort,
    class_names: Sequence[str],
    image: str = "image",
    table: str = "table",
) -> Path:
    """Write a model folder that ``mlflow.pyfunc.load_model`` turns into predictions, where dymo_med is installed.

    The folder holds tensors, the schema of the table and the settings of the networks as JSON, and a few lines of code;
    no pickled object, no subject and no path of this machine. All columns are optional: NULL means missing. Its
    ``requirements.txt`` names the versions that it was packaged with.

    Args:
        folder: Folder to write; one that stands there is replaced.
        network: Trained classifier with fitted statistics, not prepared for inference.
        recoveries: Recoveries as prediction uses them, prepared for inference.
        policy: How recovered modalities are selected.
        temperature: Softmax temperature of the confidence.
        cohort: Cohort with the schema and the image size that the network was trained with.
        class_names: Names of the classes in order.
        image: Name of the image modality; the column with paths has this name.
        table: Name of the table modality.

    Returns:
        The folder.

    Raises:
        RuntimeError: the class statistics are not fitted.
        TypeError: a network or recovery is of a class that cannot be built again.
    """
    folder = Path(folder)
    if process_rank() != 0:
        return folder
    if not bool(network.statistics.is_fitted):
        raise RuntimeError(
            "a model is packaged with fitted class statistics, however: is_fitted=False: train the bundle to its end"
        )
    disable_telemetry()
    size, spacing_mm = image_settings(cohort)
    settings = {
        "format": FORMAT,
        "version": VERSION,
        "dymo_med": __version__,
        "class_names": list(class_names),
        **policy.to_record(),
        "temperature": temperature,
        "image": image,
        "table": table,
        "image_size": size,
        "image_spacing_mm": spacing_mm,
        "classifier": settings_of(network),
        "recoveries": [settings_of(recovery) for recovery in recoveries],
    }
    with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".model-") as name:
        parts, model = Path(name) / "parts", Path(name) / "model"
        write_json(parts / SETTINGS_FILE, settings)
        cohort.schema.to_json(parts / SCHEMA_FILE)
        save_weights(parts / CLASSIFIER_FILE, network.state_dict())
        save_weights(parts / RECOVERIES_FILE, _states(recoveries))
        _save(model, parts, image, cohort.schema, class_names)
        shutil.rmtree(folder, ignore_errors=True)
        model.rename(folder)
    return folder


def _states(recoveries: Sequence[nn.Module]) -> dict[str, Any]:
    return {str(at): dict(recovery.state_dict()) for at, recovery in enumerate(recoveries)}


def _save(model: Path, parts: Path, image: str, schema: TabularSchema, class_names: Sequence[str]) -> None:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, about types of its own and about pandas
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            model,
            python_model=str(_CODE),
            artifacts={path.name: str(path) for path in sorted(parts.iterdir())},
            signature=_signature(image, schema, class_names),
            input_example=_example(image, schema),
            pip_requirements=pinned_requirements() or [f"dymo-med=={__version__}"],
        )
    _forget_origin(model / "MLmodel")


def _signature(image: str, schema: TabularSchema, class_names: Sequence[str]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    kinds = {"categorical": "string", "continuous": "double"}
    inputs: list[ColSpec | TensorSpec] = [ColSpec("string", image, required=False)]
    inputs += [ColSpec(kinds[column.kind], column.name, required=False) for column in schema.columns]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec("double" if name.startswith("probability") else "string", name, required=name == "status")
        for name in output_columns(
            class_names
        )  # a row without a prediction has a status and a reason, others no reason
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _example(image: str, schema: TabularSchema) -> pd.DataFrame:
    """Give a row of nobody: training means and first categories, no image."""
    values = {
        column.name: column.categories[0] if column.kind == "categorical" else column.statistics[0]
        for column in schema.columns
    }
    return pd.DataFrame({image: pd.Series([None], dtype="object"), **{name: [value] for name, value in values.items()}})


def _forget_origin(about: Path) -> None:
    """Replace the places that the parts were copied from by their places in the model folder."""
    content = yaml.safe_load(about.read_text(encoding="utf-8"))
    flavor = content["flavors"]["python_function"]
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    flavor["model_code_path"] = _CODE.name
    about.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
