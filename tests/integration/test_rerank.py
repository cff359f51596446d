"""Re-ranking, by a re-ranker of the caller's and by a cross-encoder made here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchResult
from rag_pgvector.errors import ConfigError, EmbeddingError
from rag_pgvector.rerank import CrossEncoderReranker, arerank, rerank

WORDS = "the a yearly monthly fee is price cat dog red blue of one two three".split()


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0, float(len(text)), 0.0] for text in texts]


class ByLength:
    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return [float(len(text) // 2) for text in texts]


class Gives:
    def __init__(self, given: Any) -> None:
        self.given = given

    def rerank(self, query: str, texts: Sequence[str]) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


@pytest.fixture
def found(make: Callable[..., Collection]) -> SearchResult:
    docs = make()
    docs.add([Chunk(id=f"{i}", content="x" * i, embedding=[1, i, 0]) for i in range(1, 8)])
    return docs.search(vector=[1, 0, 0], k=7)


def test_the_best_come_first_and_equals_keep_their_order(found: SearchResult) -> None:
    best = rerank("?", found, ByLength(), k=4)
    assert [(hit.chunk.id, hit.score) for hit in best] == [("6", 3.0), ("7", 3.0), ("4", 2.0), ("5", 2.0)]
    distances = {hit.chunk.id: hit.distance for hit in found}
    assert all(hit.distance == distances[hit.chunk.id] for hit in best)
    assert best.plan == found.plan
    assert list(asyncio.run(arerank("?", found, ByLength(), k=4))) == list(best)
    assert len(rerank("?", found, ByLength())) == 7
    nothing = SearchResult([], found.plan)
    assert rerank("?", nothing, Gives(ValueError())) is nothing


@pytest.mark.parametrize("given", [[1.0], [[1.0]] * 7, ["a"] * 7, [float("nan")] * 7, None, RuntimeError("no GPU")])
def test_a_re_ranker_that_fails(found: SearchResult, given: Any) -> None:
    with pytest.raises(EmbeddingError, match="re-ranker Gives"):
        rerank("?", found, Gives(given))


def test_what_cannot_be(found: SearchResult) -> None:
    for arguments in ((" ", ByLength(), 1), ("?", ByLength(), 0), ("?", object(), 1)):
        with pytest.raises(ConfigError):
            rerank(arguments[0], found, arguments[1], k=arguments[2])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cross-encoder with random weights, made without a network."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("cross-encoder")
    ids = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "?", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(ids),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=1,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(path)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    ).save_pretrained(path)
    return str(path)


TEXTS = ["the yearly fee is two", "a red cat", "the price of one dog", "blue " * 200, "monthly fee"]


def test_a_cross_encoder(folder: str) -> None:
    judge = CrossEncoderReranker(folder, device="cpu")
    assert repr(judge) == f"CrossEncoderReranker({folder!r})"
    scores = judge.rerank("fee ?", TEXTS)
    assert len(scores) == 5
    assert len(set(scores)) == 5
    singly = [judge.rerank("fee ?", [text])[0] for text in TEXTS]
    assert scores == pytest.approx(singly, abs=1e-5), "padding changes nothing"
    assert judge.rerank("fee ?", []) == []
    with ThreadPoolExecutor(4) as threads:
        many = list(threads.map(lambda _: judge.rerank("fee ?", TEXTS), range(12)))
    assert all(each == pytest.approx(scores, abs=1e-5) for each in many)


def test_no_connection_is_held_while_it_judges(folder: str, module_database_url: str) -> None:
    judge = CrossEncoderReranker(folder, device="cpu")
    with Database(module_database_url, pool_size=1, timeout=5) as db:
        docs = db.collection("judged", config=CollectionConfig(dimensions=3), embedder=embed)
        docs.add([Chunk(id=f"{i}", content=text) for i, text in enumerate(TEXTS)])

        class Watching:
            def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
                assert docs.count() == 5, "the one connection is free"
                return judge.rerank(query, texts)

        best = rerank("fee ?", docs.search("fee ?", k=5), Watching(), k=2)
    expected = sorted(judge.rerank("fee ?", TEXTS), reverse=True)[:2]
    assert [hit.score for hit in best] == pytest.approx(expected, abs=1e-5)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match="could not be loaded"):
        CrossEncoderReranker(str(tmp_path / "nothing")).rerank("?", ["a"])
