"""Small simulated scans in the file forms that the reader takes, with their geometry known."""

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

ROW = np.array([0.72, 0.61, -0.33]) / np.linalg.norm([0.72, 0.61, -0.33])  # along a row: left and back
NORMAL = np.cross(ROW, [-0.1, 0.35, -0.9]) / np.linalg.norm(np.cross(ROW, [-0.1, 0.35, -0.9]))
COLUMN = np.cross(NORMAL, ROW)  # down a column: feet
ORIGIN = np.array([-101.25, -63.5, 88.125])
PIXEL_SPACING = (3.75, 3.5)  # between rows, between columns
STEP_MM = 9.5
STEP_MS = 31.25


@dataclass(frozen=True)
class Heart:
    """A bright disk in a darker ring off the image center, contracting fast and filling slowly."""

    n_slices: int = 5
    n_phases: int = 12
    rows: int = 40
    columns: int = 48
    ed: int = 3
    contraction: float = 0.4
    noise: float = 4.0

    @property
    def es(self) -> int:
        return (self.ed + round(self.contraction * self.n_phases)) % self.n_phases

    def frame(self, k: int, t: int) -> np.ndarray:
        """Pixels as displayed, (rows, columns)."""
        since_ed = (t - self.ed) % self.n_phases / self.n_phases
        until_es = round(self.contraction * self.n_phases) / self.n_phases
        part = since_ed / until_es if since_ed < until_es else (1 - since_ed) / (1 - until_es)
        level = 1 - abs(k - self.n_slices // 2) / self.n_slices
        pool_mm = level * (24 - 9 * part**1.5)
        y, x = np.mgrid[: self.rows, : self.columns]
        radius = np.hypot((x - self.columns * 0.56) * PIXEL_SPACING[1], (y - self.rows * 0.47) * PIXEL_SPACING[0])
        inside = np.clip((pool_mm - radius) / 3 + 0.5, 0, 1)
        muscle = np.clip((pool_mm + 9 - radius) / 3 + 0.5, 0, 1)
        torso = 60.0 + 80.0 * (y > 0.8 * self.rows) + 40 * (x < 0.1 * self.columns)
        image = torso * (1 - muscle) + 90 * muscle + 220 * inside
        noise = np.random.default_rng([k, t]).normal(0, self.noise, image.shape)
        return np.clip(image + noise, 0, 4095).round().astype(np.uint16)


Change = Callable[[Dataset, int, int], Dataset | None]


def true_affine(heart: Heart) -> np.ndarray:
    """Voxel (column, row, slice) to RAS, spelled out voxel by voxel."""

    def world(x: float, y: float, z: float) -> np.ndarray:
        lps = ORIGIN + x * PIXEL_SPACING[1] * ROW + y * PIXEL_SPACING[0] * COLUMN + z * STEP_MM * NORMAL
        return np.array([-lps[0], -lps[1], lps[2]])

    affine = np.eye(4)
    affine[:3, 3] = world(0, 0, 0)
    for axis, voxel in enumerate(np.eye(3)):
        affine[:3, axis] = world(*voxel) - affine[:3, 3]
    return affine


def dataset(heart: Heart, k: int, t: int) -> Dataset:
    """One frame as a DICOM data set."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = f"2.25.{1000 + k * 100 + t}"
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO"]
    ds.Modality = "MR"
    ds.SeriesDescription = f"CINE_segmented_SAX_b{k + 1}"
    ds.SeriesInstanceUID = f"2.25.{77 + k}"
    ds.SeriesTime = "101500.5"
    ds.InstanceNumber = (t * 7 + 5) % heart.n_phases + 1
    ds.CardiacNumberOfImages = heart.n_phases
    ds.TriggerTime = t * STEP_MS
    ds.SliceThickness = 8
    ds.ImagePositionPatient = [f"{v:.10g}" for v in ORIGIN + k * STEP_MM * NORMAL]
    ds.ImageOrientationPatient = [f"{v:.12g}" for v in (*ROW, *COLUMN)]
    ds.PixelSpacing = list(PIXEL_SPACING)
    ds.Rows, ds.Columns = heart.rows, heart.columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = heart.frame(k, t).astype("<u2").tobytes()
    return ds


def to_bytes(ds: Dataset) -> bytes:
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def members(heart: Heart, change: Change | None = None) -> list[tuple[str, bytes]]:
    """All frames under opaque names in an order that says nothing."""
    found = []
    for k in range(heart.n_slices):
        for t in range(heart.n_phases):
            ds = dataset(heart, k, t)
            ds = change(ds, k, t) if change else ds
            if ds is not None:
                found.append((f"1.3.12.2.{(k * 31 + t * 17) % 997}.{k}{t}.dcm", to_bytes(ds)))
    return sorted(found)


def write_zip(path: Path, content: Iterable[tuple[str, bytes]], *, manifest: bool = True) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in content:
            archive.writestr(name, data)
        if manifest:
            archive.writestr("manifest.cvs", "filename,date\nwrong.dcm,Nov 3, 2015\n")
    return path


def write_scan(path: Path, heart: Heart, change: Change | None = None, extra: Iterable[tuple[str, bytes]] = ()) -> Path:
    return write_zip(path, [*members(heart, change), *extra])


def volume(heart: Heart) -> np.ndarray:
    """(X, Y, Z, T) by slow loops."""
    values = np.zeros((heart.columns, heart.rows, heart.n_slices, heart.n_phases), np.int16)
    for k in range(heart.n_slices):
        for t in range(heart.n_phases):
            values[:, :, k, t] = heart.frame(k, t).T
    return values


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray, step_s: float | None = STEP_MS / 1000) -> Path:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", "sec" if values.ndim == 4 else None)
    if values.ndim == 4 and step_s is not None:
        image.header["pixdim"][4] = step_s
    nib.save(image, path)
    return path
