"""Our loaders as a LangChain document loader, for programs that split and store in their own way."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag_pgvector.ingest.portable import portable_documents

__all__ = ["FileLoader"]


class FileLoader(BaseLoader):
    """Files, folders and globs as LangChain Documents: one per page, slide or row, else one per document.

    Metadata holds ``source``, ``page`` (1-based) or ``row`` (0-based), ``document_id``, and for rows the typed values.
    With ``chunks=True`` one Document per chunk, with ``char_start`` and ``char_end`` into the document's text.

    Args:
        paths: One path or several.
        chunks: Divide as ``rag_pgvector.ingest`` does.
        options: Keyword arguments of ``ChunkOptions`` (``size=``, ``overlap=``) and ``table=TableOptions(...)``.

    Raises LoadError for a file that cannot be read, unless ``skip=True`` leaves it out.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        chunks: bool = False,
        skip: bool = False,
        **options: Any,
    ) -> None:
        self.paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        self.chunks, self.skip, self.options = chunks, skip, options

    def lazy_load(self) -> Iterator[Document]:
        """The documents, one by one; ``load``, ``aload`` and ``alazy_load`` are LangChain's."""
        for id_, text, metadata in portable_documents(self.paths, chunks=self.chunks, skip=self.skip, **self.options):
            yield Document(id=id_, page_content=text, metadata=metadata)
