"""A LangChain retriever over a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from rag_pgvector.collection import Collection
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.langchain.documents import document_of
from rag_pgvector.types import SearchResult

__all__ = ["PGRetriever", "Reference", "bound_to", "collection_of", "tenant_of"]


class PGRetriever(BaseRetriever):
    """Finds the chunks of a collection that a question asks for.

    Every field but ``store`` can also be given per call: ``retriever.invoke("...", k=2, filter={"year": 2024})``. The
    tenant can come with the configuration of a chain, too:
    ``chain.invoke("...", config={"configurable": {"tenant": "acme"}})`` (and ``"scope"``). A tenant that is fixed here,
    or to which the store is bound, cannot be changed by a call; on a multi-tenant collection none at all is a
    TenantError.

    Pickling keeps the configuration and the collection's name, never the connection: the copy opens the collection in
    the database of its own settings (DATABASE_URL).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    store: Any = Field(repr=False)
    """A Collection, or a vector store of rag_pgvector.langchain."""
    k: int = Field(default=4, ge=1)
    """Most documents."""
    filter: dict[str, Any] | None = None
    """Metadata filter, see docs/filters.md."""
    mode: str | None = None
    """``dense``, ``keyword`` or ``hybrid``; None leaves it to the collection."""
    score_threshold: float | None = None
    """Leaves out what scores lower. The scale is the collection's: 1 - distance for cosine."""
    tenant: str | None = None
    scope: str | None = None
    options: SearchOptions | None = None
    """How the search runs; ``mode`` goes before its own."""
    with_scores: bool = False
    """Adds ``_score`` and, where vectors were compared, ``_distance`` to each document's metadata."""
    with_plan: bool = False
    """Adds ``_plan`` to each document's metadata: how the search ran, and why."""

    _opened: Collection | None = PrivateAttr(default=None)

    @field_validator("store")
    @classmethod
    def _known(cls, store: Any) -> Any:
        if not (isinstance(store, Reference) or _is_lazy(store)):
            collection_of(store)
        return store

    @property
    def collection(self) -> Collection:
        """What is searched, not yet bound to a call's tenant."""
        if isinstance(self.store, Reference):
            self.store = self.store.collection
        if self._opened is None or _is_lazy(self.store):
            self._opened = collection_of(self.store)
        return self._opened

    # ---------------------------------------------------------------------------------------------------- running

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        config = ensure_config(config)
        return super().invoke(input, config, **_with_tenant(config, kwargs))

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        config = ensure_config(config)
        return await super().ainvoke(input, config, **_with_tenant(config, kwargs))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun | None = None, **call: Any
    ) -> list[Document]:
        collection, search = self._prepare(call)
        return self._documents(collection.search(query, **search), call)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun | None = None, **call: Any
    ) -> list[Document]:
        collection, search = self._prepare(call)
        return self._documents(await collection.asearch(query, **search), call)

    def _prepare(self, call: Mapping[str, Any]) -> tuple[Collection, dict[str, Any]]:
        """The collection of this call's tenant, and the arguments of its search."""
        if unknown := call.keys() - _PER_CALL:
            raise ConfigError(f"unknown argument {min(unknown)!r}: a call takes {', '.join(sorted(_PER_CALL))}")
        collection = bound_to(self.collection, (self.tenant, self.scope), (call.get("tenant"), call.get("scope")))
        options, mode = self._of(call, "options"), self._of(call, "mode")
        if mode is not None:
            options = replace(options or SearchOptions(), mode=mode)
        return collection, {"k": self._of(call, "k"), "filter": self._of(call, "filter"), "options": options}

    def _of(self, call: Mapping[str, Any], name: str) -> Any:
        value = call.get(name)
        return getattr(self, name) if value is None else value

    def _documents(self, result: SearchResult, call: Mapping[str, Any]) -> list[Document]:
        threshold, documents = self._of(call, "score_threshold"), []
        plan = asdict(result.plan) if self._of(call, "with_plan") else None
        for hit in result:
            if threshold is not None and hit.score < threshold:
                continue
            document = document_of(hit.chunk)
            if self._of(call, "with_scores"):
                document.metadata["_score"] = hit.score
                if hit.distance is not None:
                    document.metadata["_distance"] = hit.distance
            if plan is not None:
                document.metadata["_plan"] = plan
            documents.append(document)
        return documents

    # ---------------------------------------------------------------------------------------------- for LangChain

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "rag_pgvector"
        return params

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> PGRetriever:
        # The configuration is copied; connections and models are not, and both go on with the same ones.
        return super().__deepcopy__({**(memo or {}), id(self.store): self.store, id(self._opened): self._opened})

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        values = {**state["__dict__"]}
        values["store"] = Reference.of(values["store"])
        return {**state, "__dict__": values, "__pydantic_private__": {"_opened": None}}


_PER_CALL = frozenset(PGRetriever.model_fields) - frozenset(BaseRetriever.model_fields) - {"store"}


def _is_lazy(store: Any) -> bool:
    """Whether the store opens its collection when it is asked for it (PGVector), and may do so anew."""
    return isinstance(getattr(type(store), "collection", None), property)


class Reference:
    """A collection by name: what a pickled retriever or chain holds of it."""

    def __init__(self, collection: Collection) -> None:
        collection._table.require_native("name to be opened by in another process: it cannot be pickled")
        self.name, self.tenant, self.scope = collection.name, collection.tenant, collection.scope
        self.embedder = collection._embedder._given

    @cached_property
    def collection(self) -> Collection:
        """The collection, in the database of the settings; opened when it is first needed."""
        from rag_pgvector.database import Database

        collection = Database().collection(self.name, embedder=self.embedder)
        return collection if self.tenant is None else collection.for_tenant(self.tenant, scope=self.scope)

    @classmethod
    def of(cls, store: Any) -> Reference:
        """What stands for a store when it is pickled."""
        return store if isinstance(store, cls) else cls(collection_of(store))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "collection"}


def collection_of(store: Any) -> Collection:
    """The collection that a store of ours stands on, or the one given, as LangChain sees it: what a document's metadata
    shows of its origin can be filtered by. Raises ConfigError."""
    found = store if isinstance(store, Collection) else getattr(store, "collection", None)
    if not isinstance(found, Collection):
        found = getattr(store, "_collection", None)
    if not isinstance(found, Collection):
        raise ConfigError(f"store={store!r:.80}: give a Collection, or a vector store of rag_pgvector.langchain")
    table = found._table
    if not table.layout.native or table.layout.origin_in_filters:
        return found
    table = replace(table, layout=replace(table.layout, origin_in_filters=True))
    return Collection(found.database, table, found._embedder)


def _with_tenant(config: RunnableConfig, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments, with the tenant and the scope of the chain's configuration where the call names none."""
    return {**{name: value for name, value in tenant_of(config).items() if value is not None}, **kwargs}


def tenant_of(config: RunnableConfig) -> dict[str, Any]:
    """``tenant`` and ``scope`` of a chain's ``configurable``; None where it has none."""
    configurable = config.get("configurable") or {}
    return {name: configurable.get(name) for name in ("tenant", "scope")}


def bound_to(
    collection: Collection, fixed: tuple[str | None, str | None], asked: tuple[str | None, str | None]
) -> Collection:
    """The collection for the tenant and scope that are fixed, or else asked for.

    Raises TenantError where they contradict each other, or where the collection needs a tenant and there is none.
    """
    names = []
    for what, own, other in zip(("tenant", "scope"), fixed, asked, strict=True):
        if own is not None and other is not None and own != other:
            raise TenantError(f"this is bound to {what} {own!r:.80}: it cannot be used for {other!r:.80}")
        names.append(other if own is None else own)
    tenant, scope = names
    if tenant is None:
        if scope is not None:
            raise TenantError(f"scope {scope!r:.80} is a part of a tenant: name the tenant, too")
        collection._table.require_tenant()
        return collection
    if scope is None and collection.tenant == tenant:
        return collection
    return collection.for_tenant(tenant, scope=scope)
