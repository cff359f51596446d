"""What a system under test gives: ids for a question, or an answer with citations.

Anything that answers is evaluated by the same code: our collections, a function, a LangChain retriever or chain, a
LlamaIndex retriever or query engine. No framework is imported: shapes decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.errors import ConfigError

__all__ = ["ABSTAINS", "Answerer", "Given", "GivenCitation", "Search", "as_answerer", "as_search", "given_of"]


class Search(Protocol):
    """Ids of documents for a question, best first. Any function of that shape is one."""

    def __call__(self, question: str, k: int, /) -> Sequence[str]: ...


class Answerer(Protocol):
    """An answer to a question. Any function of that shape is one."""

    def __call__(self, question: str, /) -> Given: ...


@dataclass(frozen=True, slots=True)
class GivenCitation:
    """What an answer cites.

    Attributes:
        snippet: The quoted text, or the whole passage where a system quotes nothing.
        start, end: Of the snippet in the stored text of ``text_id``, where the system says so.
        text_id: The document, or the chunk, whose text the span refers to.
        supports: The part of the answer that it supports; ``None`` for all of it.
        verbatim: Whether the snippet was found in the stored text; ``None``: nothing to compare with.
        known: Whether the store has what is cited; ``None``: nobody looked.
    """

    source: str | None
    snippet: str = field(repr=False)
    page_or_row: int | str | None = None
    start: int | None = None
    end: int | None = None
    text_id: str | None = None
    supports: tuple[int, int] | None = None
    verbatim: bool | None = None
    known: bool | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What one question got.

    Attributes:
        answer: ``None`` where the system abstained.
        confidence: Estimated probability of being right, where the system has one.
        failure_mode: Why it abstained, in the system's words.
        withheld: The answer that it did not give for want of confidence, where it can be had: confidence is also
            judged on these.
        withheld_citations: What that answer would have cited.
        mode: How it was made ("extractive", "table", "llm").
        seconds: How long the answer took, where more was asked for than a user would.
    """

    answer: str | None
    citations: tuple[GivenCitation, ...] = ()
    confidence: float | None = None
    failure_mode: str | None = None
    withheld: str | None = None
    withheld_citations: tuple[GivenCitation, ...] = ()
    mode: str | None = None
    seconds: float | None = None


#: Whole answers that mean "I don't know". Only where a system has no failure mode.
ABSTAINS = re.compile(
    r"\W*(?:i (?:do not|don't|don’t) (?:know|have (?:enough|sufficient|any) information)\b.{0,200}|empty response|"
    r"(?:the )?(?:provided |given )?(?:context|documents?|information)(?: provided)? (?:do(?:es)?(?: not|n't|n’t)) "
    r"(?:contain|mention|provide|say)\b.{0,200}|n/a|none|unknown|unanswerable|no answer|"
    r"not (?:found|mentioned|available)|(?:saya )?tidak tahu|tiada jawapan)\W*",
    re.IGNORECASE | re.DOTALL,
)


# ----------------------------------------------------------------------------------------------------------- retrieval


def as_search(system: Any, *, by: str | Callable[[Any], str | None] = "id") -> Search:
    """A LangChain retriever or vector store, a LlamaIndex retriever, or a function, as a ``Search``.

    ``by``: what the judgements call a document: the attribute ``id``, a key of the metadata, or a function of what the
    system returns. A retriever returns as many as it is set up for: set its own ``k`` to the depth of the metrics.
    Raises ConfigError.
    """
    key = by if callable(by) else _key(by)
    if hasattr(system, "similarity_search"):
        return lambda question, k: _ids(system.similarity_search(question, k=k), key)[:k]
    if hasattr(system, "get_relevant_documents") or (hasattr(system, "invoke") and hasattr(system, "ainvoke")):
        return lambda question, k: _ids(system.invoke(question), key)[:k]
    if hasattr(system, "retrieve"):
        return lambda question, k: _ids(system.retrieve(question), key)[:k]
    if callable(system):
        return lambda question, k: _ids(system(question, k), key)[:k]
    raise ConfigError(
        f"{type(system).__name__} is no search: use a function of a question and k that returns ids, a LangChain "
        "retriever or vector store, or a LlamaIndex retriever"
    )


def _ids(found: Sequence[Any], key: Callable[[Any], str | None]) -> list[str]:
    ids = (each if isinstance(each, str) else key(each) for each in found)
    return list(dict.fromkeys(str(id_) for id_ in ids if id_ is not None))


def _key(name: str) -> Callable[[Any], str | None]:
    def key(found: Any) -> str | None:
        node = _node(found)
        if name == "id":
            value = getattr(node, "node_id", None) or getattr(node, "id", None)
            return value if value is not None else _metadata(node).get("id")
        value = _metadata(node).get(name)
        return value if value is not None else getattr(node, name, None)

    return key


# ------------------------------------------------------------------------------------------------------------- answers


def as_answerer(system: Any, *, abstains: re.Pattern[str] | None = ABSTAINS) -> Answerer:
    """A LangChain chain, a LlamaIndex query engine, or a function, as an ``Answerer``.

    What it returns may be a ``Given``, a ``GroundedAnswer``, a text, a message, a LlamaIndex response, or a mapping
    with ``answer`` (or ``result``, ``output``) and perhaps ``context`` (or ``source_documents``), as LangChain's chains
    have them. ``abstains``: whole texts that mean there is no answer, for systems that have no better way to say so.
    Raises ConfigError.
    """
    for name in ("invoke", "query", "ask"):
        if callable(call := getattr(system, name, None)):
            return lambda question: given_of(call(question), abstains=abstains)
    if callable(system):
        return lambda question: given_of(system(question), abstains=abstains)
    raise ConfigError(
        f"{type(system).__name__} answers nothing: use a function of a question, a LangChain chain or a LlamaIndex "
        "query engine"
    )


def given_of(found: Any, *, abstains: re.Pattern[str] | None = ABSTAINS) -> Given:
    """What a system returned, as a ``Given``. Raises ConfigError for a shape that is not known."""
    if isinstance(found, Given):
        return found
    if isinstance(found, GroundedAnswer):
        return _grounded(found)
    metadata = getattr(found, "metadata", None)
    if isinstance(metadata, Mapping) and isinstance(metadata.get("answer"), Mapping):  # our LlamaIndex query engine
        return _grounded(GroundedAnswer.model_validate(metadata["answer"]))
    passages: Sequence[Any] = ()
    text: Any = found
    if isinstance(found, Mapping):
        text = next((found[key] for key in ("answer", "result", "output", "response") if key in found), None)
        passages = next((found[key] for key in ("context", "source_documents", "documents") if key in found), ())
        if isinstance(text, GroundedAnswer):
            return _grounded(text)
    elif hasattr(found, "source_nodes"):
        text, passages = getattr(found, "response", None), found.source_nodes
    elif hasattr(found, "content"):
        text = found.content
    if text is not None and not isinstance(text, str):
        text = getattr(text, "content", text)
    if text is not None and not isinstance(text, str):
        raise ConfigError(
            f"an answer of type {type(found).__name__} is not understood: give a function that returns Given"
        )
    if text is None or not text.strip() or (abstains is not None and abstains.fullmatch(text.strip())):
        return Given(None, failure_mode="abstained")
    return Given(text, tuple(_passage(each) for each in passages if not isinstance(each, str)))


def _grounded(answer: GroundedAnswer) -> Given:
    return Given(
        answer.answer if answer.failure_mode is None else None,
        tuple(citation_of(each) for each in answer.citations),
        confidence=answer.confidence,
        failure_mode=answer.failure_mode,
        mode=answer.mode,
    )


def citation_of(citation: Citation) -> GivenCitation:
    """Our own citation."""
    supports = None
    if citation.answer_start is not None and citation.answer_end is not None:
        supports = (citation.answer_start, citation.answer_end)
    return GivenCitation(
        citation.source or citation.doc_id or citation.chunk_id,
        citation.snippet,
        citation.page_or_row,
        citation.char_start,
        citation.char_end,
        citation.doc_id or citation.chunk_id,
        supports,
    )


def _passage(found: Any) -> GivenCitation:
    """A passage that a framework's answer comes with: all of it counts as cited."""
    node = _node(found)
    metadata = _metadata(node)
    text = getattr(node, "page_content", None) or getattr(node, "text", None) or ""
    source = metadata.get("source") or metadata.get("file_name") or getattr(node, "node_id", None) or node_id(node)
    place = next((metadata[key] for key in ("page_or_row", "row", "page", "page_label") if key in metadata), None)
    return GivenCitation(None if source is None else str(source), text, place)


def node_id(node: Any) -> str | None:
    """The id of a LangChain document, or of whatever has one."""
    found = getattr(node, "id", None)
    return None if found is None else str(found)


def _node(found: Any) -> Any:
    """The node in a LlamaIndex ``NodeWithScore``, the document in a pair with its score, else the thing itself."""
    if isinstance(found, tuple):
        return found[0]
    return getattr(found, "node", None) or getattr(found, "chunk", None) or found


def _metadata(node: Any) -> Mapping[str, Any]:
    found = getattr(node, "metadata", None)
    return found if isinstance(found, Mapping) else {}
