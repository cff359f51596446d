"""PGRetriever: what a call may say, whose rows it sees, and how it behaves inside LangChain's chains."""

from __future__ import annotations

import asyncio
import copy
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.errors import ConfigError, FilterError, TenantError
from rag_pgvector.langchain import GroundedAnswerChain, PGDocumentIndex, PGRetriever, PGVector, PGVectorStore

Call = Callable[..., Any]
EMBEDDER = DeterministicFakeEmbedding(size=6)


@pytest.fixture
def docs(make: Callable[..., Collection]) -> Collection:
    docs = make(EMBEDDER, dimensions=6)
    docs.add([Chunk(content=f"text {i}", id=str(i), source="a.csv", metadata={"n": i}) for i in range(8)])
    return docs


@pytest.fixture
def shared(tenant_db: Database) -> Collection:
    """A multi-tenant collection in which both tenants have a document of the same id."""
    shared = tenant_db.collection(
        str(uuid.uuid4()), config=CollectionConfig(dimensions=6, tenancy="multi"), embedder=EMBEDDER
    )
    for tenant in ("acme", "apex"):
        shared.for_tenant(tenant).add([Chunk(content=f"secret of {tenant}", id="1")])
    return shared


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


# ------------------------------------------------------------------------------------------------------------ calls


def test_a_call_goes_before_the_constructor(docs: Collection, call: Call) -> None:
    retriever = PGRetriever(store=docs, k=3, filter={"n": {"$lt": 5}})
    assert len(call(retriever, "invoke", "text 7")) == 3
    assert ids(call(retriever, "invoke", "text 7", k=1, filter={"n": {"$gte": 5}})) == ["7"]
    assert all(d.metadata["n"] < 5 for d in call(retriever, "invoke", "text 7"))


def test_citations_come_with_the_metadata(docs: Collection, call: Call) -> None:
    (found,) = call(PGRetriever(store=docs, k=1), "invoke", "text 3")
    assert found == Document(id="3", page_content="text 3", metadata={"n": 3, "source": "a.csv"})


def test_scores_and_plan_come_on_request(docs: Collection, call: Call) -> None:
    retriever = PGRetriever(store=docs, with_scores=True)
    found = call(retriever, "invoke", "text 3", with_plan=True, options=SearchOptions(mode="dense", exact=True))
    scores = [document.metadata["_score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1)
    assert found[0].metadata["_distance"] == pytest.approx(0, abs=1e-6)
    assert found[0].metadata["_plan"]["reason"] == "asked for"
    kept = call(retriever, "invoke", "text 3", k=8, mode="dense", score_threshold=scores[1])
    assert ids(kept) == ids(found)[:2]


def test_the_mode_is_the_constructors_or_the_calls(docs: Collection, call: Call) -> None:
    docs.add([Chunk(content="the zebra crosses", id="z")])
    retriever = PGRetriever(store=docs, k=2, with_plan=True)
    (found,) = call(retriever, "invoke", "zebra", mode="keyword")
    assert (found.id, found.metadata["_plan"]["kind"]) == ("z", "keyword")
    assert ids(call(PGRetriever(store=docs, mode="keyword"), "invoke", "zebra")) == ["z"]
    dense = call(PGRetriever(store=docs, mode="keyword", k=2), "invoke", "text 3", mode="dense")
    assert dense[0].id == "3"
    assert call(retriever, "invoke", "text 3", mode="dense")[0].metadata["_plan"]["kind"] == "exact"


def test_origins_can_be_filtered_by(docs: Collection, call: Call) -> None:
    """What a document's metadata shows of its origin is in columns of its own."""
    docs.add([Chunk(content="text 3", id="b", source="b.csv")])
    assert ids(call(PGRetriever(store=docs), "invoke", "text 3", filter={"source": "b.csv"})) == ["b"]


def test_what_is_wrong_is_said(docs: Collection, call: Call) -> None:
    retriever = PGRetriever(store=docs)
    with pytest.raises(ConfigError, match="fetch_k"):
        call(retriever, "invoke", "text", fetch_k=3)
    with pytest.raises(ConfigError, match="mode"):
        call(retriever, "invoke", "text", mode="telepathic")
    with pytest.raises(FilterError):
        call(retriever, "invoke", "text", filter="n = 1")
    for bad in ({"store": "docs"}, {"store": docs, "k": 0}, {"store": docs, "kk": 1}):
        with pytest.raises(ValueError):
            PGRetriever(**bad)


def test_over_every_store(docs: Collection, call: Call) -> None:
    stores: list[Any] = [
        PGVectorStore(EMBEDDER, collection=docs),
        PGVector(EMBEDDER, collection_name=docs.name, connection=docs.database),
        PGVector(EMBEDDER, collection_name=docs.name, connection=docs.database, async_mode=True),
    ]
    for store in stores:
        found = call(PGRetriever(store=store, k=1), "invoke", "text 5")
        assert found == [Document(id="5", page_content="text 5", metadata={"n": 5, "source": "a.csv"})]
        assert ids(PGDocumentIndex(store=store).get(["5"])) == ["5"]


# ---------------------------------------------------------------------------------------------------------- tenants


def test_the_tenant_comes_with_the_chain(shared: Collection) -> None:
    retriever = PGRetriever(store=shared)
    chain: Any = RunnablePassthrough() | retriever
    for tenant in ("acme", "apex"):
        config: Any = {"configurable": {"tenant": tenant}}
        assert [d.page_content for d in chain.invoke("secret", config)] == [f"secret of {tenant}"]
        assert [d.page_content for d in chain.batch(["secret"], config)[0]] == [f"secret of {tenant}"]
        assert [d.page_content for d in next(chain.stream("secret", config))] == [f"secret of {tenant}"]
        assert [d.page_content for d in retriever.invoke("secret", tenant=tenant)] == [f"secret of {tenant}"]


def test_the_tenant_comes_with_the_chain_async(shared: Collection) -> None:
    retriever = PGRetriever(store=shared)

    chain: Any = RunnablePassthrough() | retriever

    async def ask(tenant: str) -> Any:
        return await chain.ainvoke("secret", {"configurable": {"tenant": tenant}})

    async def run() -> Any:
        try:
            return await asyncio.gather(*(ask(tenant) for tenant in ["acme", "apex"] * 10))
        finally:
            await shared.database.aclose()

    found = [[d.page_content for d in each] for each in asyncio.run(run())]
    assert found == [["secret of acme"], ["secret of apex"]] * 10


def test_no_tenant_is_an_error(shared: Collection) -> None:
    retriever, index = PGRetriever(store=shared), PGDocumentIndex(store=shared)
    calls: list[Callable[[], Any]] = [
        lambda: retriever.invoke("secret"),
        lambda: retriever.invoke("secret", {"configurable": {}}),
        lambda: retriever.invoke("secret", {"configurable": {"scope": "a"}}),
        lambda: retriever.invoke("secret", {"configurable": {"tenant": ""}}),
        lambda: retriever.invoke("secret", {"configurable": {"tenant": 7}}),
        lambda: list(retriever.stream("secret")),
        lambda: retriever.batch(["secret"]),
        lambda: asyncio.run(retriever.ainvoke("secret")),
        lambda: index.get(["1"]),
        lambda: index.upsert([Document("x")]),
        lambda: index.delete(["1"]),
        lambda: asyncio.run(index.aget(["1"])),
        lambda: asyncio.run(index.aupsert([Document("x")])),
        lambda: asyncio.run(index.adelete(["1"])),
    ]
    for forgetful in calls:
        with pytest.raises(TenantError):
            forgetful()


def test_a_fixed_tenant_cannot_be_changed(shared: Collection) -> None:
    other: Any = {"configurable": {"tenant": "apex"}}
    for retriever in (PGRetriever(store=shared, tenant="acme"), PGRetriever(store=shared.for_tenant("acme"))):
        assert [d.page_content for d in retriever.invoke("secret")] == ["secret of acme"]
        with pytest.raises(TenantError):
            retriever.invoke("secret", other)
        with pytest.raises(TenantError):
            retriever.invoke("secret", tenant="apex")


def test_an_index_of_one_tenant_reaches_its_own_only(shared: Collection) -> None:
    index = PGDocumentIndex(store=shared, tenant="acme")
    index.upsert([Document(id="1", page_content="mine")])
    assert index.delete(["1"])["succeeded"] == ["1"]
    assert [d.page_content for d in index.get(["1"], tenant="acme")] == []
    assert [d.page_content for d in PGDocumentIndex(store=shared, tenant="apex").get(["1"])] == ["secret of apex"]


def test_a_tenant_where_there_are_none_is_an_error(docs: Collection) -> None:
    with pytest.raises(TenantError):
        PGRetriever(store=docs).invoke("text", {"configurable": {"tenant": "acme"}})


# -------------------------------------------------------------------------------------------------- inside LangChain


def test_pickling_keeps_no_connection(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(PGRetriever(store=docs, k=2, filter={"n": 3}, tags=["x"]))
    for secret in ("postgres", "@", "password"):
        assert secret.encode() not in pickled
    monkeypatch.setenv("DATABASE_URL", docs.database.url)
    twin = pickle.loads(pickled)  # noqa: S301 - our own
    assert (twin.k, twin.filter, twin.tags) == (2, {"n": 3}, ["x"])
    try:
        assert ids(twin.invoke("text 3")) == ["3"]
    finally:
        twin.collection.database.close()


def test_a_chain_is_pickled_as_a_retriever_is(docs: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(GroundedAnswerChain(store=PGVectorStore(EMBEDDER, collection=docs), threshold=0.0))
    for secret in ("postgres", "127.0.0.1", "password"):
        assert secret.encode() not in pickled
    monkeypatch.setenv("DATABASE_URL", docs.database.url)
    twin = pickle.loads(pickled)  # noqa: S301 - our own
    again = pickle.loads(pickle.dumps(twin))  # noqa: S301 - not opened yet
    assert again.store.name == docs.name
    try:
        assert twin.invoke("text 3").answer == "text 3"
    finally:
        twin.store.collection.database.close()
    with pytest.raises(TypeError, match="holds connections"):
        pickle.dumps(PGVectorStore(EMBEDDER, collection=docs))


def test_a_bound_tenant_is_pickled_too(shared: Collection) -> None:
    twin = pickle.loads(pickle.dumps(PGRetriever(store=shared.for_tenant("acme", scope="a"))))  # noqa: S301
    assert (twin.store.tenant, twin.store.scope) == ("acme", "a")


def test_a_deep_copy_shares_the_connection(docs: Collection) -> None:
    retriever = PGRetriever(store=docs, k=2, filter={"n": 3})
    assert ids(retriever.invoke("text 3")) == ["3"]
    for given in (retriever, PGRetriever(store=PGVectorStore(EMBEDDER, collection=docs), k=2)):
        twin = copy.deepcopy(given)
        assert twin.store is given.store
        assert ids(twin.invoke("text 3"))[:1] == ["3"]
    copy.deepcopy(retriever).filter["n"] = 4  # type: ignore[index]
    assert retriever.filter == {"n": 3}
    chain = GroundedAnswerChain(store=docs)
    assert copy.deepcopy(chain).store is docs
    assert copy.deepcopy({"docs": docs})["docs"] is docs


def test_nothing_of_the_store_is_shown(docs: Collection) -> None:
    assert "postgresql" not in repr(PGRetriever(store=docs))


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_retriever_start(
        self, serialized: Any, query: str, *, tags: Any = None, metadata: Any = None, **_: Any
    ) -> None:
        self.events.append(("start", query, tags, metadata))

    def on_retriever_end(self, documents: Any, **_: Any) -> None:
        self.events.append(("end", len(documents)))

    def on_retriever_error(self, error: BaseException, **_: Any) -> None:
        self.events.append(("error", type(error)))


def test_callbacks_tags_and_metadata(docs: Collection, call: Call) -> None:
    seen = Seen()
    retriever = PGRetriever(store=docs, k=2, tags=["mine"], metadata={"a": 1})
    call(retriever, "invoke", "text", {"callbacks": [seen], "tags": ["run"]})
    with pytest.raises(ConfigError):
        call(retriever, "invoke", "  ", {"callbacks": [seen]})
    assert [event[0] for event in seen.events] == ["start", "end", "start", "error"]
    _, query, tags, metadata = seen.events[0]
    assert query == "text"
    assert {"mine", "run"} <= set(tags)
    assert metadata["a"] == 1
    assert metadata["ls_vector_store_provider"] == "rag_pgvector"


def test_a_chain_of_langchains_documentation_runs(docs: Collection, call: Call) -> None:
    """Its "Build a RAG" chain: retriever | format, prompt, model, parser."""

    def format_docs(documents: list[Document]) -> str:
        return "\n\n".join(document.page_content for document in documents)

    asked: list[Any] = []

    class Model(FakeListChatModel):
        def _call(self, messages: Any, *args: Any, **kwargs: Any) -> str:
            asked.append(messages[0].content)
            return super()._call(messages, *args, **kwargs)

    prompt = ChatPromptTemplate.from_template("Answer from the context:\n{context}\n\nQuestion: {question}")
    chain = (
        {"context": PGRetriever(store=docs, k=2) | format_docs, "question": RunnablePassthrough()}
        | prompt
        | Model(responses=["forty-two"])
        | StrOutputParser()
    )
    assert call(chain, "invoke", "text 5") == "forty-two"
    assert "text 5\n" in asked[0]
    assert asked[0].endswith("Question: text 5")


# ---------------------------------------------------------------------------------------------------------- answers


def test_answers_are_a_step_of_a_chain(make: Callable[..., Collection], call: Call) -> None:
    docs = make(EMBEDDER, dimensions=6)
    text = "The blue kettle boils water in four minutes."
    docs.add([Chunk(content=text, id="1", metadata={"n": 1})])
    answers = GroundedAnswerChain(store=docs, threshold=0.0)
    chain: Any = RunnablePassthrough() | answers | (lambda answer: answer.answer)
    assert "four minutes" in call(chain, "invoke", "How long does the blue kettle take to boil water?")
    found = call(answers, "batch", ["How long does the blue kettle take?", "What?"])
    assert found[0].citations[0].snippet in text
    nothing = call(answers, "invoke", "How long does the blue kettle take?", filter={"n": 2})
    assert nothing.failure_mode is not None
    with pytest.raises(ConfigError):
        call(answers, "invoke", "x", temperature=1)


def test_answers_are_the_tenants(shared: Collection) -> None:
    answers = GroundedAnswerChain(store=shared, threshold=0.0)
    config: Any = {"configurable": {"tenant": "acme"}}
    assert all("apex" not in c.snippet for c in answers.invoke("Whose secret is it?", config).citations)
    for forgetful in (
        lambda: answers.invoke("Whose secret is it?"),
        lambda: answers.batch(["Whose secret is it?"]),
        lambda: asyncio.run(answers.ainvoke("Whose secret is it?")),
    ):
        with pytest.raises(TenantError):
            forgetful()
