"""Seeds that follow from numbers, so that nothing has to remember what was drawn before."""

import numpy as np

__all__ = ["derived_seed"]


def derived_seed(*numbers: int) -> int:
    """Give a seed that depends on all numbers and on their order, such as seed, epoch and sample.

    Args:
        numbers: Integers of at least 0.

    Returns:
        An integer in [0, 2^32).

    Example:
        >>> derived_seed(2022, 1) == derived_seed(2022, 1), derived_seed(2022, 1) == derived_seed(2022, 2)
        (True, False)
    """
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1)[0])
