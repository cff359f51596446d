"""Questions to a collection: cited answers from documents and tables, and honest silence."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.answer.plain import plain
from rag_pgvector.embedding import Embedder, resolve_embedder
from rag_pgvector.ingest import ingest

TEA = """# Tea

## Brewing

Green tea is steeped at 80 degrees for two minutes. Black tea takes boiling water and four minutes.
It turns bitter when it is steeped for too long.

## Storage

Keep the leaves in a closed tin, away from light. The shelf life of white tea is about two years.

## Orders by program

Place an order with the `order_tea` function of the client:

```python
client.order_tea("sencha", grams=100)
```

The option `grind_size` sets how fine matcha is ground.
"""
LIGHTHOUSE = """The lighthouse of Cape Verity was built in 1871 by Ada Holm. Its lamp burned whale oil until 1902.
The keeper's house was added later. A storm destroyed the pier in 1934.

Visitors reach the cape by a footpath from the village of Orrin. The path is closed in winter.
"""
HARVEST = """year,region,crop,tonnes,price_per_tonne
2021,North,barley,"12,400",181.50
2021,South,barley,"9,850",179.00
2021,North,oats,"4,020",150.25
2022,North,barley,"13,075",240.00
2022,South,barley,"8,990",238.75
"""


@pytest.fixture(scope="module")
def model() -> Embedder:
    return resolve_embedder()


@pytest.fixture
def collection(database_url: str, model: Embedder) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=CollectionConfig(dimensions=384), embedder=model)


def filled(collection: Collection, folder: Path) -> Collection:
    for name, content in {"tea.md": TEA, "cape.txt": LIGHTHOUSE, "harvest.csv": HARVEST}.items():
        (folder / name).write_text(content, encoding="utf-8")
    assert not ingest(collection, folder).failed
    return collection


@pytest.fixture(scope="module")
def library(
    server_url: str, template: str, model: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    """A collection that the tests of this module only read."""
    name = f"rag_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        with Database(url) as db:
            collection = db.collection("docs", config=CollectionConfig(dimensions=384), embedder=model)
            yield filled(collection, tmp_path_factory.mktemp("library"))
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def verified(collection: Collection, given: GroundedAnswer) -> GroundedAnswer:
    """The answer, once every span in it is what the store holds."""
    for citation in (*given.citations, *given.near_misses):
        if citation.doc_id is not None:
            document = collection.document(citation.doc_id)
            assert document is not None
            text = document.text
        else:
            text = collection.get([citation.chunk_id])[0].content
        assert text[citation.char_start : citation.char_end] == citation.snippet
    return given


@pytest.mark.parametrize(
    ("question", "holds", "source"),
    [
        ("At how many degrees is green tea steeped?", "80 degrees", "tea.md"),
        ("Who built the lighthouse of Cape Verity?", "Ada Holm", "cape.txt"),
        ("When did a storm destroy the pier?", "1934", "cape.txt"),
        ("What is the shelf life of white tea?", "two years", "tea.md"),
        ("How is an order placed with the order_tea function?", 'client.order_tea("sencha", grams=100)', "tea.md"),
        ("What does the option grind_size set?", "how fine matcha is ground", "tea.md"),
    ],
)
def test_documents_answer_with_a_verbatim_citation(library: Collection, question: str, holds: str, source: str) -> None:
    given = verified(library, library.ask(question))
    assert given.failure_mode is None, given
    assert given.answer is not None
    assert holds in given.answer
    snippet = given.citations[0].snippet
    assert given.answer == (snippet if "```" in snippet else plain(snippet))
    assert given.citations[0].source.endswith(source)
    assert given.mode == "extractive"


@pytest.mark.parametrize(
    ("question", "answer", "row"),
    [
        ("How many tonnes of barley did the North harvest in 2022?", "13,075 (tonnes, 2022, North, barley)", 3),
        ("price per tonne of oats, North 2021", "150.25 (price_per_tonne, 2021, North, oats)", 2),
    ],
)
def test_tables_answer_with_the_row(library: Collection, question: str, answer: str, row: int) -> None:
    given = verified(library, library.ask(question))
    assert given.answer == answer
    assert [(each.page_or_row, each.source.endswith("harvest.csv")) for each in given.citations] == [(row, True)]
    assert given.citations[0].columns is not None
    assert set(given.citations[0].columns) >= {"year", "crop"}


def test_a_calculation_is_made_by_the_database(library: Collection) -> None:
    given = verified(library, library.ask("Which region had the highest tonnes of barley in 2021?"))
    assert given.answer == "12,400 (tonnes, 2021, North, barley): highest of 2 rows"
    assert [each.page_or_row for each in given.citations] == [0, 1]
    given = verified(library, library.ask("What was the sum of tonnes of barley over all regions in 2022?"))
    assert given.answer == "22,065 (sum of tonnes over 2 rows)"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("What is the capital of Mongolia?", "low_confidence"),
        ("How many passengers does the ferry to Iceland carry?", "low_confidence"),
        ("What happened to the pier in 1999?", "insufficient_evidence"),
        ("What does the option grind_speed set?", "insufficient_evidence"),
        ('Who said "the lamp must burn"?', "insufficient_evidence"),
        ("How many tonnes of barley did the North harvest in 2020?", "insufficient_evidence"),
        ("How many tonnes of wheat did the North harvest in 2021?", "insufficient_evidence"),
        ("", "invalid_query"),
        ("?!…", "invalid_query"),
    ],
)
def test_what_is_not_there_is_not_answered(library: Collection, question: str, reason: str) -> None:
    given = verified(library, library.ask(question))
    assert given.answer is None
    assert given.citations == ()
    assert given.failure_mode == reason
    assert given.confidence < 0.6
    assert bool(given.near_misses) == (reason != "invalid_query")


def test_rows_of_tables_are_not_prose(library: Collection) -> None:
    given = library.ask("barley in the North", threshold=0.0)
    assert all(not each.source.endswith(".csv") for each in given.citations)


async def test_both_colours_answer_alike(database_url: str, model: Embedder, tmp_path: Path) -> None:
    async with Database(database_url) as db:
        library = filled(db.collection("docs", config=CollectionConfig(dimensions=384), embedder=model), tmp_path)
        asked = ("Who built the lighthouse of Cape Verity?", "barley tonnes South 2021", "Where is the moon?")
        for question in (*asked, "What was the highest price per tonne of barley in 2021?"):
            assert await library.aask(question) == library.ask(question)


def test_an_empty_collection_has_no_results(collection: Collection) -> None:
    given = collection.ask("Who built the lighthouse?")
    assert given.failure_mode == "no_results"
    assert given.confidence == 0.0


def test_a_chunk_added_by_hand_is_its_own_source(collection: Collection) -> None:
    collection.add(
        [
            Chunk(id="x", content="The bridge of Orrin was opened in 1911. It has nine arches.", source="notes"),
            Chunk(id="y", content="Bread is baked on Tuesdays.", metadata={"kind": "food"}),
        ]
    )
    given = verified(collection, collection.ask("When was the bridge of Orrin opened?"))
    assert given.answer is not None
    assert "1911" in given.answer
    assert given.citations[0].chunk_id == "x"
    assert given.citations[0].doc_id is None
    filtered = collection.ask("When was the bridge of Orrin opened?", filter={"kind": "food"})
    assert filtered.answer is None


def test_a_default_is_told_and_a_description_is_not_one(collection: Collection) -> None:
    text = (
        "# Settings of the pool\n\n- `pool.depth` is the number of jobs that wait for a worker. The default is 12.\n"
        "- `pool.patience` is how long a job waits before it is dropped. A long one fills the memory.\n"
    )
    collection.add([Chunk(content=text, source="pool.md", id="p1")])
    given = collection.ask("What is the default of pool.depth?", threshold=0.0)
    assert given.answer == "pool.depth is the number of jobs that wait for a worker. The default is 12."
    assert given.citations[0].snippet == "`pool.depth` is the number of jobs that wait for a worker. The default is 12."
    withheld = collection.ask("What is the default of pool.patience?", threshold=0.0)
    assert (withheld.answer, withheld.failure_mode) == (None, "insufficient_evidence")


def test_the_same_sentence_in_two_documents_is_cited_twice(collection: Collection, tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(f"About {name}.\n\nThe well of Orrin is forty metres deep.\n")
    ingest(collection, tmp_path)
    given = verified(collection, collection.ask("How deep is the well of Orrin?"))
    assert sorted(Path(each.source).name for each in given.citations) == ["one.txt", "two.txt"]


@pytest.mark.parametrize(
    "question",
    [
        "x" * 100_000,
        "tea " * 5_000,
        "\x00\x01\x02 tea \x7f",
        "茶は何度で淹れますか",
        "١٩٠٢",
        "'\"`%_\\$",
        "a\u202eb\u200dc",
        "%s {0} {x}",
    ],
    ids=range(8),
)
def test_no_question_raises(library: Collection, question: str) -> None:
    first = verified(library, library.ask(question))
    assert first == library.ask(question)
