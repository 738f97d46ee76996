"""Ignite and MONAI handlers: prototypes, class statistics, scores, decisions to disk, MLflow."""

from dymo_med.handlers.decisions import DecisionWriter
from dymo_med.handlers.mlflow_run import MLflowMetrics, MLflowRun
from dymo_med.handlers.prototypes import ClassStatisticsFitter, PrototypeUpdater
from dymo_med.handlers.scores import pooled_auroc, subset_aurocs
from dymo_med.handlers.weights import WeightSaver

__all__ = [
    "ClassStatisticsFitter",
    "DecisionWriter",
    "MLflowMetrics",
    "MLflowRun",
    "PrototypeUpdater",
    "WeightSaver",
    "pooled_auroc",
    "subset_aurocs",
]
