"""Published weights of DyMo and TIP, in and out, and the table and cohort that they need."""

from dymo_med.interop.cohort import with_schema
from dymo_med.interop.conversion import PublishedModel, load_published
from dymo_med.interop.encoders import read_field_lengths
from dymo_med.interop.export import export_published
from dymo_med.interop.schema import complete_columns, published_columns, published_schema
from dymo_med.interop.writing import write_published

__all__ = [
    "PublishedModel",
    "complete_columns",
    "export_published",
    "load_published",
    "published_columns",
    "published_schema",
    "read_field_lengths",
    "with_schema",
    "write_published",
]
