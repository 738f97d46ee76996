"""A bar for people, lines in the log for batch jobs."""

import io
import itertools
import logging
import sys
import time

import pytest

from dymo_med.utils import progress_bar


def shown(monkeypatch, *, watched, seconds):
    """What stands on the error stream after four blocks that took so long each."""
    stream, clock = io.StringIO(), itertools.count(0, seconds)
    stream.isatty = lambda: watched
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        if not watched:
            patch.setattr(time, "monotonic", lambda: float(next(clock)))
        with progress_bar("test subjects", "block") as show:
            for done in range(1, 5):
                show(done, 4)
    return stream.getvalue()


def test_a_bar_is_drawn_on_a_terminal(monkeypatch, caplog):
    with caplog.at_level(logging.INFO, logger="dymo_med"):
        text = shown(monkeypatch, watched=True, seconds=0)
    assert "test subjects: 100%" in text
    assert "4/4" in text
    assert not caplog.messages


@pytest.mark.parametrize(("seconds", "lines"), [(5, []), (15, [4]), (40, [2, 4])])
def test_elsewhere_a_line_a_minute_is_logged(monkeypatch, caplog, seconds, lines):
    with caplog.at_level(logging.INFO, logger="dymo_med"):
        assert not shown(monkeypatch, watched=False, seconds=seconds)
    assert caplog.messages == [f"test subjects: {done} of 4 blocks" for done in lines]
