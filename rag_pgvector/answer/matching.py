"""Values of a table that a question names: whole, without its code, in other words, in part, or by initials."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Value
from rag_pgvector.answer.lexical import STOPWORDS, stem
from rag_pgvector.answer.naming import initials
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.vocabulary import (
    AGGREGATES,
    NEGATIONS,
    NEUTRAL,
    WRITTEN_UNITS,
    canonical,
    concept,
    replaced,
    words,
)
from rag_pgvector.answer.ways import is_verb, other_end, told_apart

__all__ = ["match_codes", "match_parts", "match_values", "spellings"]

#: A column with more values than this holds names rather than kinds.
CATEGORIES = 100
#: How well a value is named: in full, without its code, in words that mean the same, in another order.
_FULL, _MEASURED, _BARE, _MEANT, _TURNED = 1.0, 0.98, 0.95, 0.97, 0.92
#: A unit after the name of what is measured: "Population ('000)".
_UNIT = re.compile(
    rf"\s*[(\[](?:'?000|%|°[CF]|(?:RM|USD|US\$|[$€£])(?: \w+)?|{'|'.join(WRITTEN_UNITS)}|per [\w ]+)[)\]]\s*$",
    re.IGNORECASE,
)
#: A word that is written as one of a name.
_NAMED = re.compile(r"\b[A-Z][a-z]")
#: What a column of units is called: "persons" in it is no population.
_UNITS = frozenset("unit uom measure satuan ukuran".split())


def match_values(reading: Reading, asked: Asked) -> None:
    """Conditions from values of text columns that stand in the question, longest first."""
    spoken: list[str] = []
    places: list[tuple[int, ...]] = []
    at = 0
    for head, length in replaced(list(asked.words)):
        pieces = head.split()
        for number, piece in enumerate(pieces):
            # The words that an alias took belong to each of its words.
            spoken.append(piece)
            places.append(tuple(range(at, at + length)) if len(pieces) != length else (at + number,))
        at += length
    heard = [term for term, _ in asked.heard]
    heard_set = set(heard)
    said = set(spoken)
    found: list[tuple[int, float, bool, int, Column, Value, frozenset[int]]] = []
    for column in reading.table.columns:
        if column.type not in ("text", "boolean") or column.distinct is None or column.is_clock:
            continue
        named = any(term in heard_set for term in column.terms)
        for value in column.distinct:
            text = str(value)
            best: tuple[int, float, frozenset[int]] | None = None
            for phrase, exactness in spellings(text):
                if not _may_stand(phrase, said):
                    continue
                start = _find(phrase, spoken)
                if start >= 0:
                    covered = frozenset(place for each in places[start : start + len(phrase)] for place in each)
                    best = (len(phrase), exactness, covered)
                    break
            # A name is not translated: "Belanja" is a place among many places, not spending.
            if best is None and _translated(column) and (meant := _meant(text, heard, asked)):
                best = (len(meant[1]), *meant)
            if best is not None and not (other_end(column, best[2], asked) or is_verb(best[2], text, asked)):
                found.append((*best[:2], named, -(column.distinct_count or 0), column, value, best[2]))
    found.sort(key=lambda each: (-each[0], -each[1], -each[2], -each[3], each[4].name, str(each[5])))
    taken: dict[int, tuple[str, frozenset[int]]] = {}
    for _, exactness, _, _, column, value, covered in found:
        owners = {taken[place] for place in covered if place in taken}
        if owners and (owners != {(column.name, covered)} or exactness == _MEASURED):
            continue
        if covered & asked.time_words:
            if not (reading.absent_time and exactness == _FULL and asked.time_words <= covered):
                continue
            # "Season 2023" is a value of a column that tells no time.
            reading.absent_time = False
        if not any(place in asked.content for place in covered) and len(covered) < 2:
            continue
        first = min(covered)
        reading.negated |= first > 0 and asked.words[first - 1] in NEGATIONS
        reading.require(column, (value,), set(covered), exactness)
        taken.update(dict.fromkeys(covered, (column.name, covered)))
    _note_twins(reading, asked, taken)


def _note_twins(reading: Reading, asked: Asked, taken: Mapping[int, tuple[str, frozenset[int]]]) -> None:
    """Columns of one kind (home team, away team) that hold the value of a condition as well, and are not told apart."""
    columns = {column.name: column for column in reading.table.columns}
    for name in {name for name, _ in taken.values()}:
        column, spans = columns[name], {span for owner, span in taken.values() if owner == name}
        for twin in columns.values():
            if twin is column or twin.type != "text" or not twin.distinct or not column.distinct:
                continue
            if re.fullmatch(r"column_\d+", twin.name):
                continue  # has no heading: it is of no kind
            ours, theirs = set(column.distinct), set(twin.distinct)
            if all(told_apart(column, span, asked) for span in spans):
                continue
            if not set(reading.conditions[name]) <= theirs or 2 * len(ours & theirs) < max(len(ours), len(theirs)):
                continue
            if len(spans) > 1 or not (set(column.terms) - set(twin.terms)) & set(asked.terms):
                reading.twins.append((name, twin.name))


def _translated(column: Column) -> bool:
    """True for a column of kinds, whose values may be said in other words."""
    return (column.distinct_count or 0) <= CATEGORIES and not {*words(column.name)} <= _UNITS


def _may_stand(phrase: Sequence[str], said: set[str]) -> bool:
    return any(word in said or _singular(word) in said or f"{word}s" in said for word in phrase[:1])


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") else word


def _meant(text: str, heard: Sequence[str], asked: Asked) -> tuple[float, frozenset[int]] | None:
    """How exactly and where the question says a value in other words: "food and drinks" for "Food & Beverages"."""
    key = _key(text)
    if not key or not set(key) <= set(heard):
        return None
    for start in range(len(heard) - len(key) + 1):
        if tuple(heard[start : start + len(key)]) == key:
            return _MEANT, frozenset(place for _, places in asked.heard[start : start + len(key)] for place in places)
    if len(key) < 2:
        return None
    at = [heard.index(term) for term in key]
    if max(at) - min(at) > len(key) + 1:
        return None
    return _TURNED, frozenset(place for each in at for place in asked.heard[each][1])


@lru_cache(maxsize=131_072)
def _key(text: str) -> tuple[str, ...]:
    """A value's concepts, without function words and leading codes."""
    found = words(_UNIT.sub("", text), camel=False)
    while found and (found[0].isdigit() or (len(found) > 1 and len(found[0]) == 1)):
        found = found[1:]
    at = 0
    key: list[str] = []
    for term, length in concept(found):
        if length > 1 or found[at] not in STOPWORDS or len(found[at]) == 1:  # "Block A" is no block
            key.append(term)
        at += length
    return tuple(key) if any(term not in NEUTRAL and term not in AGGREGATES for term in key) else ()


def spellings(value: str) -> list[tuple[tuple[str, ...], float]]:
    """The phrases that name a value: all its words, or those after a leading code ("P.001 Padang Besar")."""
    phrase = canonical(value)
    if not phrase or (len(phrase) == 1 and (len(phrase[0]) < 2 or phrase[0].isdigit())):
        return []
    found = [(phrase, _FULL)]
    if (apart := tuple(words(value))) not in (phrase, tuple(words(value, camel=False))):
        found.append((apart, _FULL))  # "FoodPrices"
    if (shorter := tuple(canonical(_UNIT.sub("", value)))) and shorter != phrase:
        found.append((shorter, _MEASURED))
    bare = list(phrase)
    while bare and (bare[0].isdigit() or len(bare[0]) == 1):
        bare.pop(0)
    if bare and len(bare) < len(phrase) and any(len(word) > 2 for word in bare):
        found.append((tuple(bare), _BARE))
    return found


def _find(phrase: Sequence[str], spoken: Sequence[str]) -> int:
    for start in range(len(spoken) - len(phrase) + 1):
        if all(_same_word(word, spoken[start + at]) for at, word in enumerate(phrase)):
            return start
    return -1


def _same_word(one: str, other: str) -> bool:
    return one == other or (len(one) > 3 and len(other) > 3 and one.rstrip("s") == other.rstrip("s"))


def match_codes(reading: Reading, asked: Asked) -> None:
    """Numbers and codes: "code 01144", or those that follow the name of their column: "item code 13101"."""
    for place, word in enumerate(asked.words):
        if not any(char.isdigit() for char in word) or place in reading.explained or place in asked.time_words:
            continue
        before = set(asked.terms[max(0, place - 3) : place])
        held = []
        for column in reading.table.columns:
            if column.name in reading.conditions or column.is_time or not column.terms:
                continue
            values = tuple(value for value in column.distinct or () if "".join(words(str(value))) == word)
            named = bool(before & (set(column.terms) - NEUTRAL)) or {*asked.terms[place - 1 : place]} == {*column.terms}
            if values and (named or ("code" in before and column.is_code)):
                held.append((named and "code" in column.terms, named, column, values))
        if held:
            # Of several columns that have the code, the one that the question names, then the finest.
            _, _, column, values = max(held, key=lambda each: (*each[:2], each[2].distinct_count or 0))
            reading.require(column, values, {place})
            reading.code = reading.code or "code" in before


def _refine(reading: Reading, asked: Asked) -> None:
    """A value that says all of the one found and more that the question says, too: "real_sa" for "real"."""
    for column in reading.table.columns:
        held = reading.conditions.get(column.name, ())
        if column.type != "text" or len(held) != 1 or column.distinct is None:
            continue
        known = set(_contents(str(held[0])))
        for value in column.distinct:
            more = [word for word in _contents(str(value)) if word not in known]
            if not more or not known < set(_contents(str(value))):
                continue
            found = [initials(word, asked) - reading.explained for word in more]
            if all(found):
                reading.conditions[column.name] = (value,)
                reading.spans[column.name] |= set().union(*found)
                reading.explained |= set().union(*found)
                break


def match_parts(reading: Reading, asked: Asked) -> None:
    """Conditions from values that the question names in part ("kembong" for "Ikan Kembong"), or by initials ("sa")."""
    _refine(reading, asked)
    left = {stem(asked.words[place]): place for place in sorted(asked.content - reading.explained)}
    left = {
        word: place
        for word, place in left.items()
        if asked.terms[place] not in reading.table.terms and asked.words[place] not in reading.table.terms
        if not any(_in_phrase(place, column, asked) for column in reading.table.columns if column.is_measure)
    }
    best: list[tuple[int, float, Column, Value, frozenset[int]]] = []
    some: list[tuple[Column, Value, frozenset[int]]] = []
    for column in reading.table.columns:
        if column.type != "text" or column.distinct is None or column.name in reading.conditions or column.is_clock:
            continue
        for value in column.distinct:
            content = _contents(str(value))
            if not content:
                continue
            places: set[int] = set()
            matched, spelled = 0, False
            for word in content:
                at = {left[stem(word)]} if stem(word) in left else initials(word, asked)
                if at & reading.explained:
                    at = set()
                matched += bool(at)
                # "Seasonally adjusted" is "abs_sa"; but "customer ordered" is not "Rempah Co", which is a name.
                short = stem(word) not in left and _NAMED.search(str(value)) and len(content) > 1
                spelled |= bool(at) and not word.isdigit() and not short
                places |= at
            # A number is not enough: "period 2" is not "Lab 2"; nor is what the column is called: "the shop in Lugo".
            matched *= spelled and not {asked.terms[place] for place in places} <= {*column.terms}
            if places and (other_end(column, places, asked) or is_verb(places, str(value), asked)):
                continue
            if matched:
                some.append((column, value, frozenset(places)))
            if matched and matched / len(content) >= 0.5:
                best.append((len(places), matched / len(content), column, value, frozenset(places)))
    if not best:
        return
    most = max(each[:2] for each in best)
    top = [each for each in best if each[:2] == most]
    column, places_ = top[0][2], top[0][4]
    if most[1] < 1.0:
        # Of two Koreas none is meant more than the other, however many words each has besides.
        values = tuple(value for other, value, at in some if other is column and places_ <= at)
    else:
        values = tuple(value for _, _, other, value, at in top if other is column and at == places_)
    if _is_lettered(values, max(places_) + 1, asked):
        return
    reading.require(column, values, set(places_), 0.5 + 0.4 * most[1])


def _in_phrase(place: int, column: Column, asked: Asked) -> bool:
    """True for a word that stands beside another as in a column's name: "on hand" is no "Hand Tools"."""
    named, said = words(column.name), list(asked.words)
    return any(
        list(pair) in (said[max(0, place - 1) : place + 1], said[place : place + 2])
        for pair in itertools.pairwise(named)
    )


def _is_lettered(values: Sequence[Value], after: int, asked: Asked) -> bool:
    """True where a letter follows that none of the values has: "cold room c" is none of A and B."""
    letter = asked.words[after] if after < len(asked.words) else ""
    ends = {words(str(value))[-1] for value in values}
    return len(letter) == 1 and letter.isalpha() and letter not in ends and all(len(end) == 1 for end in ends)


@lru_cache(maxsize=131_072)
def _contents(value: str) -> tuple[str, ...]:
    found = list(canonical(value))
    while found and (found[0].isdigit() or len(found[0]) == 1):
        found.pop(0)
    return tuple(word for word in found if word not in STOPWORDS and (len(word) > 1 or word.isdigit()))
