"""Predictions that R can make as well: every number is a formula of the subject's index."""

import numpy as np
from scipy.special import expit

NUMBER = np.arange(1, 81)
LOG_ODDS = ((NUMBER * 37) % 80) / 80 * 6 - 3
LABEL = expit(0.6 * LOG_ODDS - 0.3) > ((NUMBER * 53) % 97) / 97
RISK = expit(LOG_ODDS)
OTHER_LOG_ODDS = 0.5 * LOG_ODDS + (((NUMBER * 29) % 71) / 71 - 0.5) * 3


def draw(n, seed, share=0.3, ties=False):
    """Labels and risks that have something to do with them."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < share
    risk = expit(rng.normal(size=n) + 1.2 * label - 0.8)
    return label, risk.round(1) if ties else risk
