"""The house rules that no linter knows: packaging, who may import whom, and how SQL is written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("rag_pgvector", "ingest", "evals")

#: From what things are up to those who use them: a module imports its own layer and those before it. Design, section 3.
LAYERS = [
    {"errors", "types", "config"},
    {
        "analysis",
        "arguments",
        "filters",
        "finding",
        "index_kinds",
        "layout",
        "markup",
        "plan",
        "progress",
        "settings",
        "sql",
        "table",
        "written",
    },
    {"connect", "fence", "vectors"},
    {
        "bm25",
        "documents",
        "fusion",
        "hybrid",
        "index",
        "index_memory",
        "keys",
        "keyword",
        "keyword_schema",
        "mmr",
        "models",
        "migrations",
        "offline",
        "planner",
        "postings",
        "read",
        "records",
        "segment",
        "copying",
        "roles",
        "runs",
        "schema",
        "search",
        "totals",
        "tune",
        "write",
    },
    {"audit", "drivers", "embedding", "pools", "rerank"},
    {"database", "embedded"},
    {
        "bound",
        "calibrations",
        "clustering",
        "collection",
        "compound",
        "convert",
        "document_store",
        "frames",
        "intake",
        "indexed",
        "open",
        "patience",
        "searchable",
        "tenants",
        "transfer",
    },
    {"answer"},
    {"__init__", "__main__", "cli", "demo", "doctor", "evals", "ingest", "langchain", "llamaindex", "service"},
]
#: Imports of a later layer inside a function, which load it when it is first needed.
LAZY = {
    ("database", "collection"),  # Database.collection()
    ("database", "open"),
    ("collection", "answer"),  # Collection.ask()
    ("types", "frames"),  # SearchResult.to_pandas()
}
ADAPTERS = ("langchain", "llamaindex")
FRAMEWORKS = {"langchain", "langchain_core", "langchain_postgres", "llama_index"}


@cache
def sources() -> dict[str, tuple[Path, ast.Module]]:
    """Every module by its name as installed."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(path.is_relative_to(ROOT / "rag_pgvector" / link) for link in ("ingest", "evals")):
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if folder == "rag_pgvector" else ("rag_pgvector", *parts))
            found[name.removesuffix(".__init__")] = (path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each imported module, and whether that happens when the module is loaded (not in a function, not for types)."""

    def walk(node: ast.AST, eager: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "absolute imports only"
                yield from ((f"{child.module}.{alias.name}", eager) for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            else:
                yield from walk(child, eager and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    return walk(tree, True)


def part(module: str) -> str:
    """The piece of the house that a module belongs to."""
    rest = module.removeprefix("rag_pgvector").lstrip(".")
    first = rest.split(".")[0] if rest else "__init__"
    return first if first in set().union(*LAYERS) else "__init__"


def layer(name: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if name in names)


def test_every_module_has_its_place() -> None:
    known = set().union(*LAYERS)
    for name in sources():
        first = name.split(".")[1] if "." in name else "__init__"
        assert first in known, f"{name}: add {first!r} to LAYERS where it belongs"


@pytest.mark.parametrize("name", sorted(sources()))
def test_imports_go_downwards(name: str) -> None:
    path, tree = sources()[name]
    own = part(name)
    for module, eager in imports(tree):
        if not module.startswith("rag_pgvector"):
            assert not module.startswith(("ingest", "evals")), f"{path}: import rag_pgvector.{module}"
            continue
        other = part(module)
        if layer(other) > layer(own):
            assert not eager, f"{path} imports {module}, which stands above it"
            assert (own, other) in LAZY, f"{path} imports {module} in a function: put it down, or into LAZY"
        if own == "ingest":
            assert other != "evals", f"{path}: ingest never imports evals"
        if own == "answer":
            assert other not in ("database", "collection", "open", "pools"), f"{path}: answer sees steps only"


@pytest.mark.parametrize("name", sorted(sources()))
def test_only_the_adapters_and_benchmarks_import_frameworks(name: str) -> None:
    path, tree = sources()[name]
    if part(name) in ADAPTERS or name.startswith("rag_pgvector.evals.bench"):
        return
    for module, _ in imports(tree):
        assert module.split(".")[0] not in FRAMEWORKS, f"{path} imports {module}"


# ----------------------------------------------------------------------------------------------------------- packaging


def test_the_package_list_is_what_is_on_disk() -> None:
    listed = set(re.findall(r'^    "(rag_pgvector[\w.]*)",$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    on_disk = {name for name, (path, _) in sources().items() if path.name == "__init__.py"}
    assert listed == on_disk


@pytest.mark.parametrize("name", ["ingest", "evals"])
def test_the_links_are_there_and_relative(name: str) -> None:
    link = ROOT / "rag_pgvector" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name
    assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["torch", "sqlalchemy", "alembic", "pydantic", "pydantic_settings", "pandas", "sentence_transformers"]
    heavy += ["rich", "typer", "yaml", "numpy", "psycopg", "asyncio", *FRAMEWORKS]
    program = f"import rag_pgvector, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------------------- code


def test_files_stay_readable() -> None:
    kept = [path for path, _ in sources().values()]
    for path in (*kept, *ROOT.glob("tests/**/*.py"), *ROOT.glob("scripts/*")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 400, f"{path} has {lines} lines: split it"


@pytest.mark.parametrize("name", sorted(sources()))
def test_public_modules_say_what_they_offer(name: str) -> None:
    path, tree = sources()[name]
    last = name.rsplit(".", 1)[-1]
    if last.startswith("_") or ".versions." in name or last == "env" or not tree.body:
        return
    offered: list[str] = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, (ast.Assign, ast.AnnAssign))
            assert isinstance(node.value, ast.List), f"{path}: __all__ is a list that can be read"
            offered = [str(element.value) for element in node.value.elts if isinstance(element, ast.Constant)]
    defines = any(isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) for node in tree.body)
    assert offered or not defines, f"{path} has no __all__"
    assert ast.get_docstring(tree) or not defines, f"{path} has no docstring"


def is_made_up(node: ast.expr) -> bool:
    """Whether a string is put together: an f-string, % or +, .format() or .join() on a literal."""
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (ast.Mod, ast.Add)) and any(
            isinstance(side, (ast.Constant, ast.JoinedStr)) and not isinstance(getattr(side, "value", ""), (int, float))
            for side in (node.left, node.right)
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        # sql.SQL("...").format() quotes; "...".format() does not.
        return node.func.attr in ("format", "join", "replace") and isinstance(
            node.func.value, (ast.Constant, ast.JoinedStr)
        )
    if isinstance(node, ast.IfExp):
        return is_made_up(node.body) or is_made_up(node.orelse)
    return False


#: Calls whose first argument is SQL.
TAKES_SQL = {"SQL", "execute", "executemany", "executescript", "exec_driver_sql", "text", "copy", "Execute", "mogrify"}


@pytest.mark.parametrize("name", sorted(sources()))
def test_sql_is_never_put_together_from_strings(name: str) -> None:
    path, tree = sources()[name]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in TAKES_SQL:
                assert not is_made_up(node.args[0]), f"{path}:{node.lineno}: SQL from a formatted string"


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        ('sql.SQL(f"SELECT {x}")', True),
        ('conn.execute("SELECT %s" % x)', True),
        ('conn.execute("SELECT {}".format(x))', True),
        ('conn.execute("SELECT " + x)', True),
        ('text("a" if y else f"{x}")', True),
        ('conn.execute("SELECT %s", (x,))', False),
        ('conn.execute(sql.SQL("SELECT {}").format(x))', False),
        ("numbers.copy(1 + 2)", False),
    ],
)
def test_the_rule_sees_what_it_should(code: str, bad: bool) -> None:
    call = ast.parse(code).body[0].value  # type: ignore[attr-defined]
    assert is_made_up(call.args[0]) == bad


@pytest.mark.parametrize("name", sorted(sources()))
def test_nothing_is_unpickled_or_evaluated(name: str) -> None:
    path, tree = sources()[name]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "__import__"), f"{path}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
            assert node.attr not in ("load", "unsafe_load", "full_load"), f"{path}:{node.lineno}"
    for module, _ in imports(tree):
        assert module.split(".")[0] not in ("pickle", "marshal", "shelve", "dill", "joblib"), f"{path} imports {module}"


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    own = [str(ROOT), str(Path.home()) + "/"]
    for path, _ in sources().values():
        content = path.read_text(encoding="utf-8")
        for place in own:
            assert place not in content, f"{path} names {place}"


def test_names_say_what_a_module_is_for() -> None:
    for name in sources():
        assert name.rsplit(".", 1)[-1] not in ("utils", "helpers", "manager", "base", "common", "misc"), name


def test_migrations_are_one_chain() -> None:
    """Two that were numbered alike, or the gap that one left, break every database, and no import shows it."""
    numbers = []
    for path in sorted((ROOT / "rag_pgvector/migrations/versions").glob("0*.py")):
        found = re.findall(r'^(?:down_)?revision = (?:"(\d+)"|None)$', path.read_text(encoding="utf-8"), re.MULTILINE)
        numbers.append(found)
        assert path.name.startswith(found[0])
    assert numbers == [[f"{i:04}", f"{i - 1:04}" if i > 1 else ""] for i in range(1, len(numbers) + 1)]
