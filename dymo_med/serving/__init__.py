"""Trained models outside of bundles: packaged for MLflow, predicting from a data frame."""

from dymo_med.serving.packaging import package_model
from dymo_med.serving.predictor import Predictor

__all__ = ["Predictor", "package_model"]
