"""The method, beside the paper: distances, class statistics, similarity, reward, strategies and their trace."""

from dymo_med.selection.distances import class_scores, normalize, radial_distance
from dymo_med.selection.fusions import FusedStates
from dymo_med.selection.reward import confidence, ics_weight_of, intra_class_similarity, reward
from dymo_med.selection.statistics import ClassMoments, ClassStatistics
from dymo_med.selection.strategies import select
from dymo_med.selection.tokens import Fuse, Fused, TokenBank, Tokens
from dymo_med.selection.trace import Selection, SelectionStep, SelectionTrace

__all__ = [
    "ClassMoments",
    "ClassStatistics",
    "Fuse",
    "Fused",
    "FusedStates",
    "Selection",
    "SelectionStep",
    "SelectionTrace",
    "TokenBank",
    "Tokens",
    "class_scores",
    "confidence",
    "ics_weight_of",
    "intra_class_similarity",
    "normalize",
    "radial_distance",
    "reward",
    "select",
]
