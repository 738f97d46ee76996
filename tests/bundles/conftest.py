"""What a run changes in its process is put back."""

import logging
import sys

import monai
import pytest


@pytest.fixture(scope="module")
def process_state():
    """Runs set the hook for errors, seeds, the kind of tensors and the path of modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "argv", ["pytest"])
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DYMO_MED_DEBUG", raising=False)
        track_meta, level = monai.data.get_track_meta(), logging.root.level
        yield
        monai.data.set_track_meta(track_meta)
        monai.utils.set_determinism(None)
        logging.root.setLevel(level)
