"""Simulated UK Biobank download: a phantom cohort for demonstrations and tests, without any claim about patients."""

from dymo_med.data.synthetic.acquisition import PhantomImageSize
from dymo_med.data.synthetic.download import PhantomSummary, write_phantom_download
from dymo_med.data.synthetic.faults import PhantomFault

__all__ = ["PhantomFault", "PhantomImageSize", "PhantomSummary", "write_phantom_download"]
