"""The reference of facts says what every stored fact looks like, those of earlier versions too."""

import json

import pytest

from deskd.ledger.codec import KINDS
from tests.ledger.test_migrating import GOLDEN, golden
from tools.fact_reference import reference, schema


def test_every_kind_is_described() -> None:
    """With its own words, in the page and in the schema."""
    page, made = reference("head"), json.loads(schema())
    assert made["properties"]["kind"]["enum"] == sorted(KINDS)
    for kind, fact in KINDS.items():
        assert f"### `{kind}`" in page
        assert (fact.__doc__ or "").split("\n")[0] in page


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: str(file.stem))
def test_every_fact_ever_stored_fits_the_schema(file: str) -> None:
    """Each field is known, and none that is required is missing: what was added since has a default."""
    from pathlib import Path

    parts = json.loads(schema())["$defs"]
    for entry in golden(Path(file)):
        body, part = json.loads(entry.body), parts[entry.kind]
        assert body.keys() <= part["properties"].keys()
        assert set(part.get("required", ())) <= body.keys()
