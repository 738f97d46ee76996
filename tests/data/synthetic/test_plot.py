import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "scripts" / "plot_phantom.py"


def test_script_draws_a_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "argv", ["plot_phantom.py", "--output", str(tmp_path / "phantom.png")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert (tmp_path / "phantom.png").read_bytes()[:4] == b"\x89PNG"
