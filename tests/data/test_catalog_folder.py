"""A folder of catalogs while it is edited."""

import os

import pytest

from data.catalog import CatalogFolder
from tests.data.catalog_files import TEXT, changed


@pytest.fixture
def journeys(tmp_path):
    path = tmp_path / "journeys"
    path.mkdir()
    (path / "skincare.yaml").write_text(TEXT)
    return path


@pytest.fixture
def folder(journeys):
    return CatalogFolder(journeys)


def test_catalogs_are_there_at_once(folder):
    assert list(folder.catalogs) == ["skincare"]
    assert folder.faults == ()


def test_nothing_changed_is_told_and_nothing_read(folder, journeys, monkeypatch):
    monkeypatch.setattr(type(journeys), "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert folder.refresh() is False


def test_a_change_is_taken(folder, journeys):
    (journeys / "skincare.yaml").write_text(changed("title", "New"))
    before = folder.catalogs
    assert folder.refresh() is True
    assert folder.catalogs["skincare"].title == "New"
    assert before["skincare"].title is None


def test_a_new_file_is_taken(folder, journeys):
    (journeys / "haircare.yml").write_text(changed("journey", "haircare"))
    assert folder.refresh() is True
    assert sorted(folder.catalogs) == ["haircare", "skincare"]


def test_a_deleted_file_takes_its_journey_with_it(folder, journeys):
    (journeys / "skincare.yaml").unlink()
    assert folder.refresh() is True
    assert dict(folder.catalogs) == {}


@pytest.mark.parametrize("text", ["", TEXT[:-30], "asks: [", changed("asks.0.effort", 12), "\x00"])
def test_a_bad_file_keeps_the_last_good_catalog_and_shows(folder, journeys, text):
    good = folder.catalogs["skincare"]
    (journeys / "skincare.yaml").write_text(text)
    assert folder.refresh() is True
    assert folder.catalogs["skincare"] is good
    assert folder.faults[0].file == "journeys/skincare.yaml"
    assert folder.refresh() is False


def test_a_bad_file_made_good_is_no_fault_any_more(folder, journeys):
    (journeys / "skincare.yaml").write_text("asks: [")
    folder.refresh()
    (journeys / "skincare.yaml").write_text(TEXT)
    good = folder.catalogs["skincare"]
    assert folder.refresh() is True
    assert (folder.catalogs["skincare"], folder.faults) == (good, ())


def test_a_bad_file_does_not_keep_others_from_changing(folder, journeys):
    (journeys / "haircare.yaml").write_text("asks: [")
    (journeys / "skincare.yaml").write_text(changed("title", "New"))
    folder.refresh()
    assert folder.catalogs["skincare"].title == "New"
    assert [fault.file for fault in folder.faults] == ["journeys/haircare.yaml"]


def test_a_file_that_says_the_same_keeps_the_very_catalog(folder, journeys):
    good = folder.catalogs["skincare"]
    (journeys / "skincare.yaml").write_text("# more words\n" + TEXT)
    assert folder.refresh() is False
    assert folder.catalogs["skincare"] is good


def test_a_touched_file_is_no_change(folder, journeys):
    os.utime(journeys / "skincare.yaml", ns=(1, 1))
    assert folder.refresh() is False


def test_a_replaced_file_of_the_same_size_and_time_is_a_change(folder, journeys):
    path, draft = journeys / "skincare.yaml", journeys / ".draft"
    draft.write_text(TEXT.replace("Buy the set", "Get the set"))
    found = path.stat()
    os.utime(draft, ns=(found.st_atime_ns, found.st_mtime_ns))
    draft.replace(path)
    assert folder.refresh() is True
    assert folder.catalogs["skincare"].goal_ask.title == "Get the set"


def test_a_renamed_journey_replaces_the_old_one(folder, journeys):
    (journeys / "skincare.yaml").write_text(changed("journey", "face"))
    assert folder.refresh() is True
    assert list(folder.catalogs) == ["face"]


def test_a_renamed_file_keeps_its_journey(folder, journeys):
    (journeys / "skincare.yaml").rename(journeys / "face.yaml")
    folder.refresh()
    assert list(folder.catalogs) == ["skincare"]
    assert folder.faults == ()


def test_of_two_files_of_one_journey_the_first_to_be_there_counts(folder, journeys):
    (journeys / "a.yaml").write_text(changed("title", "Copy"))
    assert folder.refresh() is True
    assert folder.catalogs["skincare"].title is None
    assert [str(fault) for fault in folder.faults] == [
        "journeys/a.yaml: journey: is the journey of journeys/skincare.yaml too; received 'skincare'; "
        "allowed: one file a journey"
    ]


def test_a_file_named_like_the_journey_does_not_push_out_the_one_that_counts(folder, journeys):
    (journeys / "skincare.yaml").rename(journeys / "face.yaml")
    folder.refresh()
    (journeys / "skincare.yaml").write_text(changed("title", "Copy"))
    assert folder.refresh() is True
    assert folder.catalogs["skincare"].title is None
    assert [fault.file for fault in folder.faults] == ["journeys/skincare.yaml"]


def test_of_two_new_files_of_one_journey_the_one_named_like_it_counts(journeys):
    (journeys / "a.yaml").write_text(changed("title", "Copy"))
    assert CatalogFolder(journeys).catalogs["skincare"].title is None


def test_the_copy_takes_over_when_the_original_goes(folder, journeys):
    (journeys / "a.yaml").write_text(changed("title", "Copy"))
    folder.refresh()
    (journeys / "skincare.yaml").unlink()
    assert folder.refresh() is True
    assert folder.catalogs["skincare"].title == "Copy"
    assert folder.faults == ()


def test_a_folder_that_went_away_keeps_everything_and_shows(folder, journeys):
    journeys.rename(journeys.with_name("moved"))
    assert folder.refresh() is True
    assert list(folder.catalogs) == ["skincare"]
    assert "cannot be read" in folder.faults[0].problem
    journeys.with_name("moved").rename(journeys)
    assert folder.refresh() is True
    assert folder.faults == ()


def test_a_dangling_link_is_no_file(folder, journeys):
    (journeys / "other.yaml").symlink_to(journeys / "nowhere.yaml")
    assert folder.refresh() is False


def test_a_baseline_that_cannot_convert_is_served_with_a_warning(folder, journeys):
    (journeys / "skincare.yaml").write_text(TEXT.replace("max_effort_step: 4", "max_effort_step: 3"))
    assert folder.refresh() is True
    assert folder.faults == ()
    assert [fault.path for fault in folder.warnings] == ["baseline[2]"]


def test_the_catalogs_cannot_be_changed_from_outside(folder):
    with pytest.raises(TypeError):
        folder.catalogs["skincare"] = None
