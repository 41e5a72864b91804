"""The generated code and protos/ say the same."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GENERATOR = ROOT / "tools" / "generate_protos.py"


@pytest.mark.parametrize("target", ["deskd/wire/pb", "sandbox/desk_client/pb"])
def test_the_generated_code_is_fresh(target: str) -> None:
    """Whoever changes a .proto file and forgets `make proto` hears of it here."""
    spec = importlib.util.spec_from_file_location("generate_protos", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    for name, text in generator.generate().items():
        assert (ROOT / target / name).read_text() == text, f"{target}/{name} is stale: run `make proto`"
