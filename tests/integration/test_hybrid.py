"""Search by words, by vectors and by both, in both colours: modes, fallback, tenants, what goes together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.errors import ConfigError, DimensionError, EmbedderMismatchError, EmbeddingError
from rag_pgvector.plan import Batch, Execute, Together

Call = Callable[..., Any]
TEXTS = {
    "kite": "The wau bulan is a moon-shaped kite from Kelantan.",
    "top": "Gasing are spinning tops of wood and iron.",
    "rice": "Nasi lemak is rice cooked in coconut milk.",
    "code": "Patch R101 closes CVE-2026-3172 in the boiler.",
}


def letters(texts: list[str]) -> Any:
    """An embedder without a model: how often each letter occurs."""
    counts = [[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    return np.asarray(counts, dtype=np.float32)


class Moody:
    """An embedder that can be told to fail, or to keep callers waiting."""

    name = "moody"

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.delay = 0.0
        self.calls = 0

    def __call__(self, texts: list[str]) -> Any:
        self.calls += 1
        if self.error is not None:
            raise self.error
        time.sleep(self.delay)
        return letters(texts)


@pytest.fixture
def embedder() -> Moody:
    return Moody()


@pytest.fixture
def docs(make: Callable[..., Collection], embedder: Moody) -> Collection:
    docs = make(embedder, dimensions=26)
    docs.add(Chunk(id=id_, content=text, metadata={"n": n}) for n, (id_, text) in enumerate(TEXTS.items()))
    return docs


def ids(result: Any) -> list[str]:
    return [str(hit.chunk.id) for hit in result]


def test_a_question_is_searched_by_both_arms(call: Call, docs: Collection) -> None:
    found = call(docs, "search", "what does CVE-2026-3172 close?", k=4)
    assert found.plan.kind == "hybrid"
    assert [part.kind for part in found.plan.parts] == ["exact", "keyword"]
    assert 0.0 <= found.plan.alpha <= 1.0
    assert found.plan.warnings == ()
    assert ids(found)[0] == "code"
    assert sorted(ids(found)) == sorted(TEXTS)  # those that share no word are found by their vectors
    assert found[0].keyword_score > 0
    assert all(0.0 <= hit.score <= 1.0 and hit.distance is not None for hit in found)


def test_each_mode_does_what_it_says(call: Call, docs: Collection) -> None:
    def search(mode: Any, **given: Any) -> Any:
        return call(docs, "search", options=SearchOptions(mode=mode), **given)

    words = search("keyword", query="moon kite")
    assert (words.plan.kind, ids(words)) == ("keyword", ["kite"])
    assert len(search("dense", query="moon kite")) == 4
    assert search("dense", query="moon kite").plan.kind == "exact"
    assert search(None, vector=letters(["kite"])[0]).plan.kind == "exact"
    assert search(None, query="moon kite").plan.kind == "hybrid"


def test_a_question_with_its_vector_is_not_embedded(call: Call, docs: Collection, embedder: Moody) -> None:
    before = embedder.calls
    found = call(docs, "search", "coconut", vector=letters([TEXTS["top"]])[0], options=SearchOptions(alpha=0.5))
    assert embedder.calls == before
    assert found.plan.kind == "hybrid"
    assert set(ids(found)[:2]) == {"rice", "top"}


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({"vector": [1.0] * 26}, "hybrid"),
        ({"vector": [1.0] * 26}, "keyword"),
        ({"query": "kite", "vector": [1.0] * 26}, "dense"),
        ({"query": "kite", "vector": [1.0] * 26}, "keyword"),
        ({}, None),
    ],
)
def test_what_does_not_go_together_is_refused(call: Call, docs: Collection, given: Any, mode: Any) -> None:
    with pytest.raises(ConfigError):
        call(docs, "search", options=SearchOptions(mode=mode), **given)


def test_alpha_and_the_method_can_be_chosen(call: Call, docs: Collection) -> None:
    def search(**options: Any) -> Any:
        return call(docs, "search", "iron kite", options=SearchOptions(**options))

    dense = call(docs, "search", "iron kite", options=SearchOptions(mode="dense"))
    assert ids(search(alpha=1.0)) == ids(dense)
    assert set(ids(search(alpha=0.0))[:2]) == {"kite", "top"}
    assert search(alpha=0.25).plan.alpha == 0.25
    ranks = search(fusion="rrf")
    assert ranks.plan.alpha is None
    assert "reciprocal" in ranks.plan.reason


def test_filters_bind_both_arms(call: Call, docs: Collection) -> None:
    found = call(docs, "search", "iron kite rice", filter={"n": {"$gte": 1}}, k=10)
    assert sorted(ids(found)) == ["code", "rice", "top"]


def test_a_chunk_without_an_embedding_is_found_by_words(call: Call, docs: Collection) -> None:
    docs.add([Chunk(id="extra", content="A sepak raga ball is woven of rattan.", embedding=[1.0] * 26)])
    docs.database.run(lambda: forget_embedding(docs, "extra"))
    found = call(docs, "search", "rattan ball")
    assert "extra" in ids(found)
    assert next(hit for hit in found if hit.chunk.id == "extra").distance is None


def forget_embedding(docs: Collection, id_: str) -> Any:
    from psycopg import sql

    statement = sql.SQL("UPDATE {} SET embedding = NULL WHERE id = %s").format(docs._table.identifier)
    return (yield Execute(statement, (id_,)))


def test_both_arms_go_together(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    docs.search("kite")  # the planner knows the table now
    from rag_pgvector import database, drivers

    sent: list[Any] = []
    drive = drivers.drive

    def watch(conn: Any, plan: Any) -> Any:
        def watched() -> Any:
            reply = None
            while True:
                try:
                    step = plan.send(reply)
                except StopIteration as stop:
                    return stop.value
                sent.append(step)
                reply = yield step

        return drive(conn, watched())

    monkeypatch.setattr(database, "drive", watch)
    found = docs.search("kite", k=2)
    both, chunks = sent  # the numbers and scores that both arms found; the chunks of the best
    assert isinstance(both, Together)
    assert [type(part) for part in both.steps] in ([Execute, Execute], [Execute, Batch])
    assert isinstance(chunks, Execute)
    assert len(found) == 2
    assert chunks.params[0].count(",") == 1  # no more than are returned
    sent.clear()
    docs.search("kite", k=2, filter={"lang": {"$exists": False}})
    assert [type(step) for step in sent[-2:]] == [Together, Together]


def test_many_questions(call: Call, docs: Collection) -> None:
    found = call(docs, "search_many", ["coconut milk", "spinning tops"], k=2)
    assert [ids(each)[0] for each in found] == ["rice", "top"]
    assert [each.plan.kind for each in found] == ["hybrid", "hybrid"]
    assert [ids(each) for each in found] == [
        ids(call(docs, "search", q, k=2)) for q in ("coconut milk", "spinning tops")
    ]


# ------------------------------------------------------------------------------------------------------------ fallback


@pytest.mark.parametrize("mode", [None, "hybrid", "dense"])
def test_a_failing_embedder_leaves_the_words(call: Call, docs: Collection, embedder: Moody, mode: Any) -> None:
    embedder.error = OSError("429 quota exceeded")
    start = time.monotonic()
    found = call(docs, "search", "moon kite", options=SearchOptions(mode=mode))
    assert time.monotonic() - start < 30  # it is bounded; how well is for a benchmark
    assert found.plan.kind == "keyword"
    assert ids(found) == ["kite"]
    (warning,) = found.plan.warnings
    assert "429 quota exceeded" in warning
    assert "words alone" in warning
    many = call(docs, "search_many", ["moon kite"], options=SearchOptions(mode=mode))
    assert (many[0].plan.kind, len(many[0].plan.warnings)) == ("keyword", 1)

    embedder.error = None
    assert call(docs, "search", "moon kite").plan.kind == "hybrid"


def test_an_embedder_that_hangs_is_not_waited_for(call: Call, docs: Collection, embedder: Moody) -> None:
    embedder.delay = 20.0
    before = embedder.calls
    start = time.monotonic()
    first = call(docs, "search", "moon kite", options=SearchOptions(embed_timeout=0.1))
    second = call(docs, "search", "moon kite")
    assert time.monotonic() - start < 15.0  # neither waited for the 20 s
    assert embedder.calls == before + 1  # ... and the second did not ask
    assert ids(first) == ids(second) == ["kite"]
    assert "longer than 0.1 s" in first.plan.warnings[0]
    assert "left alone" in second.plan.warnings[0]


def test_errors_of_configuration_are_raised(
    call: Call, docs: Collection, db: Database, make: Callable[..., Collection]
) -> None:
    docs.search("kite")
    other = db.collection(docs.name, embedder=lambda texts: -letters(texts) + 40)
    with pytest.raises(EmbedderMismatchError):
        call(other, "search", "kite")
    short = db.collection(docs.name, embedder=lambda texts: letters(texts)[:, :5])
    with pytest.raises(DimensionError):
        call(short, "search", "kite")


def test_asking_for_vectors_still_says_when_there_are_none(call: Call, docs: Collection, embedder: Moody) -> None:
    """Answers have a confidence that was fitted on similarities: they are not given by words alone."""
    embedder.error = OSError("no network")
    with pytest.raises(EmbeddingError, match="no network"):
        call(docs, "ask", "what is wau bulan?")


def test_fallback_can_be_refused(call: Call, docs: Collection, embedder: Moody) -> None:
    embedder.error = OSError("no network")
    with pytest.raises(EmbeddingError, match="no network"):
        call(docs, "search", "moon kite", options=SearchOptions(fallback=False))


def test_the_share_of_the_vectors_is_kept_with_the_collection(call: Call, docs: Collection, db: Database) -> None:
    call(docs, "set_alpha", 0.25)
    assert docs.search("iron kite").plan.alpha == 0.25
    again = db.collection(docs.name, embedder=letters)
    found = call(again, "search", "iron kite")
    assert (found.plan.alpha, "collection's share" in found.plan.reason) == (0.25, True)
    assert call(again, "search", "iron kite", options=SearchOptions(alpha=1.0)).plan.alpha == 1.0
    call(docs, "set_alpha", None)
    assert "sharp" in db.collection(docs.name, embedder=letters).search("iron kite").plan.reason
    for wrong in (-0.1, 1.1, "0.5", True):
        with pytest.raises(ConfigError, match="alpha"):
            call(docs, "set_alpha", wrong)


# ------------------------------------------------------------------------------------------------------------- tenants


def test_tenants_have_their_own_arms(call: Call, tenant_db: Database, loop: asyncio.AbstractEventLoop) -> None:
    config = CollectionConfig(dimensions=26, tenancy="multi")
    docs = tenant_db.collection("shared", config=config, embedder=letters)
    acme, globex = docs.for_tenant("acme"), docs.for_tenant("globex")
    acme.add([Chunk(id="1", content=TEXTS["kite"]), Chunk(id="2", content=TEXTS["top"])])
    globex.add([Chunk(id="1", content=TEXTS["rice"]), Chunk(id="9", content="Another kite, of globex.")])
    found = call(acme, "search", "kite of coconut", k=10)
    assert found.plan.kind == "hybrid"
    assert {hit.chunk.content for hit in found} == {TEXTS["kite"], TEXTS["top"]}
    loop.run_until_complete(tenant_db.aclose())


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_chunks_read_last_are_those_of_both_rankings_read_whole(make: Callable[..., Collection], fusion: Any) -> None:
    """What is returned is what fusing whole rankings gives, whose every distance is known."""
    draw = np.random.default_rng(7)
    words = [f"w{i}" for i in range(40)]
    docs = make(dimensions=8)
    docs.add(
        Chunk(id=f"{i:03}", content=" ".join(draw.choice(words, 12)), embedding=draw.standard_normal(8))
        for i in range(250)
    )
    for turn in range(12):
        question, vector = " ".join(draw.choice(words, 6)), draw.standard_normal(8)
        alpha = (None, 0.0, 0.3, 1.0)[turn % 4] if fusion == "convex" else None
        options = SearchOptions(candidates=30, fusion=fusion, alpha=alpha)
        found = docs.search(question, vector=vector, k=5, options=options)
        # a condition that all chunks satisfy has the arms bring whole chunks
        whole = docs.search(question, vector=vector, k=5, options=options, filter={"none": {"$exists": False}})
        assert ids(found) == ids(whole)
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in whole])
        assert [hit.distance for hit in found] == pytest.approx([hit.distance for hit in whole])
        assert [hit.keyword_score for hit in found] == pytest.approx([hit.keyword_score for hit in whole])


def test_a_chunk_that_is_gone_when_it_is_read(docs: Collection, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from rag_pgvector import keyword

    made = keyword.chunks_statement
    turns = iter(["kite"])

    def gone(table: Any, seqs: Any, **more: Any) -> Any:
        for id_ in turns:
            docs.delete([id_])
        return made(table, seqs, **more)

    monkeypatch.setattr(keyword, "chunks_statement", gone)
    found = docs.search("moon kite of rice", k=2)
    assert next(turns, None) is None
    assert len(found) == 2
    assert "kite" not in ids(found)
