"""Connections: where they come from, whom they belong to, and what happens when they are refused."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.errors import (
    ConfigError,
    ConnectionFailedError,
    DatabaseError,
    ExtensionError,
    PermissionDeniedError,
    SchemaError,
)
from rag_pgvector.plan import Batch, Execute, Plan

THREE = CollectionConfig(dimensions=3)


def one() -> Plan[int]:
    rows = yield Execute(sql.SQL("SELECT 1"))
    return int(rows[0][0])


def piped() -> Plan[int]:
    rows = yield Batch([Execute(sql.SQL("SELECT 0")), Execute(sql.SQL("SELECT %s::int"), (2,))])
    return int(rows[0][0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sqlalchemy_url(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


# ----------------------------------------------------------------------------------------------------------- addresses


def test_the_argument_beats_the_environment_beats_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/x")
    assert Database(database_url).url == database_url
    monkeypatch.setenv("DATABASE_URL", sqlalchemy_url(database_url, "psycopg"))
    with Database() as db:
        assert db.run(one) == 1
        assert db.url == database_url
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "url").write_text(database_url + "\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert Database().url == database_url


def test_the_administrators_url_must_name_the_same_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    admin = make_conninfo(database_url, application_name="admin")
    monkeypatch.setenv("ADMIN_DATABASE_URL", admin)
    db = Database(database_url)
    assert db.admin_is_separate
    assert conninfo_to_dict(db.admin_url)["application_name"] == "admin"
    monkeypatch.setenv("ADMIN_DATABASE_URL", "postgresql://root:s3cret@elsewhere/x")
    other = Database(database_url)
    assert other.admin_url == database_url
    assert "elsewhere:5432/x" in caplog.text
    assert "s3cret" not in caplog.text
    # Beside DATABASE_URL, which may be a pooler's address, the name tells.
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@pooler:6432/x")
    assert Database().admin_url == "postgresql://root:s3cret@elsewhere/x"
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@pooler:6432/y")
    assert Database().admin_url == "postgresql://app@pooler:6432/y"


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", True])
def test_a_pool_of_no_connections_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match=r"pool_size=.*: use"):
        Database("postgresql://h/d", pool_size=size)


# ------------------------------------------------------------------------------------------- other people's connections


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_an_engine_lends_its_address_and_nothing_else(database_url: str, driver: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url, driver))
    with Database.from_engine(engine, pool_size=2) as db:
        assert db.run(one) == 1
        assert db.collection("docs", config=THREE).count() == 0
    assert engine.pool.checkedin() == 0, "it made no connection"  # type: ignore[attr-defined]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()


async def test_an_asynchronous_engine_lends_its_address(database_url: str) -> None:
    engine = create_async_engine(sqlalchemy_url(database_url, "psycopg"))
    async with Database.from_engine(engine) as db:
        assert await db.arun(one) == 1
    async with engine.connect() as connection:
        assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
    await engine.dispose()


def test_connect_args_of_an_engine_count(database_url: str) -> None:
    engine = create_engine(sqlalchemy_url(database_url, "psycopg"), connect_args={"application_name": "from engine"})
    with Database.from_engine(engine) as db:
        assert conninfo_to_dict(db.url)["application_name"] == "from engine"
        assert db.run(one) == 1


def test_an_engine_that_connects_by_itself_is_refused(database_url: str) -> None:
    own = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=NullPool)
    listened = create_engine(sqlalchemy_url(database_url, "psycopg"))
    event.listen(listened, "do_connect", lambda *_: None)
    for engine in (own, listened):
        with pytest.raises(ConfigError, match="makes its own connections"):
            Database.from_engine(engine)
    with pytest.raises(ConfigError, match="sqlite"):
        Database.from_engine(create_engine("sqlite://"))


@pytest.mark.parametrize(
    "options",
    [{}, {"autocommit": True}, {"row_factory": dict_row}, {"cursor_factory": psycopg.ClientCursor}],
    ids=["plain", "autocommit", "dict_row", "client-cursor"],
)
def test_a_callers_pool_is_used_as_it_is_and_never_closed(
    database_url: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with ConnectionPool(database_url, kwargs=options, min_size=1, max_size=2) as pool:
        with Database.from_pools(pool) as db:
            docs = db.collection("docs", config=THREE)
            docs.add([Chunk(id="a", content="a", embedding=[1, 0, 0])])
            docs.add([Chunk(id=f"{i}", content="b", embedding=[0, 1, 0]) for i in range(50)])
            assert docs.search(vector=[1, 0, 0], k=1)[0].chunk.id == "a"
            assert docs.get(["a"])[0].content == "a"
            assert db.run(piped) == 2
        with pool.connection() as conn:
            assert conn.execute("SELECT 1").fetchone() is not None
            assert conn.autocommit == options.get("autocommit", False)
    assert "rolling back" not in caplog.text


async def test_a_callers_asynchronous_pool_is_never_closed(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncConnectionPool(database_url, min_size=1, max_size=1, kwargs={"row_factory": dict_row}) as pool:
        async with Database.from_pools(async_pool=pool) as db:
            docs = await db.acollection("docs", config=THREE)
            await docs.aadd([Chunk(id="a", content="a", embedding=[1, 0, 0])])
            assert await docs.acount() == 1
            assert await db.arun(piped) == 2
        async with pool.connection() as conn:
            await conn.execute("SELECT 1")
    assert "rolling back" not in caplog.text


def test_from_pools_needs_one() -> None:
    with pytest.raises(ConfigError, match="pool="):
        Database.from_pools()


# --------------------------------------------------------------------------------------------------------- event loops


def test_a_database_outlives_event_loops_and_leaves_nothing_open(
    database_url: str, server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "psycopg.pool")  # its captured records would keep connections alive

    async def work(db: Database) -> list[int]:
        return await asyncio.gather(*(db.arun(one) for _ in range(20)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        db = Database(database_url, pool_size=4)
        for _ in range(3):
            assert asyncio.run(work(db)) == [1] * 20
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(work(db)) == [1] * 20
        loop.run_until_complete(db.aclose())
        loop.close()
        db.close()
        del db
        gc.collect()
    assert [str(each.message) for each in caught] == []
    assert open_connections(server_url, database_url) == 0


def open_connections(server_url: str, database_url: str) -> int:
    """How many there are; a server notices the end of one a moment later."""
    name = conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(server_url, autocommit=True) as conn:
        for _ in range(50):
            row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone()
            assert row is not None
            if row[0] == 0:
                break
            time.sleep(0.05)
        assert row is not None
        return int(row[0])


def test_threads_with_loops_of_their_own_share_one_database(database_url: str) -> None:
    async def work(db: Database) -> int:
        return sum(await asyncio.gather(*(db.arun(one) for _ in range(10))))

    with Database(database_url, pool_size=2) as db, ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda _: asyncio.run(work(db)) + db.run(one), range(48)))
    assert found == [11] * 48


def test_a_loop_that_ends_while_its_pool_grows_ends(database_url: str) -> None:
    """asyncio.run cancels the pool's workers; one that is just connecting used to swallow that and run for ever."""
    program = """
        import asyncio, sys
        from rag_pgvector import Database, schema
        async def work(db):
            await asyncio.gather(*(db.arun(schema.current_role) for _ in range(40)))
        db = Database(sys.argv[1])
        for _ in range(8):
            asyncio.run(work(db))
        print("ended")
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), database_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "ended\n", done.stderr
    assert "Warning" not in done.stderr


# -------------------------------------------------------------------------------------------------------------- errors


def refused(url: str, **options: Any) -> ConnectionFailedError:
    """The error of both colours, which must be the same."""

    async def work() -> None:
        async with Database(url, **options) as db:
            await db.arun(one)

    with Database(url, **options) as db, pytest.raises(ConnectionFailedError) as caught:
        db.run(one, retry=True)
    with pytest.raises(ConnectionFailedError) as again:
        asyncio.run(work())
    assert str(again.value) == str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.Error)
    assert isinstance(caught.value, ConnectionError)
    return caught.value


def test_nothing_listens(database_url: str) -> None:
    port = free_port()
    started = time.monotonic()
    error = refused(f"postgresql://u:s3cret@127.0.0.1:{port}/d")
    assert f"no connection to 127.0.0.1:{port}/d" in str(error)
    assert "is the server running" in str(error)
    assert "s3cret" not in "".join(traceback.format_exception(error)).replace("def test", "")
    assert time.monotonic() - started < 5


def test_an_unknown_database(server_url: str) -> None:
    error = refused(make_conninfo(server_url, dbname="no_such_database"))
    assert 'database "no_such_database" does not exist: create it' in str(error)


@pytest.fixture(scope="module")
def scram_url(server_url: str) -> Iterator[str]:
    """A server that asks for the password: the test server does, or an embedded one."""
    try:
        psycopg.connect(make_conninfo(server_url, password="wr0ng")).close()
    except psycopg.OperationalError:
        yield server_url
        return
    from rag_pgvector import embedded

    home = Path(tempfile.mkdtemp(prefix="rag_pgvector_scram_"))
    home.chmod(0o755)
    yield embedded.start(home=home).url
    embedded.stop(home=home)


@pytest.mark.parametrize("password", ["wr0ng p@ss", ""])
def test_a_wrong_password_is_never_shown(scram_url: str, password: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    parts: dict[str, Any] = conninfo_to_dict(scram_url)
    parts.pop("password", None)
    error = refused(make_conninfo(**parts, **({"password": password} if password else {})))
    assert "refused the user or the password: check both in DATABASE_URL" in str(error)
    shown = "".join(traceback.format_exception(error)) + caplog.text
    assert password not in shown or not password


def test_a_role_that_may_not_create_the_extension(empty_database: str) -> None:
    role = f"rag_test_{threading.get_native_id()}_{time.monotonic_ns()}"
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        try:
            with Database(make_conninfo(empty_database, user=role, password="x")) as db:
                with pytest.raises(PermissionDeniedError, match=r"extension.*ADMIN_DATABASE_URL"):
                    db.upgrade()
                with pytest.raises(PermissionDeniedError):
                    db.collection("docs", config=THREE)
        finally:
            conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_an_extension_that_is_too_old(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as conn, Database(empty_database) as db:
        conn.execute("CREATE EXTENSION vector")
        conn.execute("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        with pytest.raises(ExtensionError, match=r"pgvector is 0\.7\.4, .* 0\.8 or newer: run ALTER EXTENSION"):
            db.upgrade()
        row = conn.execute("SELECT to_regnamespace('rag')").fetchone()
        assert row == (None,), "nothing was made"


def test_a_statement_timeout_is_not_tried_again(database_url: str) -> None:
    attempts = []

    def sleep() -> Plan[None]:
        attempts.append(1)
        yield Execute(sql.SQL("SELECT pg_sleep(10)"))

    url = make_conninfo(database_url, options="-c statement_timeout=100ms")
    with Database(url) as db:
        with pytest.raises(DatabaseError, match="statement timeout") as caught:
            db.run(sleep, retry=True)
        assert caught.value.sqlstate == "57014"
        assert len(attempts) == 1
        assert db.run(one) == 1


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_a_schema_of_another_version_is_refused(database_url: str, revision: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("UPDATE rag.alembic_version SET version_num = %s", (revision,))
    with Database(database_url) as db:
        with pytest.raises(SchemaError, match=rf"revision '{revision}'.*db upgrade"):
            db.collections()
        with pytest.raises(SchemaError, match=revision):
            db.upgrade()
