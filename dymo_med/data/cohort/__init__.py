"""A cohort ready for training or prediction: one folder with tables, images, schema, and who was set aside why."""

from dymo_med.data.cohort.facts import dataset_facts, image_settings
from dymo_med.data.cohort.images import image_source, read_model_image
from dymo_med.data.cohort.reading import Cohort
from dymo_med.data.cohort.writing import write_cohort, write_cohort_shard

__all__ = [
    "Cohort",
    "dataset_facts",
    "image_settings",
    "image_source",
    "read_model_image",
    "write_cohort",
    "write_cohort_shard",
]
