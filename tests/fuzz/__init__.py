"""Mutated files of every kind that the project reads: each ends in a result or in one clear line."""
