"""A handed-in notebook as data: which answers are in it, and the code that each of them needs, and no more."""
from __future__ import annotations

import ast
import json
import re
import symtable
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MARK = re.compile(r"""exercise\(\s*["'](\d+\.\w+)["']""")
LARGEST = 50_000_000  # bytes of a notebook that are read


class Piece(NamedTuple):
    """A statement of a notebook: the number of its code cell, the names it binds and those it uses."""

    cell: int
    statement: ast.stmt
    binds: set[str]
    uses: set[str]


class Submission:
    """The code cells of a notebook. `answers`: exercise -> the statement that answers it, the last if there are
    several; `broken`: exercise -> why the cell that has it cannot be read."""

    def __init__(self, cells: list[str]) -> None:
        self.cells = [plain(cell) for cell in cells]
        self.pieces: list[Piece] = []
        self.answers: dict[str, Piece] = {}
        self.broken: dict[str, str] = {}
        for number, cell in enumerate(self.cells, 1):
            try:
                statements = ast.parse(cell).body
            except (SyntaxError, ValueError, RecursionError, MemoryError) as e:  # it costs this cell alone
                line = f", line {e.lineno}: {(e.text or '').strip()}" if isinstance(e, SyntaxError) else ""
                for id in MARK.findall(cell):
                    self.broken[id] = f"{type(e).__name__} in code cell {number}{line}"
                continue
            for statement in statements:
                piece = Piece(number, statement, set(bound(statement)), set(used(statement)))
                self.pieces.append(piece)
                for id in answered(statement):
                    self.answers[id] = piece
                    self.broken.pop(id, None)

    def needed(self, id: str) -> list[tuple[int, ast.stmt]]:
        """(cell, statement) of the answer and of all it needs, in order: what binds a name that is used."""
        answer = self.answers[id]
        names, chosen = set(answer.uses), {id_of(answer)}
        grown = True
        while grown:
            grown = False
            for piece in self.pieces:
                others = any(i != id for i in answered(piece.statement))
                wanted = piece.binds & names or "*" in piece.binds
                if id_of(piece) in chosen or not wanted or (others and piece.binds & answer.binds):
                    continue
                chosen.add(id_of(piece))
                names |= piece.uses
                grown = True
        return [(p.cell, p.statement) for p in self.pieces if id_of(p) in chosen]


def id_of(piece: Piece) -> int:
    """What tells statements apart."""
    return id(piece.statement)


def read(path: Path) -> Submission:
    """The submission in a notebook file; ValueError that says what is wrong with the file."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"the file has over {LARGEST // 1_000_000} MB")
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return Submission(["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"])
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as e:
        raise ValueError(f"this is no notebook that can be read ({type(e).__name__}: {e})") from e


def plain(cell: str) -> str:
    """The cell without what is not Python: %magics, !commands and help?; "" if all of it is another language."""
    first = next((line.strip() for line in cell.splitlines() if line.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%capture")):
        return ""
    strange = re.compile(r"^(\s*)(%|!|\?).*$|^(\s*)[\w.]+\?{1,2}\s*$|^(\s*)\w+ *= *[%!].*$", re.MULTILINE)
    return strange.sub(lambda m: (m[1] or m[3] or m[4] or "") + "pass", cell)


def answered(statement: ast.stmt) -> Iterator[str]:
    """The exercises whose answer this statement is."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        for decorator in statement.decorator_list:
            yield from MARK.findall(ast.unparse(decorator))


def bound(statement: ast.AST) -> Iterator[str]:
    """The names a statement gives a value to, in the notebook's own namespace."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return  # what is inside is its own
    if isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield (alias.asname or alias.name).split(".")[0]
    if isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
        yield statement.id
    if isinstance(statement, ast.Assign | ast.AugAssign):  # a[0] = 1 and a.b = 1 change a
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            while isinstance(target, ast.Subscript | ast.Attribute):
                target = target.value
                if isinstance(target, ast.Name):
                    yield target.id
    for child in ast.iter_child_nodes(statement):
        yield from bound(child)


def used(statement: ast.stmt) -> Iterator[str]:
    """The names of the notebook that a statement reads: not what is local to its functions."""
    scopes = [symtable.symtable(ast.unparse(statement), "", "exec")]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        for symbol in scope.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or scope.get_type() == "module"):
                yield symbol.get_name()


def namespace(submission: Submission, id: str) -> dict[str, Any]:
    """Run what the answer needs: the names it defines. Whatever the student's code raises comes out."""
    import linecache

    names: dict[str, Any] = {"__name__": "__main__"}
    for cell, statement in submission.needed(id):
        file = f"<code cell {cell}>"
        source = submission.cells[cell - 1]
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(ast.Module([statement], []), file, "exec"), names)
    return names
