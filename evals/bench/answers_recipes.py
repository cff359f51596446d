"""The peers' own recipes for cited answers, over the same chunks and vectors, on a Postgres of their own.

- LangChain: the recipe of its documentation ("How to get a RAG application to add citations"): langchain-postgres'
  store as a retriever with ``similarity_score_threshold``, sources with ids in the prompt, structured output with
  quotations.
- LlamaIndex: ``CitationQueryEngine`` over its Postgres store with ``SimilarityPostprocessor``.

Both are asked through the protocol of ``evals.given``. What the threshold held back is asked for again without one, as
with our own; their confidence is the similarity of the best passage, which is what the threshold is set on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import psycopg
from pydantic import BaseModel, Field

from rag_pgvector.evals.bench.hybrid_peers import known_langchain, known_llamaindex, with_driver
from rag_pgvector.evals.bench.scripted_reader import UNKNOWN
from rag_pgvector.evals.given import Answerer, Given, GivenCitation
from rag_pgvector.types import Chunk

__all__ = ["RECIPES", "Recipe"]

#: url, chunks with their vectors, a function from a text to its vector, the model's URL, k, threshold.
Recipe: TypeAlias = Callable[..., Any]

#: As the documentation has it, but for the name of the source.
_SYSTEM = (
    "You're a helpful AI assistant. Given a user question and some Wikipedia article snippets, answer the user "
    "question. If none of the articles answer the question, just say you don't know.\n\n"
    "Here are the Wikipedia articles: {context}"
)
_MARK = re.compile(r"\s*\[(\d+)\]")


class Quotation(BaseModel):
    source_id: int = Field(..., description="The integer ID of a SPECIFIC source which justifies the answer.")
    quote: str = Field(..., description="The VERBATIM quote from the specified source that justifies the answer.")


class QuotedAnswer(BaseModel):
    """Answer the user question based only on the given sources, and cite the sources used."""

    answer: str = Field(..., description="The answer to the user question, which is based only on the given sources.")
    citations: list[Quotation] = Field(..., description="Citations from the given sources that justify the answer.")


def _metadata(chunk: Chunk) -> dict[str, Any]:
    place = {} if chunk.page_or_row is None else {"page_or_row": chunk.page_or_row}
    return {"source": chunk.source or chunk.id or "", **place}


@contextmanager
def langchain(
    url: str, chunks: Sequence[Chunk], embed: Callable[[str], list[float]], model_url: str, k: int, threshold: float
) -> Iterator[Answerer]:
    """LangChain's recipe."""
    from langchain_core.documents import Document
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnableLambda, RunnablePassthrough
    from langchain_openai import ChatOpenAI
    from langchain_postgres import Column, PGEngine, PGVectorStore

    with psycopg.connect(url) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
    engine = PGEngine.from_connection_string(with_driver(url, "psycopg"))
    size = len(chunks[0].embedding or ())
    engine.init_vectorstore_table("bench", size, id_column=Column("langchain_id", "TEXT", nullable=False))
    store = PGVectorStore.create_sync(engine, known_langchain(embed), "bench")
    store.add_embeddings(
        [chunk.content for chunk in chunks],
        [list(map(float, chunk.embedding or ())) for chunk in chunks],
        metadatas=[_metadata(chunk) for chunk in chunks],
        ids=[chunk.id or "" for chunk in chunks],
    )

    def shown(documents: list[Document]) -> str:
        parts = [
            f"Source ID: {i}\nArticle Title: {document.metadata['source']}\nArticle Snippet: {document.page_content}"
            for i, document in enumerate(documents)
        ]
        return "\n\n" + "\n\n".join(parts)

    llm = ChatOpenAI(model="scripted", base_url=model_url, api_key="none", max_retries=0)
    prompt = ChatPromptTemplate.from_messages([("system", _SYSTEM), ("human", "{question}")])
    answering = prompt | llm.with_structured_output(QuotedAnswer, method="function_calling")

    def chain(arguments: dict[str, Any]) -> Any:
        retriever = store.as_retriever(**arguments)
        found = RunnablePassthrough.assign(documents=RunnableLambda(lambda given: retriever.invoke(given["question"])))
        return found.assign(
            answer=RunnableLambda(
                lambda given: answering.invoke(
                    {"context": shown(given["documents"]), "question": given["question"]},
                )
            )
        )

    strict = chain(
        {"search_type": "similarity_score_threshold", "search_kwargs": {"k": k, "score_threshold": threshold}}
    )
    free = chain({"search_kwargs": {"k": k}})

    def given(result: dict[str, Any]) -> Given:
        answer, documents = result["answer"], result["documents"]
        if answer is None or not documents or answer.answer == UNKNOWN:
            return Given(None, failure_mode="below the threshold")
        cited = []
        for each in answer.citations:
            if 0 <= each.source_id < len(documents):
                document = documents[each.source_id]
                cited.append(
                    GivenCitation(
                        document.metadata["source"],
                        each.quote,
                        document.metadata.get("page_or_row"),
                        verbatim=each.quote in document.page_content,
                    )
                )
        return Given(answer.answer, tuple(cited), mode="langchain")

    def ask(question: str, /) -> Given:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "no relevant docs were retrieved": that is what is measured
            found = given(strict.invoke({"question": question}))
        similar = store.similarity_search_with_relevance_scores(question, k=1)
        score = float(similar[0][1]) if similar else 0.0
        return _with_withheld(found, score, lambda: given(free.invoke({"question": question})))

    try:
        yield ask
    finally:
        asyncio.run(engine.close())


@contextmanager
def llama_index(
    url: str, chunks: Sequence[Chunk], embed: Callable[[str], list[float]], model_url: str, k: int, threshold: float
) -> Iterator[Answerer]:
    """LlamaIndex' ``CitationQueryEngine``."""
    from llama_index.core import VectorStoreIndex
    from llama_index.core.postprocessor import SimilarityPostprocessor
    from llama_index.core.query_engine import CitationQueryEngine
    from llama_index.core.schema import TextNode
    from llama_index.llms.openai_like import OpenAILike
    from llama_index.vector_stores.postgres import PGVectorStore

    make: Any = PGVectorStore.from_params
    store = make(
        connection_string=with_driver(url, "psycopg2"),
        async_connection_string=with_driver(url, "asyncpg"),
        table_name="bench",
        embed_dim=len(chunks[0].embedding or ()),
        use_jsonb=True,
    )
    store.add(
        [
            TextNode(
                id_=chunk.id,
                text=chunk.content,
                embedding=list(map(float, chunk.embedding or ())),
                metadata=_metadata(chunk),
            )
            for chunk in chunks
        ]
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=known_llamaindex(embed))
    llm = OpenAILike(
        model="scripted", api_base=model_url, api_key="none", is_chat_model=True, context_window=32_000, max_retries=0
    )
    cutoff = [SimilarityPostprocessor(similarity_cutoff=threshold)]
    strict = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=k, node_postprocessors=cutoff)
    free = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=k)

    def given(response: Any) -> Given:
        text = str(response.response or "")
        if not response.source_nodes or text.startswith(UNKNOWN):
            return Given(None, failure_mode="below the threshold")
        cited = []
        for number in dict.fromkeys(int(each) for each in _MARK.findall(text)):
            if 1 <= number <= len(response.source_nodes):
                node = response.source_nodes[number - 1].node
                # The source goes with its number: "Source 1:\n".
                shown = node.get_content().partition(":\n")[2]
                cited.append(GivenCitation(node.metadata["source"], shown, node.metadata.get("page_or_row")))
        return Given(_MARK.sub("", text), tuple(cited), mode="llama-index")

    def ask(question: str, /) -> Given:
        found = given(strict.query(question))
        nodes = index.as_retriever(similarity_top_k=1).retrieve(question)
        score = float(nodes[0].score or 0.0) if nodes else 0.0
        return _with_withheld(found, score, lambda: given(free.query(question)))

    try:
        yield ask
    finally:
        asyncio.run(store.close())


def _with_withheld(found: Given, score: float, again: Callable[[], Given]) -> Given:
    found = replace(found, confidence=min(1.0, max(0.0, score)))
    if found.answer is None:
        unsure = again()
        found = replace(found, withheld=unsure.answer, withheld_citations=unsure.citations)
    return found


RECIPES: dict[str, Recipe] = {"langchain": langchain, "llama-index": llama_index}
