"""Which packages an environment has."""

from pathlib import Path

from deskd.supervision.installed import installed


def test_packages_are_named_as_they_are_installed(tmp_path: Path) -> None:
    """Versions are left out; desk_client is always there."""
    for name in ("numpy-2.5.5", "TA_Lib-0.6.4", "scikit_learn-1.9"):
        (tmp_path / "lib" / "python3.13" / "site-packages" / f"{name}.dist-info").mkdir(parents=True)
    assert installed(tmp_path) == ("desk_client", "numpy", "scikit_learn", "TA_Lib")
