"""What a question is taken apart into, what a text covers of it, and where an answer is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.answer import answer
from rag_pgvector.answer.confidence import PRIOR, extractive_confidence
from rag_pgvector.answer.evidence import extend, source_of, units
from rag_pgvector.answer.lexical import coverage, idf, read_query, stem, terms, tokens
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.errors import ConfigError
from rag_pgvector.types import Chunk


def test_words_meet_in_their_stems() -> None:
    for one, other in [
        ("neighbours", "neighbor"),
        ("connections", "connect"),
        ("indexes", "index"),
        ("population", "populated"),
        ("pembangunannya", "pembangunan"),
        ("stopped", "stop"),
    ]:
        assert stem(one) == stem(other), (one, other)
    assert stem("transport") != stem("transform")


def test_terms_of_numbers_identifiers_and_scripts_without_spaces() -> None:
    assert terms("1,234.5 in the 1990s, the 10th") == ["1234.5", "in", "the", "1990", "the", "10"]
    assert {"hnsw.ef_search", "ef_search", "search"} <= set(terms("hnsw.ef_search"))
    assert "copy" in terms("Cursor.copy()")
    assert tokens("名前はまだ") == ["名前", "前は", "はま", "まだ"]


def test_a_question_taken_apart() -> None:
    query = read_query('What did Marie Curie call "the new metal" in 1898, and what does ef_search do?')
    assert query.numbers == {"1898"}
    assert query.literals == {"the new metal", "ef_search"}
    assert read_query("What does diskann.ef_search do?").literals == {"diskann", "ef_search"}
    assert {"mari", "curi"} <= query.names
    assert "what" not in query.weights


def test_rare_terms_weigh_more() -> None:
    query = read_query("purple elephants")
    weights = idf(query, [{"purpl"}, {"purpl"}, {"purpl", stem("elephants")}], 3)
    assert weights[stem("elephants")] > weights["purpl"] > 0
    assert coverage(weights, {stem("elephants")}) > 0.5 > coverage(weights, {"purpl"})


def test_confidence_grows_with_evidence() -> None:
    assert tuple(PRIOR.weights) == SIGNALS
    assert all(weight >= 0 for weight in PRIOR.weights.values())
    none = dict.fromkeys(SIGNALS, 0.0)
    nothing = extractive_confidence(none)
    assert 0.0 <= nothing < 0.1
    for name in SIGNALS:
        assert extractive_confidence(none | {name: 1.0}) >= nothing
    assert 0.9 < extractive_confidence(dict.fromkeys(SIGNALS, 1.0)) <= 1.0


def test_a_size_of_the_askers_own_need_not_stand_in_the_evidence() -> None:
    for question, sizes in [
        ("I have 500,000 rows. How many lists should I use?", {"500000"}),
        ("If a batch has 256 texts of 1536 dimensions, does it fit?", {"256"}),
        ("What were the exports in 2023 if we count 500 ports?", {"500"}),
        ("I was born in 1990, what is the pension age?", set()),
        ("Our server is on version 15 of it: what changes?", set()),
        ("If I want to catch error 42 what do I do?", set()),
        ("We need the rate of 1998 rows, or of 2024", set()),
        ("Who won 500 medals?", set()),
    ]:
        query = read_query(question)
        assert query.sizes == sizes, question
        assert query.required == {each for each in query.numbers if int(each) > 12} - sizes


TEXT = """# Tea

Tea is a drink. It is made of leaves. Many like it.

Steep it as follows:

- boil water
- wait four minutes

Then pour:

```
pour(tea)
```
"""


def chunk(start: int, end: int) -> Chunk:
    return Chunk(id="t:0", document_id="t", content=TEXT[start:end], char_start=start, char_end=end)


def cut(chunk: Chunk, begins: str) -> str:
    source = source_of(chunk, {"t": TEXT})
    found = units(source)
    unit = next(each for each in found if source.text.startswith(begins, each.start))
    start, end = extend(source, found, unit)
    return source.text[start:end]


def test_an_answer_is_cut_where_it_can_be_understood() -> None:
    whole = chunk(0, len(TEXT))
    assert cut(whole, "Many") == "Many like it."
    assert cut(whole, "It is made") == "Tea is a drink. It is made of leaves."
    assert cut(whole, "Steep") == "Steep it as follows:\n\n- boil water\n- wait four minutes"
    assert cut(whole, "Then pour") == "Then pour:\n\n```\npour(tea)\n```"


FIELDS = """Pool

:param limit: Seconds that a client waits. Later it fails.
:type limit: `!float`, default: 30 seconds

:param size: Most connections.

:param name: What it is called.
:type name: `!str`
"""


def test_a_parameter_comes_with_its_type() -> None:
    def cut(begins: str, end: int = len(FIELDS)) -> str:
        part = Chunk(id="f", document_id="f", content=FIELDS[:end], char_start=0, char_end=end)
        source = source_of(part, {"f": FIELDS})
        found = units(source)
        start, end = extend(source, found, next(each for each in found if FIELDS.startswith(begins, each.start)))
        return FIELDS[start:end]

    assert cut(":param limit").endswith("Later it fails.\n:type limit: `!float`, default: 30 seconds")
    assert ":type" not in cut(":param size")
    # Not what a chunk does not hold: a filter may have hidden it.
    assert ":type" not in cut(":param limit", FIELDS.index("Later"))


def test_a_sentence_that_a_chunk_cuts_is_whole() -> None:
    middle = TEXT.index("made of")
    assert cut(chunk(0, middle), "It is made").endswith("It is made of leaves.")
    assert cut(chunk(middle, len(TEXT)), "It is made").endswith("It is made of leaves.")


def test_a_chunk_that_is_not_in_its_document_speaks_for_itself() -> None:
    stale = Chunk(id="t:0", document_id="t", content="Coffee is hot.", char_start=0, char_end=14)
    source = source_of(stale, {"t": TEXT})
    assert (source.text, source.doc_id, source.stale) == ("Coffee is hot.", None, True)
    assert source_of(stale, {}).stale is False


@pytest.mark.parametrize(
    "bad", [{"k": 0}, {"k": True}, {"threshold": 1.1}, {"threshold": -0.1}, {"threshold": float("nan")}]
)
def test_arguments_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        answer("question", **bad)  # type: ignore[arg-type]


@given(st.text(max_size=300))
def test_no_question_breaks_the_reading(question: str) -> None:
    query = read_query(question)
    assert all(weight > 0 for weight in query.weights.values())
