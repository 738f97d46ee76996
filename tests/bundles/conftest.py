"""What a run changes in its process is put back."""

import logging
import sys

import monai
import pytest

from tests.tracking.stores import SendsAtTheEnd


@pytest.fixture(scope="module")
def process_state():
    """Runs set the hook for errors, seeds, the kind of tensors and the path of modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "argv", ["pytest"])
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DYMO_MED_DEBUG", raising=False)
        patch.setattr("dymo_med.handlers.mlflow_run.start_sender", SendsAtTheEnd)  # no process: MLflow is imported here
        track_meta, level = monai.data.get_track_meta(), logging.root.level
        yield
        monai.data.set_track_meta(track_meta)
        monai.utils.set_determinism(None)
        logging.root.setLevel(level)


@pytest.fixture
def explained(process_state, capsys):
    """A function that runs a workflow that must fail and gives what the process would write at its end."""

    def explain(work):
        work.initialize()
        with pytest.raises(RuntimeError, match="Failed to") as caught:
            work.run()
        capsys.readouterr()
        sys.excepthook(caught.type, caught.value, None)
        return capsys.readouterr().err

    return explain
