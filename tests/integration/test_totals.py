"""What a column comes to, as the database computes it: figures as written, rows once, one tenant's alone."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.errors import TenantError
from rag_pgvector.totals import ColumnTotals

CELLS: Sequence[object] = ["1,234", "RM 12.50", "7 %", 3, 0.1, -2, "n/a", None, ""]


def rows(document: str, cells: Sequence[object], kind: str = "a") -> list[Chunk]:
    return [
        Chunk(
            id=f"{document}:{place}",
            content="row",
            document_id=document,
            page_or_row=place,
            metadata={"kind": kind} | ({} if cell is None else {"x.y": cell}),
            embedding=[1.0, 0.0, 0.0],
        )
        for place, cell in enumerate(cells)
    ]


@pytest.fixture
def shared(tenant_db: Database) -> Collection:
    return tenant_db.collection("shared", config=CollectionConfig(dimensions=3, tenancy="multi"))


async def test_figures_rows_and_tenants(shared: Collection) -> None:
    mine = shared.for_tenant("figures")
    mine.add(rows("d", CELLS))
    found = mine.totals("x.y", document_id="d")
    assert (found.rows, found.filled, found.numbers) == (9, 8, 6)
    assert found.sum == Decimal("1254.6")
    assert (found.least, found.greatest) == (Decimal(-2), Decimal(1234))
    assert mine.totals("absent") == ColumnTotals(9, 0, 0, 0, None, None, None, None)

    exact = shared.for_tenant("exact")
    exact.add(rows("d", [0.1] * 10))
    assert exact.totals("x.y").sum == Decimal("1.0")

    one, other = shared.for_tenant("one"), shared.for_tenant("other")
    one.add([*rows("d", [1, 2]), *rows("e", [10], kind="b")])
    other.add(rows("d", [1_000]))
    assert one.totals("x.y", document_id=["d", "e"]).sum == Decimal(13)
    assert one.totals("x.y", filter={"kind": "b"}).sum == Decimal(10)
    assert (await one.atotals("x.y", document_id="d")).sum == Decimal(3)
    by_kind = one.totals_by("x.y", "kind")
    assert {kind: total.sum for kind, total in by_kind.items()} == {"a": Decimal(3), "b": Decimal(10)}
    assert await one.atotals_by("x.y", "kind") == by_kind
    assert one.totals_by("x.y", "absent", filter={"kind": "b"})[None].sum == Decimal(10)
    assert other.totals("x.y").greatest == Decimal(1_000)
    with pytest.raises(TenantError):
        shared.totals("x.y")


def test_a_row_of_several_chunks_counts_once(db: Database) -> None:
    mine = db.collection("divided", config=CollectionConfig(dimensions=3))
    first, second = rows("d", [5, 6])
    again = Chunk(
        id="d:0b", content="rest", document_id="d", page_or_row=0, metadata=first.metadata, embedding=[0.0, 1.0, 0.0]
    )
    mine.add([first, again, second])
    found = mine.totals("x.y")
    assert (found.rows, found.sum, found.mean) == (2, Decimal(11), Decimal("5.5"))
