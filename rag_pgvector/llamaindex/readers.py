"""Our loaders as a LlamaIndex reader, for programs that parse and store in their own way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from rag_pgvector.ingest.portable import portable_documents

__all__ = ["FileReader"]


class FileReader(BaseReader):  # type: ignore[misc]  # LlamaIndex is not checked
    """Files, folders and globs as LlamaIndex Documents: one per page, slide or row, else one per document.

    Ids and metadata are those of ``rag_pgvector.langchain.FileLoader``; the same file read again has the same ids, so
    that an ingestion pipeline's docstore strategies see what changed.
    """

    def lazy_load_data(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        chunks: bool = False,
        skip: bool = False,
        **options: Any,
    ) -> Iterable[Document]:
        """The documents, one by one; ``load_data`` and ``aload_data`` are LlamaIndex's. Raises LoadError."""
        given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        for id_, text, metadata in portable_documents(given, chunks=chunks, skip=skip, **options):
            yield Document(id_=id_, text=text, metadata=metadata)
