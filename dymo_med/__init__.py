"""DyMo for medicine: dynamic modality selection for incomplete images and tables, as a MONAI plug-in."""

__version__ = "0.1.0"
