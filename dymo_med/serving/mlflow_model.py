"""Code of the packaged model, which MLflow runs when it loads one: everything else is in the installed library."""

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from dymo_med.serving.predictor import Predictor

__all__ = ["DataFrameModel"]


class DataFrameModel(PythonModel):
    """A packaged model as MLflow calls it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the networks from the files of the model folder."""
        self.predictor = Predictor.load(context.artifacts)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow names the arguments
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Predict every row, as :meth:`dymo_med.serving.Predictor.predict` does."""
        return self.predictor.predict(model_input)


mlflow.models.set_model(DataFrameModel())
