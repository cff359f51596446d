"""From text to the terms that keyword search counts: one analyser for what is stored and for what is asked."""

from rag_pgvector.analysis.analyser import (
    ANALYSER_VERSION,
    BATCH,
    MAX_LENGTH,
    MAX_TF,
    Analyser,
    Question,
    Terms,
    analyser,
    phrase_pattern,
)

__all__ = [
    "ANALYSER_VERSION",
    "BATCH",
    "MAX_LENGTH",
    "MAX_TF",
    "Analyser",
    "Question",
    "Terms",
    "analyser",
    "phrase_pattern",
]
