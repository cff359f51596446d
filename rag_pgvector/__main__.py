"""``python -m rag_pgvector`` is ``rag-pgvector``."""

from __future__ import annotations

from rag_pgvector.cli import main

if __name__ == "__main__":
    main()
