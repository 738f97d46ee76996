"""Subsets of modalities and patterns of missing values."""
