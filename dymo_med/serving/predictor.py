"""From a data frame of file names and raw table values to predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from dymo_med.data.cohort import image_source, read_model_image
from dymo_med.handlers.decisions import describe, flat_record
from dymo_med.inferers import Policy, SelectionInferer
from dymo_med.networks import prepare_for_inference
from dymo_med.networks.nets import ModalityEncoder, MultimodalTransformer
from dymo_med.recovery.base import Recovery
from dymo_med.tabular import TabularSchema, encode_rows
from dymo_med.utils import SubjectError, build_from, load_weights, read_json

__all__ = ["CLASSIFIER_FILE", "RECOVERIES_FILE", "SCHEMA_FILE", "SETTINGS_FILE", "Predictor", "output_columns"]

FORMAT, VERSION = "dymo_med model", 1
SETTINGS_FILE = "settings.json"
SCHEMA_FILE = "schema.json"
CLASSIFIER_FILE = "classifier.pt"
RECOVERIES_FILE = "recoveries.pt"

_BATCH = 32
_COLUMNS = ("status", "reason", "predicted_class", "probability", "observed", "recovered", "fused")


@dataclass(frozen=True)
class Predictor:
    """A trained classifier with its recoveries, from raw values to a table of predictions.

    Args:
        network: Classifier with fitted statistics.
        inferer: Recovers, selects and fuses; its only policy is the one to predict with.
        schema: Columns of the table.
        class_names: Names of the classes in order.
        image: Name of the image modality.
        table: Name of the table modality.
        image_size: Rows and columns of the model image.
        image_spacing_mm: Pixel size of the model image; None for images made as published.
    """

    network: MultimodalTransformer
    inferer: SelectionInferer
    schema: TabularSchema
    class_names: tuple[str, ...]
    image: str
    table: str
    image_size: int
    image_spacing_mm: float | None

    @classmethod
    def load(cls, files: Mapping[str, str | Path]) -> "Predictor":
        """Build a predictor from the files that :func:`dymo_med.serving.package_model` wrote.

        Args:
            files: The four files by name.

        Raises:
            FileNotFoundError: a file is absent.
            ValueError: a file is damaged, of another version, or does not fit the others.
        """
        settings = read_json(files[SETTINGS_FILE])
        found = (settings.get("format"), settings.get("version"))
        if found != (FORMAT, VERSION):
            raise ValueError(
                f"{SETTINGS_FILE} must be of format {(FORMAT, VERSION)}, however: {found}: use the release of dymo_med "
                f"{settings.get('dymo_med', 'that wrote it')}"
            )
        network = prepare_for_inference(
            _with_state(build_from(settings["classifier"]), load_weights(files[CLASSIFIER_FILE]))
        )
        states = load_weights(files[RECOVERIES_FILE])
        recoveries: list[Recovery] = [
            _with_state(prepare_for_inference(build_from(entry)), states[str(at)])
            for at, entry in enumerate(settings["recoveries"])
        ]
        policy = Policy.from_record({name: settings[name] for name in ("strategy", "ics_weight", "threshold")})
        return cls(
            network=network,
            inferer=SelectionInferer(recoveries, {"prediction": policy}, settings["temperature"]),
            schema=TabularSchema.from_json(files[SCHEMA_FILE]),
            class_names=tuple(settings["class_names"]),
            image=settings["image"],
            table=settings["table"],
            image_size=settings["image_size"],
            image_spacing_mm=settings["image_spacing_mm"],
        )

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Predict every row.

        Args:
            frame: The image column, with a path to a .zip of DICOM files, a 4D .nii.gz, or "ed.nii.gz;es.nii.gz"; and
                the columns of the schema with raw values. A cell that is NULL, and a column that is not there, are
                missing. Other columns are not read.

        Returns:
            One row for each, under the same index: ``status``, ``reason`` where there is no prediction, the predicted
            class, the probability of the last class and of each, what was observed, recovered and fused.
        """
        rows = frame.reset_index(drop=True)
        encoded, problems = encode_rows(self._raw_table(rows), self.schema)
        reasons = {int(str(row)): str(problem) for row, problem in problems.items()}
        tables = {int(row): at for at, row in enumerate(encoded.subject_ids)}
        records: dict[int, dict[str, Any]] = {}
        for start in range(0, len(rows), _BATCH):
            images, batch = {}, []
            for row in range(start, min(start + _BATCH, len(rows))):
                if row in reasons:
                    continue
                try:
                    images[row] = self._image(rows, row)
                    batch.append(row)
                except SubjectError as err:
                    reasons[row] = str(err)
            at = [tables[row] for row in batch]
            for row, record in zip(
                batch, self._predicted(images, encoded.values[at], encoded.missing[at]), strict=True
            ):
                records[row] = record
        refused = {row: {"status": "no prediction", "reason": reason} for row, reason in reasons.items()}
        flat = [flat_record({**records, **refused}[row]) for row in range(len(rows))]
        return pd.DataFrame(flat, columns=output_columns(self.class_names)).set_axis(frame.index)

    def _raw_table(self, rows: pd.DataFrame) -> pd.DataFrame:
        table = pd.DataFrame({name: rows.get(name) for name in self.schema.names}, index=rows.index)
        return table.set_axis(rows.index.astype("str"))

    def _image(self, rows: pd.DataFrame, row: int) -> npt.NDArray[np.float32] | None:
        text = rows[self.image][row] if self.image in rows.columns else None
        if pd.isna(text) or not str(text).strip():
            return None
        source = image_source(str(text), Path())
        return read_model_image(source, size=self.image_size, spacing_mm=self.image_spacing_mm)[0]

    def _predicted(
        self,
        images: Mapping[int, npt.NDArray[np.float32] | None],
        values: npt.NDArray[np.float32],
        missing: npt.NDArray[np.bool_],
    ) -> Sequence[dict[str, Any]]:
        if not images:
            return []
        shape = cast(ModalityEncoder, self.network.encoders[self.image]).input_shape
        tensors = [torch.zeros(shape) if image is None else torch.from_numpy(image) for image in images.values()]
        selection = self.inferer(
            torch.stack(tensors),
            self.network,
            **{
                self.table: torch.from_numpy(values),
                f"{self.image}_missing": torch.tensor([image is None for image in images.values()]),
                f"{self.table}_missing": torch.from_numpy(missing),
            },
        )["prediction"]
        return describe(selection, self.class_names)


def output_columns(class_names: Sequence[str]) -> list[str]:
    """Give the columns of a table of predictions.

    Example:
        >>> output_columns(["healthy", "ill"])[-2:]
        ['probability_healthy', 'probability_ill']
    """
    return [*_COLUMNS, *(f"probability_{name}" for name in class_names)]


def _with_state(network: Any, state: Mapping[str, Any]) -> Any:
    network.load_state_dict(state)
    return network
