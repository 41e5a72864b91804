"""Reads one source for `deskctl check`, in a process of its own: what it imports, and what students get wrong.

It is run as a script by the strategies' interpreter (`python -I -S source_reader.py < SOURCE`), which has none of our
packages: the standard library only. Rule 1: nothing of the source is executed. Rule 2: what is told is bounded.
"""

import ast
import json
import os
import resource
import sys

TOLD_MAX = 200  # of each kind
NAME_MAX = 100  # characters
MEMORY_MAX, CPU_MAX_S = 1 << 30, 4
SLEEP_MIN_S = 1

_HANDLERS = {"on_bar", "on_trade", "on_quote", "on_order", "on_order_filled"}
_OFTEN = {"loop", "on_trade", "on_quote"}  # many lines a second
_LEAVES = (ast.Return, ast.Continue, ast.Break)
_ENDS = (ast.Break, ast.Return, ast.Raise)
_OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def read(source: bytes) -> dict[str, object]:
    """Return what stands there, as plain data."""
    try:
        tree = ast.parse(source, "strategy.py")
    except SyntaxError as error:
        return {"syntax": [error.lineno or 1, error.offset or 1]}
    found = _Reader()
    found.visit(tree)
    found.read_loops(tree)
    return {
        "syntax": None,
        "imports": found.imports[:TOLD_MAX],
        "findings": sorted(found.findings)[:TOLD_MAX],
        "reads": found.reads,
        "stdlib": sorted(sys.stdlib_module_names),
    }


class _Reader(ast.NodeVisitor):
    """Goes through the tree once, and once more through its loops over standard input."""

    def __init__(self) -> None:
        self.imports: list[tuple[str, int, int, bool]] = []  # module, line, column, whether its absence is provided for
        self.findings: list[tuple[int, int, str]] = []
        self.reads = False  # anything that reads standard input
        self._provided = 0

    # --- imports ------------------------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        """Take the modules."""
        for alias in node.names:
            self._import(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take the module; a relative one is the folder's own, or an error at the run."""
        if node.module and not node.level:
            self._import(node.module, node)
        if node.module == "sys" and any(alias.name == "stdin" for alias in node.names):
            self.reads = True

    def _import(self, name: str, node: ast.stmt) -> None:
        self.imports.append((name[:NAME_MAX], node.lineno, node.col_offset + 1, self._provided > 0))

    def visit_Try(self, node: ast.Try) -> None:
        """Note that what is imported here may be absent, where that is caught."""
        is_provided = any(_catches_absence(handler) for handler in node.handlers)
        self._provided += is_provided
        for statement in node.body:
            self.visit(statement)
        self._provided -= is_provided
        for other in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(other)

    def visit_If(self, node: ast.If) -> None:
        """Pass over what only type checkers import."""
        is_typing = isinstance(node.test, ast.Name | ast.Attribute) and _last(node.test) == "TYPE_CHECKING"
        self._provided += is_typing
        for statement in node.body:
            self.visit(statement)
        self._provided -= is_typing
        for statement in node.orelse:
            self.visit(statement)

    # --- calls --------------------------------------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note that standard input is used."""
        if _is_stdin(node):
            self.reads = True
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Find orders whose answer nobody reads."""
        if isinstance(node.value, ast.Call) and _last(node.value.func) == "place_order":
            self._find(node, "answer_unread")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Find what reads all of standard input, and what writes where nothing can be written."""
        name = _last(node.func)
        if name in {"input", "run", "FileInput"} or _called(node, "fileinput", "input"):
            self.reads = True
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        is_all = name in {"read", "readlines"} and _is_stdin(owner) and not node.args
        if is_all or (name in {"list", "sorted", "load"} and node.args and _is_stdin(node.args[0])):
            self._find(node, "waits_for_the_end")
        if isinstance(node.func, ast.Name) and name == "open" and _writes_here(node):
            self._find(node, "writes_in_its_folder")
        self.generic_visit(node)

    # --- loops over standard input, and methods that take one line each -----------------------------------------------

    def read_loops(self, tree: ast.AST) -> None:
        """Find what slows or floods, in what is done for each line."""
        for node in ast.walk(tree):
            if isinstance(node, ast.For) and _is_stdin(node.iter):
                self._hot(node.body, "loop")
                self._without_price(node.body)
            elif isinstance(node, ast.While) and any(_reads_a_line(inner) for inner in _inside(node.body)):
                self._hot(node.body, "loop")
                self._without_price(node.body)
                is_endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
                if is_endless and not any(_ends(inner) for inner in _inside(node.body)):
                    self._find(node, "never_ends")
            elif isinstance(node, ast.FunctionDef) and node.name in _HANDLERS:
                self._hot(node.body, node.name)

    def _hot(self, body: list[ast.stmt], where: str) -> None:
        for statement in body:
            is_printed = isinstance(statement, ast.Expr) and _last_call(statement.value) == "print"
            if is_printed and where in _OFTEN:
                self._find(statement, f"prints_each_line {where}")
            if any(isinstance(inner, _LEAVES) for inner in _inside([statement])):
                break  # what follows is done for some lines only
        for node in _inside(body):
            if isinstance(node, ast.Call) and _called(node, "time", "sleep") and _is_long(node):
                self._find(node, "sleeps")

    def _without_price(self, body: list[ast.stmt]) -> None:
        inside = list(_inside(body))
        if any(isinstance(node, ast.Constant) and node.value == "type" for node in inside):
            return
        compared = {id(one) for node in inside if isinstance(node, ast.Compare) for one in ast.walk(node)}
        for node in inside:
            if isinstance(node, ast.Constant) and node.value == "price" and id(node) in compared:
                return
        for node in inside:
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == "price":
                self._find(node, "price_may_lack")
                return

    def _find(self, node: ast.stmt | ast.expr, what: str) -> None:
        self.findings.append((node.lineno, node.col_offset + 1, what))


def _catches_absence(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or _last(kind) in {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
        for kind in kinds
    )


def _inside(body: list[ast.stmt]) -> list[ast.AST]:
    """Return all nodes of the statements, but those of functions and classes that are only defined there."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, _OWN_SCOPE):
            continue
        found.append(node)
        todo += ast.iter_child_nodes(node)
    return found


def _last(node: ast.AST | None) -> str:
    """Return the last name of `a.b.c`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _last_call(node: ast.AST) -> str:
    return _last(node.func) if isinstance(node, ast.Call) else ""


def _called(node: ast.Call, module: str, name: str) -> bool:
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    return _last(node.func) == name and (owner is None or _last(owner) == module)


def _is_stdin(node: ast.AST | None) -> bool:
    if isinstance(node, ast.Attribute) and node.attr == "buffer":
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr == "stdin" and _last(node.value) == "sys"
    return isinstance(node, ast.Name) and node.id == "stdin"


def _reads_a_line(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    return node.func.attr == "readline" and _is_stdin(node.func.value)


def _ends(node: ast.AST) -> bool:
    return isinstance(node, _ENDS) or (isinstance(node, ast.Call) and _last(node.func) in {"exit", "_exit", "quit"})


def _is_long(node: ast.Call) -> bool:
    value = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    return isinstance(value, int | float) and value >= SLEEP_MIN_S


def _writes_here(node: ast.Call) -> bool:
    mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
    if not (node.args and isinstance(node.args[0], ast.Constant) and isinstance(mode, ast.Constant)):
        return False
    path, how = node.args[0].value, mode.value
    return isinstance(path, str) and not path.startswith("/") and isinstance(how, str) and bool(set(how) & set("wax+"))


def main() -> None:
    """Read one source from standard input; print what stands there."""
    os.setpriority(os.PRIO_PROCESS, 0, max(10, os.getpriority(os.PRIO_PROCESS, 0)))  # the desk may go before others
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    json.dump(read(sys.stdin.buffer.read()), sys.stdout)


if __name__ == "__main__":
    main()
