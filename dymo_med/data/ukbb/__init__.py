"""UK Biobank: phenotype tables in every dialect to features and labels of pseudonymous subjects."""

from dymo_med.data.ukbb.catalogue import DEFAULT_TIERS, Catalogue, Coding, Evidence, Feature, Skip, Tier
from dymo_med.data.ukbb.catalogue_file import load_catalogue
from dymo_med.data.ukbb.download import UKBBDownload, read_download
from dymo_med.data.ukbb.label_sets import LabelCatalogue, LabelSet, load_labels
from dymo_med.data.ukbb.labels import Timing
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer

__all__ = [
    "DEFAULT_TIERS",
    "Catalogue",
    "Coding",
    "Evidence",
    "Feature",
    "LabelCatalogue",
    "LabelSet",
    "Pseudonymizer",
    "Skip",
    "Tier",
    "Timing",
    "UKBBDownload",
    "load_catalogue",
    "load_labels",
    "read_download",
]
