"""Do the locks between tenants hold? What the catalogue says of roles, policies, grants, views and functions.

One survey (a plan) and the findings that follow from it (no I/O), for ``doctor``. Policies are compared with a fence
made fresh beside them, so that Postgres prints both in the same words; functions that run with their owner's rights are
known by the hash of their bodies.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from psycopg import sql

from rag_pgvector.fence import APP, CONTROL, OWNER, WORKER, fence_sql
from rag_pgvector.finding import Finding
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.sql import read_sql
from rag_pgvector.table import KEYWORD_KINDS, SCHEMA, table_name

__all__ = ["Audit", "DefinerFunction", "FencedTable", "Role", "audit", "index_findings", "isolation_findings"]

#: As Postgres prints them: command, permissive, roles, USING, WITH CHECK.
Policies = Mapping[str, tuple[object, ...]]

#: Holds tenants' data, but no row-level security: the application has no grant on it at all.
_UNFENCED = "api_keys"
_SEARCH_PATH = "search_path=pg_catalog, pg_temp"
_ADMIN = "run as a superuser: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role's flags. ``owner``: it owns one of the fenced tables, or may become a role that does."""

    name: str
    superuser: bool
    bypass: bool
    owner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FencedTable:
    """A table with tenants' rows, and the policies that it has and should have."""

    name: str
    enabled: bool
    forced: bool
    policies: Policies
    expected: Policies


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinerFunction:
    """A function in schema ``rag`` that runs with its owner's rights. ``signature`` has the types of its arguments."""

    name: str
    signature: str
    body: str
    settings: Sequence[str] = ()
    public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the survey found.

    Attributes:
        role: The connection's role, as which the application reads and writes.
        roles: Those of rag_owner, rag_app and rag_worker that exist.
        grants: (relation, column or "", grantee, privilege) of what nobody may have.
        views: (name, whether it is materialized) of those that read with their owner's rights.
        invalid_indexes: But for the collections' vector indexes.
    """

    role: Role
    roles: Sequence[Role] = ()
    tables: Sequence[FencedTable] = ()
    grants: Sequence[tuple[str, str, str, str]] = ()
    views: Sequence[tuple[str, bool]] = ()
    functions: Sequence[DefinerFunction] = ()
    invalid_indexes: Sequence[str] = ()


# ----------------------------------------------------------------------------------------------------------- survey


def audit() -> Plan[Audit]:
    """Look at everything and change nothing. One transaction of the application: it makes temporary tables."""
    for name, statements in (("rag_fence_chunks", _fence("rag_fence_chunks")), ("rag_fence_documents", _documents())):
        temporary = sql.SQL("CREATE TEMP TABLE {} (tenant_id text, scope text) ON COMMIT DROP")
        yield Execute(temporary.format(sql.Identifier(name)), prepare=False)
        for statement in statements.values():
            yield Execute(_raw(statement.replace("rag.documents", "pg_temp.rag_fence_documents")), prepare=False)
    chunks = yield from _policies("pg_temp.rag_fence_chunks")
    documents = yield from _policies("pg_temp.rag_fence_documents")
    rows = yield Execute(sql.SQL("SELECT name FROM rag.collections WHERE tenancy = 'single'"))
    single = [table_name(name, kind) for (name,) in rows for kind in ("chunks", *KEYWORD_KINDS)]
    rows = yield Execute(
        sql.SQL(
            "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped "
            "WHERE c.relnamespace = 'rag'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> ALL(%s::text[]) "
            "ORDER BY 1"
        ),
        ([_UNFENCED, *single],),
    )
    tables = []
    for name, enabled, forced in rows:
        found = yield from _policies(_quoted(name))
        expected = documents if name in CONTROL else chunks
        tables.append(FencedTable(name=name, enabled=enabled, forced=forced, policies=found, expected=expected))
    names = [table.name for table in tables]
    role, roles = yield from _roles(names)
    return Audit(
        role=role,
        roles=roles,
        tables=tables,
        grants=(yield from _grants([*names, _UNFENCED])),
        views=(yield from _views()),
        functions=(yield from _functions()),
        invalid_indexes=(yield from _invalid_indexes()),
    )


def _policies(relation: str) -> Plan[Policies]:
    rows = yield Execute(
        sql.SQL(
            "SELECT polname::text, polcmd::text, polpermissive, polroles::oid[]::text, "
            "pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid) "
            "FROM pg_policy WHERE polrelid = to_regclass(%s)"
        ),
        (relation,),
    )
    return {name: tuple(rest) for name, *rest in rows}


def _roles(tables: Sequence[str]) -> Plan[tuple[Role, list[Role]]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT rolname::text, rolsuper, rolbypassrls, rolname = current_user, "
            "EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'rag'::regnamespace "
            "AND c.relname = ANY(%s::text[]) AND pg_has_role(r.oid, c.relowner, 'MEMBER')) "
            "FROM pg_roles r WHERE rolname = current_user OR rolname = ANY(%s::text[]) ORDER BY 1"
        ),
        (list(tables), [OWNER, APP, WORKER]),
    )
    roles = {r[0]: Role(name=r[0], superuser=r[1], bypass=r[2], owner=r[4] and r[0] != OWNER) for r in rows}
    (current,) = (r[0] for r in rows if r[3])
    return roles[current], [roles[name] for name in (OWNER, APP, WORKER) if name in roles]


def _grants(tables: Sequence[str]) -> Plan[list[tuple[str, str, str, str]]]:
    """Everything to PUBLIC; what escapes row-level security, to anybody; and on the keys, whatever is granted."""
    rows = yield Execute(
        sql.SQL(
            "SELECT g.relname::text, g.attname::text, "
            "CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, g.privilege_type "
            "FROM (SELECT c.relname, '' AS attname, c.relowner, a.* FROM pg_class c, aclexplode(c.relacl) a "
            "WHERE c.relnamespace = 'rag'::regnamespace AND c.relname = ANY(%s::text[]) "
            "UNION ALL SELECT c.relname, t.attname, c.relowner, a.* FROM pg_class c "
            "JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a "
            "WHERE c.relnamespace = 'rag'::regnamespace AND c.relname = ANY(%s::text[])) g "
            "WHERE g.grantee <> g.relowner AND (g.grantee = 0 OR g.relname = %s "
            "OR g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')) ORDER BY 1, 2, 3, 4"
        ),
        (list(tables), list(tables), _UNFENCED),
    )
    return [(r[0], r[1], r[2], r[3]) for r in rows]


def _views() -> Plan[list[tuple[str, bool]]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT c.relname::text, c.relkind = 'm' FROM pg_class c WHERE c.relnamespace = 'rag'::regnamespace "
            "AND (c.relkind = 'm' OR c.relkind = 'v' AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o "
            "WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)) ORDER BY 1"
        )
    )
    return [(name, materialized) for name, materialized in rows]


def _functions() -> Plan[list[DefinerFunction]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT p.proname::text, format('rag.%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), "
            "p.prosrc, coalesce(p.proconfig, '{}'), EXISTS (SELECT FROM "
            "aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0) "
            "FROM pg_proc p WHERE p.pronamespace = 'rag'::regnamespace AND p.prosecdef ORDER BY 2"
        )
    )
    return [DefinerFunction(name=n, signature=s, body=b, settings=tuple(c), public=p) for n, s, b, c, p in rows]


def _invalid_indexes() -> Plan[list[str]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
            "JOIN pg_am a ON a.oid = i.relam "
            "WHERE i.relnamespace = 'rag'::regnamespace AND NOT x.indisvalid "
            "AND a.amname NOT IN ('hnsw', 'ivfflat') ORDER BY 1"
        )
    )
    return [row[0] for row in rows]


# ---------------------------------------------------------------------------------------------- what should be there


def _fence(*relation: str) -> dict[str, str]:
    """The statements of a fence, by the policy that they make, "enable" and "force"."""
    statements = (statement.as_string(None) for statement in fence_sql(sql.Identifier(*relation)))
    return _named(statements)


def _documents(name: str = "documents") -> dict[str, str]:
    """The same for ``rag.documents`` and those that are fenced like it, from the migration's own text."""
    found = re.findall(r"^(?:ALTER TABLE|CREATE POLICY)\b[^;]*", read_sql("tenants.sql"), re.MULTILINE)
    return _named(each.replace("rag.documents", f"rag.{name}") for each in found if "rag.documents" in each)


def _named(statements: Iterable[str]) -> dict[str, str]:
    named = {}
    for statement in statements:
        policy = re.match(r'CREATE POLICY "?(\w+)', statement)
        key = policy[1] if policy else "force" if " FORCE " in statement else "enable"
        named[key] = " ".join(statement.split())
    return named


def _known_functions() -> dict[str, dict[str, str]]:
    """Of every function of this package that runs with its owner's rights: the hashes of its bodies, and its text."""
    known: dict[str, dict[str, str]] = {}
    for file in resources.files("rag_pgvector.sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        pattern = r"CREATE OR REPLACE FUNCTION rag\.(\w+)\((?:(?!\$\$).)*?AS \$\$(.*?)\$\$"
        for match in re.finditer(pattern, file.read_text(encoding="utf-8"), re.DOTALL):
            if "SECURITY DEFINER" in match[0]:
                known.setdefault(match[1], {})[_hash(match[2])] = match[0]
    return known


def _hash(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _quoted(name: str) -> str:
    return sql.Identifier(SCHEMA, name).as_string(None)


def _raw(statement: str) -> sql.Composed:
    """A statement of this package's own files, as it stands there."""
    return sql.SQL(statement.replace("{", "{{").replace("}", "}}")).format()


# --------------------------------------------------------------------------------------------------------- findings


def isolation_findings(found: Audit) -> Iterator[Finding]:
    """What an audit tells of a database with multi-tenant collections."""
    yield from _role_findings(found)
    for table in found.tables:
        yield from _fence_findings(table)
    for grant in found.grants:
        yield _grant_finding(*grant)
    for name, materialized in found.views:
        kind = "materialized view" if materialized else "view"
        remedy = "DROP MATERIALIZED VIEW {}" if materialized else "ALTER VIEW {} SET (security_invoker = true)"
        yield _error(
            "view",
            f"the {kind} rag.{name} reads with its owner's rights",
            "it shows every tenant's rows to whoever may read it",
            _ADMIN + remedy.format(_quoted(name)),
        )
    known = _known_functions()
    for function in found.functions:
        yield from _function_findings(function, known.get(function.name))


def index_findings(found: Audit) -> Iterator[Finding]:
    """Invalid indexes other than the vector indexes, which are told with their collections."""
    for name in found.invalid_indexes:
        yield _error(
            "index",
            f"the index rag.{name} is invalid",
            "queries do not use it, and every write still pays for it",
            f"run as the table's owner: REINDEX INDEX {_quoted(name)}",
        )


def _error(check: str, what: str, why: str, remedy: str) -> Finding:
    return Finding(level="error", check=check, what=what, why=why, remedy=remedy)


def _role_findings(found: Audit) -> Iterator[Finding]:
    role = found.role
    if role.superuser or role.bypass or role.owner:
        flaw = "is a superuser" if role.superuser else "has BYPASSRLS" if role.bypass else "owns tenants' tables"
        yield _error(
            "role",
            f"the application's role {role.name!r} {flaw}",
            "row-level security would not keep tenants apart, so multi-tenant collections cannot be opened",
            "run: rag-pgvector db grant --role NAME --create (and set DATABASE_URL to that role)",
        )
    for group in found.roles:
        if group.superuser or group.bypass or group.owner:
            flaw = "is a superuser" if group.superuser else "has BYPASSRLS" if group.bypass else f"belongs to {OWNER}"
            named = sql.Identifier(group.name).as_string(None)
            mend = f"REVOKE {OWNER} FROM {named}" if group.owner else f"ALTER ROLE {named} NOSUPERUSER NOBYPASSRLS"
            yield _error(
                "role", f"the role {group.name} {flaw}", "its members escape row-level security", _ADMIN + mend
            )


def _fence_findings(table: FencedTable) -> Iterator[Finding]:
    statements = _documents(table.name) if table.name in CONTROL else _fence(SCHEMA, table.name)
    flags = {"enable": ("enabled", table.enabled), "force": ("forced", table.forced)}
    missing = {name: word for name, (word, on) in flags.items() if not on}
    if missing:
        yield _error(
            "fence",
            f"row-level security of rag.{table.name} is not {' and not '.join(missing.values())}",
            "the policies that keep tenants apart do not hold" if not table.enabled else "they do not hold its owner",
            _ADMIN + "; ".join(statements[name] for name in missing),
        )
    for name, policy in table.expected.items():
        if table.policies.get(name) != policy:
            drop = f"DROP POLICY {name} ON {_quoted(table.name)}; " if name in table.policies else ""
            yield _error(
                "policy",
                f"the policy {name!r} of rag.{table.name} is {'not ours' if drop else 'gone'}",
                "it is one of those that keep tenants apart",
                _ADMIN + drop + statements[name],
            )
    for name in sorted(table.policies.keys() - table.expected.keys()):
        own = sql.Identifier(name).as_string(None)
        yield Finding(
            level="warning",
            check="policy",
            what=f"rag.{table.name} has the policy {name!r}, which this package does not know",
            why="it cannot widen what a tenant sees, but it may hide or refuse rows of its own",
            remedy=f"keep it if it is yours, else {_ADMIN}DROP POLICY {own} ON {_quoted(table.name)}",
        )


def _grant_finding(relation: str, column: str, grantee: str, privilege: str) -> Finding:
    columns = f" ({sql.Identifier(column).as_string(None)})" if column else ""
    if grantee == "PUBLIC":
        why = "every role of the server has it then"
    elif relation == _UNFENCED:
        why = "API keys are the administrator's alone; the application asks rag.authenticate_key"
    else:
        why = "row-level security does not hold TRUNCATE, foreign keys and triggers"
    return _error(
        "grant",
        f"{grantee} has {privilege}{columns} on rag.{relation}",
        why,
        f"{_ADMIN}REVOKE {privilege}{columns} ON {_quoted(relation)} FROM {grantee}",
    )


def _function_findings(function: DefinerFunction, known: Mapping[str, str] | None) -> Iterator[Finding]:
    if known is None:
        yield _error(
            "function",
            f"{function.signature} runs with its owner's rights and is not of this package",
            "it may show any tenant's rows to whoever may call it",
            f"{_ADMIN}ALTER FUNCTION {function.signature} SECURITY INVOKER",
        )
        return
    if _hash(function.body) not in known:
        yield _error(
            "function",
            f"the body of {function.signature} is not this package's",
            "it runs with its owner's rights, so what it does must be known",
            _ADMIN + list(known.values())[-1],
        )
    if _SEARCH_PATH not in function.settings:
        yield _error(
            "function",
            f"{function.signature} has no fixed search_path",
            "its caller could put other functions in the place of those that it means",
            f"{_ADMIN}ALTER FUNCTION {function.signature} SET search_path = pg_catalog, pg_temp",
        )
    if function.public:
        yield _error(
            "function",
            f"everybody may call {function.signature}",
            "it runs with its owner's rights and is meant for the application alone",
            f"{_ADMIN}REVOKE ALL ON FUNCTION {function.signature} FROM PUBLIC",
        )
