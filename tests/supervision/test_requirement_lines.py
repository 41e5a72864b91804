"""A requirements.txt is names and exact versions; whatever else pip would do for it is refused, with the remedy."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskd.supervision.folder import FolderError
from deskd.supervision.requirement_lines import BYTES_MAX, Requirement, canonical, read_requirements

REFUSED = {
    "foo": "it names no exact version",
    "foo>=1.0": "it names no exact version",
    "foo~=1.0": "it names no exact version",
    "foo==1.*": "one exact version is meant",
    "foo===1.0": "one exact version is meant",
    "-e .": "an editable checkout",
    "--editable=git": "an editable checkout",
    "-r other.txt": "another file is not read",
    "-c constraints.txt": "another file is not read",
    "--index-url https://evil.example/simple": "options of pip",
    "--extra-index-url=https://evil.example": "options of pip",
    "--trusted-host evil.example": "options of pip",
    "foo==1.0 --hash=sha256:00": "options of pip",
    "foo==1.0 --global-option=x": "options of pip",
    "https://evil.example/foo-1.0-py3-none-any.whl": "not from an address",
    "foo @ https://evil.example/foo.whl": "not from an address",
    "git+ssh://evil.example/foo.git": "not from an address",
    "file:///etc/passwd": "not from an address",
    "./foo-1.0-py3-none-any.whl": "not from a file",
    "../../../etc/passwd": "not from a file",
    "foo-1.0.tar.gz": "not from a file",
    "foo==1.0; os_name=='posix'": "conditions are not taken",
    "foo; os_name": "conditions are not taken",
    "foo==1.0 \\": "it is not continued",
    "foo==$VERSION": "variables are not filled in",
    "foo bar": "is no requirement",
    "foo==1.0 bar==2.0": "is no requirement",
    "\x1b[31mfoo==1.0": "is no requirement",
    "foo==1.0\x00": "is no requirement",
    "foo\r==1.0": "is no requirement",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_bad_line_is_refused_by_line_rule_and_remedy(line: str) -> None:
    """The text can be shown as it is: no control character of the file is in it."""
    with pytest.raises(FolderError) as refused:
        read_requirements(f"# mine\n{line}\n".encode())
    text = str(refused.value)
    assert text.startswith("requirements.txt: line 2: `")
    assert REFUSED[line] in text
    assert text.endswith("write NAME==VERSION, such as `ta==0.11.0`")
    assert text.isprintable()


def test_good_lines_come_in_one_order_and_spelling() -> None:
    """Comments, blank lines, spaces and line ends do not matter: the same packages are the same set."""
    found = read_requirements(b"\xef\xbb\xbf"[:0] + b"# why\r\n\n  TA_Lib == 0.8.2  # fast\nfoo[b,a]==1.0+cpu\n")
    assert found == (Requirement("foo", "1.0+cpu", ("a", "b")), Requirement("ta-lib", "0.8.2"))
    assert [one.line() for one in found] == ["foo[a,b]==1.0+cpu", "ta-lib==0.8.2"]
    assert read_requirements(b"") == read_requirements(b"# nothing\n") == ()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a==1\n" + b"#" * BYTES_MAX, "over 16 KB"),
        (b"foo==1\nFOO==2\n", "line 2: foo stands there twice"),
        ("fоo==1".encode(), "line 1: has characters other than ASCII"),  # noqa: RUF001  a Cyrillic o
        (b"\n" + "".join(f"p{n}==1\n" for n in range(51)).encode(), "line 52: more than 50 packages"),
    ],
)
def test_a_file_has_bounds(content: bytes, says: str) -> None:
    """Thousands of lines, names that only look alike, doubles."""
    with pytest.raises(FolderError, match=re.escape(says)):
        read_requirements(content)


@given(st.binary(max_size=200))
def test_whatever_stands_there_is_read_or_refused(content: bytes) -> None:
    """And what is read gives plain words: nothing of it is an option, a path or an address."""
    try:
        found = read_requirements(content)
    except FolderError:
        return
    for one in found:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*(\[[A-Za-z0-9._,-]+\])?==[0-9][A-Za-z0-9._+!-]*", one.line())
        assert one.name == canonical(one.name)
