"""Every strategy and recovery under many missing patterns, on the same subjects."""

from dymo_med.evaluation.sweep.cells import Cell, Mechanism, cells_of, families_of, usual_mechanisms
from dymo_med.evaluation.sweep.engine import PREDICTIONS_FILE, sweep
from dymo_med.evaluation.sweep.stages import choose_on_validation, tabulate_sweep
from dymo_med.evaluation.sweep.summary import summarize_sweep

__all__ = [
    "PREDICTIONS_FILE",
    "Cell",
    "Mechanism",
    "cells_of",
    "choose_on_validation",
    "families_of",
    "summarize_sweep",
    "sweep",
    "tabulate_sweep",
    "usual_mechanisms",
]
