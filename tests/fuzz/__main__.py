"""``python -m tests.fuzz 2000``: a campaign of this size; ``--only 17`` reads one of its files again."""

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from tests.fuzz.campaign import run

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Read damaged files.")
parser.add_argument("n_files", type=int)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--only", type=int)
arguments = parser.parse_args()
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as name:
    report = run(arguments.n_files, Path(name), arguments.seed, arguments.only)
sys.stdout.write(f"{report}\n")
sys.exit(bool(report.faults))
