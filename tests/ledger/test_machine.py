"""The ledger against a list: whatever is done with it, it holds what was appended, and its tables follow."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from deskd.core.desk import Desk
from deskd.domain import events as ev
from deskd.domain.errors import LedgerError
from deskd.ledger import codec
from deskd.ledger.audit import verify
from deskd.ledger.backup import backup
from deskd.ledger.export import export, rebuild
from deskd.ledger.projections import project
from deskd.ledger.store import LedgerStore
from tests.factories import MONDAY
from tests.ledger.life import KEY, Life, append, batches, dump


class Machine(RuleBasedStateMachine):
    """The model is a list of facts: `append` adds to it, nothing takes away."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "desk.db"
        self.facts: list[ev.Fact] = []
        self.desk = Desk()
        self.files = 0

    def do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(seed=st.integers(0, 2**16))
    def begins(self, seed: int) -> None:
        self.life = Life(seed)
        self.told = 0
        self.ledger = self.do(LedgerStore.open(self.path))

    @rule(events=st.integers(1, 15), cuts=st.lists(st.integers(0, 100), max_size=4))
    def appends(self, events: int, cuts: list[int]) -> None:
        self.life.goes_on(events)
        news = self.life.facts[self.told :]
        self.told = len(self.life.facts)
        self.do(append(self.ledger, self.desk, batches(news, cuts)))
        self.facts += news

    @rule()
    def signs(self) -> None:
        root = KEY.sign(MONDAY, self.ledger.last_seq, self.ledger.last_hash, self.life._now)
        self.do(append(self.ledger, self.desk, [[root]]))
        self.facts.append(root)

    @rule()
    def reopens(self) -> None:
        self.do(self.ledger.close())
        self.ledger = self.do(LedgerStore.open(self.path))

    @rule()
    def crashes(self) -> None:
        """Go on with the files as they lie there, the write-ahead log with them; what follows is another desk's."""
        self.files += 1
        there = self.path.with_name(f"desk-{self.files}.db")
        for ending in ("", "-wal"):
            if self.path.with_name(self.path.name + ending).exists():
                copy(f"{self.path}{ending}", f"{there}{ending}")
        self.do(self.ledger.close())
        self.path = there
        self.ledger = self.do(LedgerStore.open(self.path))
        self.desk = Desk()
        for fact in self.facts:
            self.desk.apply(fact)

    @rule()
    def a_batch_that_fails_leaves_no_trace(self) -> None:
        fact = ev.CommandGiven(by="x", command="y", arguments="", at=self.life._now)
        statements = [*project([fact], self.desk), ("INSERT INTO fills VALUES (1)", ())]
        with pytest.raises(LedgerError, match="cannot be written"):
            self.do(self.ledger.append([fact], statements))

    @rule()
    def goes_on_with_a_backup(self) -> None:
        self.files += 1
        target = self.path.with_name(f"desk-{self.files}.db")
        assert backup(self.path, target) == (self.ledger.last_seq, self.ledger.last_hash)
        self.do(self.ledger.close())
        self.path = target
        self.ledger = self.do(LedgerStore.open(self.path))

    @rule()
    def goes_on_with_a_rebuild(self) -> None:
        self.files += 1
        target = self.path.with_name(f"desk-{self.files}.db")
        lines: list[bytes] = []
        export(self.path, lines.append)
        assert [json.loads(line)["kind"] for line in lines] == [type(fact).__name__ for fact in self.facts]
        assert rebuild(lines, target).hash == self.ledger.last_hash
        assert dump(target) == dump(self.path)
        self.do(self.ledger.close())
        self.path = target
        self.ledger = self.do(LedgerStore.open(self.path))

    @invariant()
    def it_holds_what_was_appended_and_is_whole(self) -> None:
        if not hasattr(self, "ledger"):
            return

        async def replayed() -> list[ev.Fact]:
            return [fact async for fact in self.ledger.replay()]

        assert self.do(replayed()) == self.facts
        verdict = verify(self.path, keys=[KEY.public])
        assert verdict.damages == ()
        assert (verdict.facts, verdict.last_hash) == (self.ledger.last_seq, self.ledger.last_hash)
        assert verdict.facts == len(self.facts)
        roots = [fact for fact in self.facts if isinstance(fact, ev.RootSigned)]
        assert verdict.proved == (roots[-1] if roots else None)
        assert self.facts or verdict.last_hash == codec.GENESIS

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.do(self.ledger.close())
        self.loop.close()
        self.folder.cleanup()


TestLedger = Machine.TestCase
TestLedger.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
