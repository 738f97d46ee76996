"""A cohort ready for training or prediction: one folder with tables, images, schema, and who was set aside why."""

from dymo_med.data.cohort.images import read_model_image
from dymo_med.data.cohort.reading import Cohort
from dymo_med.data.cohort.writing import write_cohort

__all__ = ["Cohort", "read_model_image", "write_cohort"]
