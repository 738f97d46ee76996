"""UK Biobank: phenotype tables in every dialect to features and labels of pseudonymous subjects."""

from dymo_med.data.ukbb.catalogue import DEFAULT_TIERS, Catalogue, Coding, Evidence, Feature, Skip, Tier
from dymo_med.data.ukbb.catalogue_file import load_catalogue, load_published_catalogue
from dymo_med.data.ukbb.download import UKBBDownload, read_download, read_images
from dymo_med.data.ukbb.label_file import load_labels
from dymo_med.data.ukbb.label_sets import LabelCatalogue, LabelSet
from dymo_med.data.ukbb.labels import Timing, When
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
    "When",
    "load_catalogue",
    "load_labels",
    "load_published_catalogue",
    "read_download",
    "read_images",
]
