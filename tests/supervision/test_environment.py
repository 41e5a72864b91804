"""What all strategies can import is known by name and version, and its lack is told with the remedy."""

from pathlib import Path

from deskd.supervision import environment
from tests.wheels import a_wheel


def installed_by_hand(site: Path, tmp_path: Path) -> None:
    import zipfile

    for wheel in (
        a_wheel(tmp_path / "index", "TA-Lib", "0.8.2"),
        a_wheel(tmp_path / "index", "plain", files={"plain.py": ""}),
    ):
        zipfile.ZipFile(wheel).extractall(site)


def test_packages_are_listed_with_their_versions(tmp_path: Path) -> None:
    """By the one spelling of each name, and by what they are imported as."""
    site = tmp_path / "site"
    installed_by_hand(site, tmp_path)
    assert environment.versions_in(site) == {"ta-lib": "0.8.2", "plain": "1.0"}
    assert environment.described(environment.versions_in(site)) == "plain 1.0, ta-lib 0.8.2"
    assert environment.modules_of(site, "ta_lib") == ["TA_Lib"]
    assert environment.modules_of(site, "plain") == ["plain"]
    assert environment.described({}) == "none"


def test_a_set_of_another_python_is_not_taken(tmp_path: Path) -> None:
    """Its compiled modules would not load."""
    home = environment.home_of(tmp_path)
    (tmp_path / "packages" / "key" / "site").mkdir(parents=True)
    home.link("python3.12").symlink_to("key")
    assert home.current("python3.12") == (tmp_path / "packages" / "key" / "site").resolve()
    assert home.current("python3.13") is None


def test_the_remedy_for_a_missing_module() -> None:
    """What the desk could have is built; what it does not list is asked for; the standard library is no package."""
    first = environment.remedy_for("talib.abstract", {"protobuf": "7"})
    assert first is not None
    assert "do not hold ta-lib: an officer runs `make strategy-env`" in first
    second = environment.remedy_for("sklearn", {"numpy": "2.5.5"})
    assert second is not None
    assert "sklearn is not among this desk's packages (numpy 2.5.5)" in second
    assert "`deskctl build NAME`" in second
    assert environment.remedy_for("json.nothing", {}) is None
