import pytest

from dymo_med.data.cine import EDESPair
from dymo_med.data.ukbb.images import index_images
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside


class Folder:
    """Empty files with the names of images."""

    def __init__(self, path):
        self.path = path / "images"
        self.path.mkdir()
        self.pseudonymizer = Pseudonymizer(path / "key")
        self.aside = SetAside()

    def add(self, *names):
        for name in names:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).touch()
        return self

    def index(self, visit=2, **options):
        return index_images(self.path, visit, self.pseudonymizer, self.aside, **options)

    def reasons(self):
        return self.aside.frame()["reason"].tolist()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_zips_under_any_layout(folder):
    folder.add("9000001_20209_2_0.zip", "a/b/9000002_20209_2_0.zip", "90/9000003_20209_3_0.zip")
    assert set(folder.index()) == {folder.pseudonymizer("9000001"), folder.pseudonymizer("9000002")}
    assert set(folder.index(visit=3)) == {folder.pseudonymizer("9000003")}
    assert folder.reasons() == []


class TestNifti:
    @pytest.mark.parametrize(
        ("pattern", "name"),
        [
            ("{id}/sa.nii.gz", "x/y/9000001/sa.nii.gz"),
            ("{id}_2_0/sa.nii", "9000001_2_0/sa.nii"),
            ("sub-{id}_*_sax.nii.gz", "deep/sub-9000001_v2_sax.nii.gz"),
            ("{id}/*/{id}_sa.nii.gz", "9000001/visit/9000001_sa.nii.gz"),
        ],
    )
    def test_patterns(self, folder, pattern, name):
        folder.add(name, "9000002/other.nii.gz")
        found = folder.index(nifti=pattern)
        assert found == {folder.pseudonymizer("9000001"): folder.path / name}

    def test_repeated_id_must_be_the_same(self, folder):
        folder.add("9000001/9000002_sa.nii.gz", "9000003/9000003_sa.nii.gz")
        assert list(folder.index(nifti="{id}/{id}_sa.nii.gz")) == [folder.pseudonymizer("9000003")]

    def test_pairs(self, folder):
        folder.add("9000001/sa_ED.nii.gz", "9000001/sa_ES.nii.gz", "9000002/sa_ES.nii.gz")
        found = folder.index(nifti="{id}/sa_ED.nii.gz;{id}/sa_ES.nii.gz")
        base = folder.path / "9000001"
        assert found[folder.pseudonymizer("9000001")] == EDESPair(ed=base / "sa_ED.nii.gz", es=base / "sa_ES.nii.gz")
        assert folder.aside.subjects == {folder.pseudonymizer("9000002")}
        assert folder.reasons() == ["one file of the pair in the image folder: add the other one"]

    def test_two_files_of_one_subject(self, folder):
        folder.add("a/9000001/sa.nii.gz", "b/9000001/sa.nii.gz")
        folder.index(nifti="{id}/sa.nii.gz")
        assert folder.reasons() == ["2 NIfTI files of one subject in the image folder: keep one"]

    @pytest.mark.parametrize("pattern", ["sa.nii.gz", "{id}/sa.zip", "{id}/a.nii;{id}/b.nii;{id}/c.nii", ""])
    def test_what_is_no_pattern(self, folder, pattern):
        with pytest.raises(ValueError, match=r"each with \{id\} and ending in \.nii or \.nii\.gz, however: '"):
            folder.index(nifti=pattern)

    def test_nothing_found(self, folder):
        with pytest.raises(ValueError, match=r"must hold files like \{id\}/sa\.nii\.gz, however: 0 found"):
            folder.index(nifti="{id}/sa.nii.gz")


class TestBridge:
    def test_images_come_under_the_id_of_the_tables(self, folder):
        folder.add("9500001_20209_2_0.zip")
        assert set(folder.index(bridge={"9500001": "9000001"})) == {folder.pseudonymizer("9000001")}

    def test_an_id_that_the_bridge_lacks_is_nobody_of_the_tables(self, folder):
        folder.add("9500001_20209_2_0.zip", "9000001_20209_2_0.zip")
        folder.index(bridge={"9500001": "9000007"})
        assert folder.reasons() == ["an id of the images in no line of the bridge: ask for the bridge again"]
        assert folder.pseudonymizer("9000001") not in folder.aside.subjects
