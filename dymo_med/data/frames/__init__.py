"""Model images of all subjects in a few large files, made in parallel and made once."""

from dymo_med.data.frames.sharing import Shard, index_shards
from dymo_med.data.frames.sources import ReadImage
from dymo_med.data.frames.store import FrameStore
from dymo_med.data.frames.writing import write_frames, write_shard

__all__ = ["FrameStore", "ReadImage", "Shard", "index_shards", "write_frames", "write_shard"]
