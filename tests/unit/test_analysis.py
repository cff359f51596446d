"""The analyser: what a text is found by, in which language and script whatever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.analysis import MAX_TF, Analyser, analyser, phrase_pattern
from rag_pgvector.config import LANGUAGES, CollectionConfig
from rag_pgvector.errors import ConfigError


def found(asked: str, stored: str, language: str = "english") -> bool:
    """Whether a question shares a term with a text."""
    made = analyser(language)
    return bool(made.question(asked).terms.keys() & made.terms(stored).counts.keys())


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("CVE-2026-3172", "mended in cve-2026-3172."),
        ("3172", "see CVE-2026-3172"),
        ("6.2%", "rose by 6.2 %"),
        ("6.2", "rose by 6.2%"),
        ("R101", "the R101 crashed"),
        ("hnsw.ef_search", "SET hnsw.ef_search = 100"),
        ("ef_search", "SET hnsw.ef_search = 100"),
        ("search", "efSearch"),
        ("jane.doe@example.com", "Write to Jane.Doe@example.com."),
        ("example.org", "https://example.org/a-b"),
        ("1234567", "1,234,567 people"),
        ("1.234.567", "1,234,567 people"),
        ("C++", "written in C++"),
        ("don't", "I don’t know"),
        ("Europe", "Europe's rivers"),
        ("cafe", "the Café"),
        ("ＡＢＣ", "abc"),
        ("STRASSE", "straße"),
        ("state of the art", "state-of-the-art"),
    ],
)
def test_identifiers_numbers_and_spellings_are_found(asked: str, stored: str) -> None:
    assert found(asked, stored)


@pytest.mark.parametrize(
    ("asked", "stored"), [("18", "version 18.4"), ("R101", "R10"), ("6.2%", "6.3%"), ("the", "of the"), ("C#", "D#")]
)
def test_what_is_something_else_is_not_found(asked: str, stored: str) -> None:
    assert not found(asked, stored)


@pytest.mark.parametrize(
    ("language", "asked", "stored"),
    [
        ("english", "running", "he runs"),
        ("german", "Häuser", "ein Haus, viele Häusern"),
        ("french", "mangeait", "ils mangeaient"),
        ("french", "homme", "l'homme"),
        ("spanish", "corriendo", "corrieron"),
        ("russian", "книги", "книга"),
        ("indonesian", "makanan", "dimakan"),
        ("hindi", "लड़कों", "लड़के"),
        ("turkish", "evler", "evlerde"),
    ],
)
def test_stems(language: str, asked: str, stored: str) -> None:
    assert found(asked, stored, language)


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("数据库", "使用PostgreSQL数据库系统"),
        ("库", "数据库"),
        ("postgresql", "使用PostgreSQL数据库系统"),
        ("東京都", "日本の東京都に住む"),
        ("カタカナ", "カタカナで書く"),
        ("ภาษาไทย", "เรียนภาษาไทยง่าย"),
        ("데이터", "데이터베이스"),
        ("ພາສາ", "ພາສາລາວ"),
        ("ភាសា", "ភាសាខ្មែរ"),
        ("𠀋", "漢字𠀋漢字"),
    ],
)
@pytest.mark.parametrize("language", ["english", "simple", "german"])
def test_scripts_without_spaces_are_searched_by_pairs(language: str, asked: str, stored: str) -> None:
    assert found(asked, stored, language)


def test_a_pair_that_is_not_there_is_not_found() -> None:
    assert not found("京東", "東京")


def test_expansions_do_not_lengthen_a_text() -> None:
    made = analyser("english")
    assert made.terms("hnsw.ef_search").length == made.terms("hnsw ef search").length == 3
    assert made.terms("数据库").length == 2


def test_phrases_are_told_apart() -> None:
    asked = analyser("english").question('what is "blood pressure" in „zwei Worten“')
    assert asked.phrases == (("blood", "pressure"), ("zwei", "worten"))
    assert not asked.strict
    assert analyser("english").question('"Blood pressure", "Herz".').strict
    assert "pressur" in asked.terms


@pytest.mark.parametrize(
    ("phrase", "text", "there"),
    [
        (("blood", "pressure"), "high Blood\n pressure.", True),
        (("blood", "pressure"), "blood and pressure", False),
        (("blood",), "bloody", False),
        (("a.b*",), "a.b*", True),
        (("数据库",), "使用数据库系统", True),
    ],
)
def test_the_pattern_of_a_phrase(phrase: tuple[str, ...], text: str, there: bool) -> None:
    pattern = phrase_pattern(phrase).replace("[^[:alnum:]]", r"[\W_]")  # Python's word for it
    assert (re.search(pattern, text, re.IGNORECASE) is not None) is there


def test_unknown_languages_are_refused() -> None:
    with pytest.raises(ConfigError, match="klingon"):
        Analyser("klingon")
    with pytest.raises(ConfigError, match="klingon"):
        CollectionConfig(language="klingon")
    for language in LANGUAGES:
        assert analyser(language).terms("one Two").length > 0


def test_counts_have_a_ceiling() -> None:
    assert analyser("english").terms("word " * 5000).counts == {"word": MAX_TF}


@given(st.text(max_size=200))
def test_any_text_is_analysed_the_same_each_time_and_finds_itself(text: str) -> None:
    made = Analyser("english")
    terms = made.terms(text)
    assert terms == analyser("english").terms(text)
    assert terms.length >= 0
    assert all(count > 0 and 0 < len(term) <= 140 and "\0" not in term for term, count in terms.counts.items())
    assert made.question(text).terms.keys() <= terms.counts.keys()


@given(st.lists(st.text(alphabet=st.sampled_from("ab .'-_1,数据é"), max_size=40), max_size=12))
def test_many_texts_at_once_are_counted_as_each_alone(texts: list[str]) -> None:
    made = Analyser("english")
    assert made.all_terms(texts) == [made.terms(text) for text in texts]


def test_counts_of_many_have_a_ceiling_too() -> None:
    texts = ["word " * 5000, "word"]
    assert [terms.counts["word"] for terms in analyser("english").all_terms(texts)] == [MAX_TF, 1]


def test_a_long_compound_takes_linear_time() -> None:
    made = analyser("english")
    assert made.terms("a-" * 200_000).length > 0
    assert made.terms("数" * 100_000).length == 99_999
