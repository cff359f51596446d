"""``Collection.ask`` as a step of LangChain's chains."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, field_validator

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.retriever import bound_to, collection_of, tenant_of

__all__ = ["GroundedAnswerChain"]

_PER_CALL = ("k", "filter", "threshold", "tenant", "scope")


class GroundedAnswerChain(RunnableSerializable[str, GroundedAnswer]):
    """A question in, a ``GroundedAnswer`` out: with verbatim citations and a confidence, or the reason why not.

    Every field but ``store`` can also be given per call, and the tenant with a chain's configuration, as PGRetriever's.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: Any = Field(repr=False)
    """A Collection, or a vector store of rag_pgvector.langchain."""
    k: int | None = Field(default=None, ge=1)
    """Most citations; None takes the settings' (RAG_TOP_K)."""
    filter: dict[str, Any] | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Least confidence for an answer; None takes the settings' (CONF_THRESHOLD)."""
    tenant: str | None = None
    scope: str | None = None

    @field_validator("store")
    @classmethod
    def _known(cls, store: Any) -> Any:
        collection_of(store)
        return store

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> GroundedAnswer:
        config = ensure_config(config)
        collection, options = self._prepare(config, kwargs)
        return self._call_with_config(lambda question: collection.ask(question, **options), input, config)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> GroundedAnswer:
        config = ensure_config(config)
        collection, options = self._prepare(config, kwargs)

        async def ask(question: str) -> GroundedAnswer:
            return await collection.aask(question, **options)

        return await self._acall_with_config(ask, input, config)

    def _prepare(self, config: RunnableConfig, call: dict[str, Any]) -> tuple[Collection, dict[str, Any]]:
        if unknown := call.keys() - set(_PER_CALL):
            raise ConfigError(f"unknown argument {min(unknown)!r}: a call takes {', '.join(_PER_CALL)}")
        asked = {name: call.get(name) or value for name, value in tenant_of(config).items()}
        collection = bound_to(collection_of(self.store), (self.tenant, self.scope), (asked["tenant"], asked["scope"]))
        options = {name: getattr(self, name) for name in ("k", "filter", "threshold")}
        return collection, options | {name: call[name] for name in options if call.get(name) is not None}
