"""``Collection.ask`` as a step of LangChain's chains, as a tool of its agents, and as its messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.messages.content import create_citation, create_text_block
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.answer.followup import astandalone, failed, standalone
from rag_pgvector.answer.models import LangChainModel, LanguageModel, Reply, language_model
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.langchain.retriever import Reference, bound_to, collection_of, tenant_of
from rag_pgvector.settings import load_settings

__all__ = ["GroundedAnswerChain", "HistoryAwareAnswerChain", "as_message", "grounded_answer_tool"]

TOOL_DESCRIPTION = "Answers a question from the documents with verbatim citations, or says that it cannot."
_PER_CALL = ("k", "filter", "threshold", "tenant", "scope", "timeout")
_INPUT = frozenset(("question", "filter", "tenant", "scope", "chat_history"))


class GroundedAnswerChain(RunnableSerializable[str | dict[str, Any], GroundedAnswer]):
    """A question in, a ``GroundedAnswer`` out: with verbatim citations and a confidence, or the reason why not.

    The input is the question, or a dict with ``question`` and, if wanted, ``filter`` (which narrows the chain's own),
    ``tenant`` and ``scope``. Every field but ``store`` and ``llm`` can also be given per call as a keyword, and the
    tenant with a chain's configuration, as PGRetriever's; two different tenants are a TenantError.

    With ``llm``, that model reads the passages and its runs are children of the chain's in callbacks and traces. What
    it fails at is a failure mode. Streaming yields one answer: nothing is sent before it is verified.

    Pickling keeps what PGRetriever's keeps: the configuration and the collection's name, never the connection.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: Any = Field(repr=False)
    """A Collection, or a vector store of rag_pgvector.langchain."""
    llm: Any = Field(default=None, repr=False)
    """A LangChain chat model (a LlamaIndex LLM works, too); None cuts the answer from the text."""
    k: int | None = Field(default=None, ge=1)
    """Most citations; None takes the settings' (RAG_TOP_K)."""
    filter: dict[str, Any] | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Least confidence for an answer; None takes the settings' (CONF_THRESHOLD)."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds that ``llm`` has for a reply."""
    tenant: str | None = None
    scope: str | None = None

    @field_validator("store")
    @classmethod
    def _known(cls, store: Any) -> Any:
        if not isinstance(store, Reference):
            collection_of(store)
        return store

    @field_validator("llm")
    @classmethod
    def _model(cls, llm: Any) -> Any:
        if llm is not None:
            language_model(llm)
        return llm

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> GroundedAnswerChain:
        return super().__deepcopy__({**(memo or {}), id(self.store): self.store})  # connections and models are shared

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "store": Reference.of(self.store)}}

    def invoke(
        self, input: str | dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> GroundedAnswer:
        def ask(given: str | dict[str, Any], run_manager: Any, config: RunnableConfig) -> GroundedAnswer:
            config = patch_config(config, callbacks=run_manager.get_child())
            return self._ask(_as_dict(given), config, kwargs)

        return self._call_with_config(ask, input, config)

    async def ainvoke(
        self, input: str | dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> GroundedAnswer:
        async def ask(given: str | dict[str, Any], run_manager: Any, config: RunnableConfig) -> GroundedAnswer:
            config = patch_config(config, callbacks=run_manager.get_child())
            return await self._aask(_as_dict(given), config, kwargs)

        return await self._acall_with_config(ask, input, config)

    def _ask(self, given: Mapping[str, Any], config: RunnableConfig, call: dict[str, Any]) -> GroundedAnswer:
        collection, options = self._prepare(given, config, call)
        return collection.ask(given["question"], llm=_configured(self.llm, config), **options)

    async def _aask(self, given: Mapping[str, Any], config: RunnableConfig, call: dict[str, Any]) -> GroundedAnswer:
        collection, options = self._prepare(given, config, call)
        return await collection.aask(given["question"], llm=_configured(self.llm, config), **options)

    def _prepare(
        self, given: Mapping[str, Any], config: RunnableConfig, call: dict[str, Any]
    ) -> tuple[Collection, dict[str, Any]]:
        if unknown := call.keys() - set(_PER_CALL):
            raise ConfigError(f"unknown argument {min(unknown)!r}: a call takes {', '.join(_PER_CALL)}")
        asked = {name: call.get(name) or value for name, value in tenant_of(config).items()}
        for name in asked:
            if (own := given.get(name)) is not None and asked[name] not in (None, own):
                raise TenantError(f"the input says {name} {own!r:.80}, the call {asked[name]!r:.80}: give one of them")
            asked[name] = asked[name] if own is None else own
        collection = bound_to(collection_of(self.store), (self.tenant, self.scope), (asked["tenant"], asked["scope"]))
        options = {name: getattr(self, name) for name in ("k", "filter", "threshold", "timeout")}
        options |= {name: call[name] for name in options if call.get(name) is not None}
        if given.get("filter"):
            options["filter"] = {"$and": [options["filter"], given["filter"]]} if options["filter"] else given["filter"]
        return collection, options


class HistoryAwareAnswerChain(GroundedAnswerChain):
    """A ``GroundedAnswerChain`` for conversations: ``{"question": ..., "chat_history": [...]}``.

    A follow-up ("and in 2022?") is first rewritten by a language model so that it can be understood alone;
    ``asked_as`` of the answer is what it became. ``chat_history`` takes what LangChain calls messages: objects,
    (role, text) pairs or dicts. Without a history nothing is rewritten. ``rewriter`` is the model that rewrites
    (without one, ``llm``), ``llm`` the one that answers (without one, the answer is cut from the text).
    """

    rewriter: Any = Field(default=None, repr=False)
    """The model that rewrites; None takes ``llm``."""

    @model_validator(mode="after")
    def _can_rewrite(self) -> HistoryAwareAnswerChain:
        if self.rewriter is None and self.llm is None:
            raise ConfigError("a follow-up is rewritten by a language model: give llm or rewriter")
        if self.rewriter is not None:
            language_model(self.rewriter)
        return self

    def _ask(self, given: Mapping[str, Any], config: RunnableConfig, call: dict[str, Any]) -> GroundedAnswer:
        self._prepare(given, config, call)  # its errors come before a model is asked
        model, timeout = self._rewriting(config), call.get("timeout") or self.timeout
        question = standalone(model, given["question"], _turns(given), timeout)
        if isinstance(question, Reply):
            return failed(question, self._threshold(call))
        return _asked_as(super()._ask({**given, "question": question}, config, call), given["question"], question)

    async def _aask(self, given: Mapping[str, Any], config: RunnableConfig, call: dict[str, Any]) -> GroundedAnswer:
        self._prepare(given, config, call)
        model, timeout = self._rewriting(config), call.get("timeout") or self.timeout
        question = await astandalone(model, given["question"], _turns(given), timeout)
        if isinstance(question, Reply):
            return failed(question, self._threshold(call))
        answer = await super()._aask({**given, "question": question}, config, call)
        return _asked_as(answer, given["question"], question)

    def _rewriting(self, config: RunnableConfig) -> LanguageModel:
        model = _configured(self.llm if self.rewriter is None else self.rewriter, config)
        assert model is not None
        return model

    def _threshold(self, call: dict[str, Any]) -> float:
        threshold = self.threshold if call.get("threshold") is None else call["threshold"]
        return load_settings().conf_threshold if threshold is None else float(threshold)


def _as_dict(given: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(given, str):
        return {"question": given}
    if not isinstance(given, Mapping) or not isinstance(given.get("question"), str):
        raise ConfigError(f"the input is {given!r:.80}: give the question, or a dict with 'question'")
    if unknown := given.keys() - _INPUT:
        raise ConfigError(f"unknown key {min(unknown)!r} in the input: it may have {', '.join(sorted(_INPUT))}")
    return given


def _configured(llm: Any, config: RunnableConfig) -> LanguageModel | None:
    """The model, with the callbacks, tags and metadata of this run where it is LangChain's."""
    if llm is None:
        return None
    model = language_model(llm)
    return LangChainModel(llm, config) if isinstance(model, LangChainModel) and model is not llm else model


def _turns(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    history: Sequence[Any] = given.get("chat_history") or ()
    messages: list[BaseMessage] = convert_to_messages(history)
    roles = {"human": "user", "ai": "assistant"}
    return [(roles[each.type], str(each.text)) for each in messages if each.type in roles]


def _asked_as(answer: GroundedAnswer, original: str, question: str) -> GroundedAnswer:
    return answer if question == original else answer.model_copy(update={"asked_as": question})


# ------------------------------------------------------------------------------------------------- messages and tools


def as_message(answer: GroundedAnswer) -> AIMessage:
    """The answer as a message, its citations as LangChain's standard annotations.

    ``start_index`` and ``end_index`` of an annotation are places in the message, as LangChain has it; the span in the
    source is in ``extras``. ``response_metadata["grounded_answer"]`` holds the whole answer.
    """
    citations: list[Any] = [
        create_citation(
            title=each.source,
            cited_text=each.snippet,
            start_index=each.answer_start,
            end_index=each.answer_end,
            char_start=each.char_start,
            char_end=each.char_end,
            page_or_row=each.page_or_row,
            document_id=each.doc_id,
            chunk_id=each.chunk_id,
        )
        for each in answer.citations
    ]
    text = answer.text() if answer.answer is None else answer.answer
    block: Any = create_text_block(text, annotations=citations) if citations else create_text_block(text)
    return AIMessage(content=[block], response_metadata={"grounded_answer": answer.model_dump(mode="json")})


class _Question(BaseModel):
    question: str = Field(description="One question, complete in itself.")


def grounded_answer_tool(
    store: Any,
    *,
    name: str = "grounded_answer",
    description: str = TOOL_DESCRIPTION,
    **options: Any,
) -> BaseTool:
    """A tool for agents. The model sees the answer with its sources; the ``GroundedAnswer`` is the artifact.

    The agent's model chooses the question and nothing else: tenant and scope come from the configuration of the run, a
    filter from ``options``, which are the other fields of ``GroundedAnswerChain``.
    """
    chain = GroundedAnswerChain(store=store, **options)

    def ask(question: str, config: RunnableConfig) -> tuple[str, GroundedAnswer]:
        answer = chain.invoke(question, config)
        return answer.text(), answer

    async def aask(question: str, config: RunnableConfig) -> tuple[str, GroundedAnswer]:
        answer = await chain.ainvoke(question, config)
        return answer.text(), answer

    return StructuredTool.from_function(
        func=ask,
        coroutine=aask,
        name=name,
        description=description,
        args_schema=_Question,
        response_format="content_and_artifact",
    )
