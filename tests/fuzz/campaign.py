"""Many damaged files, one after the other, each under guard."""

import logging
import shutil
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.fuzz.guards import WATCH, Clock, Hang, peak_memory_mib, time_limit
from tests.fuzz.targets import EID, Material, targets

SECONDS_PER_FILE = 60  # on a machine with other work; a quiet one needs two


@dataclass
class Report:
    """What happened: outcomes by target, faults of the project, the slowest file, growth of memory."""

    outcomes: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    growth_mib: float = 0.0
    hungriest: str = ""

    def __str__(self):
        lines = [f"{count:6d}  {target}: {outcome}" for (target, outcome), count in sorted(self.outcomes.items())]
        lines.append(f"{sum(self.outcomes.values()):6d}  files; slowest {self.slowest_s:.2f} s ({self.slowest})")
        lines.append(f"        peak memory grew by {self.growth_mib:.0f} MiB at most at one file ({self.hungriest})")
        lines.append(f"{len(self.faults):6d}  faults of the project")
        return "\n".join(lines + self.faults)


def run(n_files, folder, seed=0, only=None):
    """Damage and read ``n_files`` files; file ``i`` of a seed is the same in every campaign.

    Args:
        n_files: How many.
        folder: Empty folder to work in.
        seed: Another seed, other files.
        only: Number of the one file to read, to see a fault again.
    """
    material = Material(folder / "material")
    kinds = targets(material)
    weights = np.array([kind.weight for kind in kinds])
    report = Report()
    for index in range(n_files) if only is None else [only]:
        rng = np.random.default_rng([seed, index])
        kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
        place = folder / "work"
        place.mkdir()
        name = f"{kind.name}, seed {seed}, file {index}"
        path = kind.make(rng, place)
        before = peak_memory_mib()
        with Clock() as clock:
            outcome, fault = _read(kind, path, folder)
        if (growth := peak_memory_mib() - before) > report.growth_mib:
            report.growth_mib, report.hungriest = growth, name
        report.outcomes[kind.name, outcome] += 1
        if fault:
            report.faults.append(f"{name}: {fault}")
        if clock.seconds > report.slowest_s:
            report.slowest_s, report.slowest = clock.seconds, name
        shutil.rmtree(place)
        if left := [path.name for path in folder.iterdir() if path.name != "material"]:
            report.faults.append(f"{name}: left behind {left}")
    report.faults += [f"written outside: {path}" for path in WATCH.outside]
    WATCH.outside.clear()
    return report


def _read(kind, path, folder):
    """Give the outcome, and what is wrong with it if anything."""
    heard = _Listener()
    logging.getLogger().addHandler(heard)
    try:
        with warnings.catch_warnings(record=True) as told, WATCH.only(folder), time_limit(SECONDS_PER_FILE):
            warnings.simplefilter("always")
            kind.read(path)
        outcome, text = "read", ""
    except kind.faults as err:
        outcome, text = "refused", str(err)
    except Hang as err:
        return "hang", str(err)
    except BaseException as err:  # noqa: BLE001 - anything else is what this campaign looks for
        return "crash", f"{type(err).__name__}: {err}"
    finally:
        logging.getLogger().removeHandler(heard)
    texts = [text, *(str(warning.message) for warning in told), *heard.lines]
    return outcome, _text_fault(outcome, text, texts, folder)


def _text_fault(outcome, text, texts, folder):
    if any(EID in said for said in texts):
        return "a registry id is told"
    if outcome == "refused" and ("\n" in text or not text.strip()):
        return f"no single line: {text[:200]!r}"
    if outcome == "refused" and "Traceback" in text:
        return "a traceback is told"
    return ""


class _Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())
