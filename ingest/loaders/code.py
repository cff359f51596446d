"""Source code: kept as it is, divided where a new thing begins at the left margin after a blank line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_pgvector.ingest.loaders import Block
from rag_pgvector.ingest.loaders.parts import Part
from rag_pgvector.ingest.loaders.text import TextLoader

__all__ = ["CodeLoader"]

_BEGINNING = re.compile(r"(?:\A|(?<=\n\n)|(?<=\n\r\n))(?=[^\s)}\]])")


class CodeLoader(TextLoader):
    """Functions, classes and the like, whole where they fit into a chunk; longer ones are divided between lines."""

    name = "code"

    def _parts(self, text: str) -> Iterator[Part]:
        starts = [match.start() for match in _BEGINNING.finditer(text)] or [0]
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            body = text[start:end].rstrip()
            if body.strip():
                yield Part(Block(start, start + len(body), "literal"))
