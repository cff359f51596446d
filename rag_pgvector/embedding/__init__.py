"""Text to vectors. Importing this loads no model and no framework; an embedder loads its model at first use."""

from __future__ import annotations

from rag_pgvector.embedding.adapters import as_embedder
from rag_pgvector.embedding.fingerprint import PROBE, fingerprint, same_model
from rag_pgvector.embedding.local import SentenceTransformerEmbedder
from rag_pgvector.embedding.protocol import Embedder, Vectors, aembed_queries, embed_queries
from rag_pgvector.embedding.providers import default_embedder, resolve_embedder

__all__ = [
    "PROBE",
    "Embedder",
    "SentenceTransformerEmbedder",
    "Vectors",
    "aembed_queries",
    "as_embedder",
    "default_embedder",
    "embed_queries",
    "fingerprint",
    "resolve_embedder",
    "same_model",
]
