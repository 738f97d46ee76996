"""Clinical tables: columns, schema, and the way from raw rows to network input and back."""

from dymo_med.tabular.cleaning import CleanTable, clean_table
from dymo_med.tabular.column import Column
from dymo_med.tabular.encoding import EncodedTable, decode_table, encode_rows, encode_table
from dymo_med.tabular.schema import TabularSchema

__all__ = [
    "CleanTable",
    "Column",
    "EncodedTable",
    "TabularSchema",
    "clean_table",
    "decode_table",
    "encode_rows",
    "encode_table",
]
