"""A packaged model to the registry, once."""

from pathlib import Path
from typing import Any

from dymo_med.utils import sha256_of

__all__ = ["send_model"]

_MODEL_TAG = "dymo_med.model"
"""Tag of a version with the id of its model, which MLflow's stores do not all give back."""


def send_model(client: Any, run_id: str, entry: dict[str, Any], folder: Path) -> str:
    """Send a model folder and register it as a version, unless this run has done so.

    Args:
        client: Client of the store.
        run_id: Run that the model belongs to.
        entry: ``name`` of the registered model, ``digest`` of its file ``MLmodel``, ``tags``, ``description``.
        folder: Model folder as MLflow writes it.

    Returns:
        Id of the model.

    Raises:
        ValueError: the folder is gone or holds another model by now.
    """
    from mlflow.entities import LoggedModelOutput

    versions = client.search_model_versions(f"name = '{entry['name']}' and run_id = '{run_id}'")
    if versions:
        return str(versions[0].tags[_MODEL_TAG])
    about = folder / "MLmodel"
    digest = sha256_of(about) if about.is_file() else "absent"
    if digest != entry["digest"]:
        raise ValueError(
            f"a model must be sent as it was packaged, however: MLmodel of {folder.name} has digest {digest[:12]}, "
            f"logged was {entry['digest'][:12]}: evaluate the bundle again"
        )
    _make_registered_model(client, entry)
    experiment_id = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(
        experiment_id, entry["name"], source_run_id=run_id, tags=entry["tags"], model_type="dymo_med"
    )
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.create_model_version(
        entry["name"],
        source=model.artifact_location,  # "models:/..." would be looked up in the store of the environment
        run_id=run_id,
        tags={**entry["tags"], _MODEL_TAG: model.model_id},
        description=entry["description"],
        model_id=model.model_id,
    )
    return str(model.model_id)


def _make_registered_model(client: Any, entry: dict[str, Any]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(entry["name"], description=entry["about"])
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
