"""Ignite and MONAI handlers: prototypes, class statistics, scores, checkpoints, decisions to disk, MLflow."""

from dymo_med.handlers.checkpoint import TrainingCheckpoint
from dymo_med.handlers.decisions import DecisionWriter
from dymo_med.handlers.mlflow_metrics import MLflowMetrics
from dymo_med.handlers.mlflow_run import MLflowRun
from dymo_med.handlers.prototypes import ClassStatisticsFitter, PrototypeUpdater
from dymo_med.handlers.recoveries import RecoveryFitter
from dymo_med.handlers.scores import auprcs, pooled_accuracy, pooled_auroc, subset_aurocs
from dymo_med.handlers.seeding import EpochSeed
from dymo_med.handlers.stopping import EarlyStop
from dymo_med.handlers.weights import WeightSaver

__all__ = [
    "ClassStatisticsFitter",
    "DecisionWriter",
    "EarlyStop",
    "EpochSeed",
    "MLflowMetrics",
    "MLflowRun",
    "PrototypeUpdater",
    "RecoveryFitter",
    "TrainingCheckpoint",
    "WeightSaver",
    "auprcs",
    "pooled_accuracy",
    "pooled_auroc",
    "subset_aurocs",
]
