"""How far a table accounts for a question: the reading.

Nothing is fetched here. A reading says which rows (conditions), which columns (targets), and which of the question's
words nothing in the table accounts for (leftover). A word that is left over means that the question is about something
else: no figure is given for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rag_pgvector.answer.asked import Asked, date_of
from rag_pgvector.answer.columns import Column, Table, Value
from rag_pgvector.answer.lexical import STOPWORDS
from rag_pgvector.answer.vocabulary import AGGREGATES, MONTHS, NEUTRAL, canonical, concept, replaced, words

__all__ = ["Reading", "read"]


@dataclass(slots=True)
class Reading:
    """How a table accounts for a question.

    Attributes:
        conditions: By column name, the values that a row must have.
        time: The columns of ``conditions`` that say when.
        lookups: Columns too large to list, with the phrases that may be one of their values.
        targets: The columns asked for.
        explained: Places of the question's words that the table accounts for.
        leftover: Places of content words that it does not.
        absent_time: A period is asked for that the table does not have.
        exactness: 1 where every value matched in full, less where only a part of it was named.
        fit: How much of the target's name the question says.
        by_name: The target is named by the question.
        by_table: The table is.
        home: Names of the place that all tables are about.
    """

    table: Table
    home: frozenset[str] = frozenset()
    conditions: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    time: set[str] = field(default_factory=set)
    lookups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: tuple[Column, ...] = ()
    explained: set[int] = field(default_factory=set)
    leftover: frozenset[int] = frozenset()
    absent_time: bool = False
    exactness: float = 1.0
    fit: float = 0.0
    by_name: bool = False
    by_table: bool = False


def read(table: Table, asked: Asked, *, home: frozenset[str] = frozenset()) -> Reading | None:
    """How the table accounts for the question; ``None`` where nothing in it is asked for.

    Args:
        home: Names of the place that all tables are about ("malaysia"), which need no column.
    """
    reading = Reading(table, home=home)
    _times(reading, asked)
    _values(reading, asked)
    _codes(reading, asked)
    question = _concepts(asked)
    _targets(reading, asked, question)
    _partial_values(reading, asked)
    for place, term in question:
        if term in table.terms and term not in NEUTRAL and place in asked.content:
            if place not in reading.explained or not reading.by_name:
                reading.by_table = True
            reading.explained.add(place)
    if not reading.targets and (reading.by_table or len(reading.conditions) >= 2):
        reading.targets = _default_targets(reading)
    if not reading.targets or not (reading.by_name or reading.by_table or len(reading.conditions) >= 2):
        return None
    names = {term for column in table.columns if column.name in reading.conditions for term in column.terms}
    reading.explained |= {place for place, term in question if term in names}
    reading.explained |= {place for place, word in enumerate(asked.words) if word in home}
    reading.leftover = frozenset(asked.content - reading.explained)
    _open_lookups(reading, asked)
    return reading


def _concepts(asked: Asked) -> list[tuple[int, str]]:
    """Each word's place with the concept that it is part of."""
    found: list[tuple[int, str]] = []
    at = 0
    for term, length in concept(list(asked.words)):
        found += [(place, term) for place in range(at, at + length)]
        at += length
    return found


def _times(reading: Reading, asked: Asked) -> None:
    """Conditions on the columns of time. Without one, the years must stand in a column's name or in the table's."""
    columns = [column for column in reading.table.columns if column.is_time]
    if asked.latest:
        dated = [(column, date_of(value, column.form)) for column in columns for value in (column.distinct or ())]
        newest = max((date for _, date in dated if date), default=None)
        for column in columns:
            values = tuple(value for value in column.distinct or () if date_of(value, column.form) == newest)
            if values:
                reading.conditions[column.name] = values
                reading.time.add(column.name)
                return
        return
    if not asked.periods:
        return
    split = _split_time(reading, asked, columns)
    if split:
        return
    for column in sorted(columns, key=lambda column: column.type != "date"):
        granularity = column.granularity if column.type == "date" else "year"
        if column.distinct is None:
            reading.lookups[column.name] = ()
            reading.time.add(column.name)
            reading.explained |= asked.time_words
            return
        dates = [(value, date_of(value, column.form)) for value in column.distinct]
        wanted = [
            tuple(value for value, date in dates if date and period.holds(date, granularity))
            for period in asked.periods
        ]
        if all(wanted):
            reading.conditions[column.name] = tuple(dict.fromkeys(value for values in wanted for value in values))
            reading.time.add(column.name)
            reading.explained |= asked.time_words
            return
    years = {period.year for period in asked.periods}
    exact = all(period.month is None and period.quarter is None for period in asked.periods)
    in_columns = {int(word) for column in reading.table.columns for word in words(column.name) if word.isdigit()}
    if not columns and exact and years <= reading.table.years | in_columns:
        reading.explained |= asked.time_words
        return
    reading.absent_time = True


def _split_time(reading: Reading, asked: Asked, columns: Sequence[Column]) -> bool:
    """Year in one column, month or quarter in another."""
    years = next((column for column in columns if column.type == "year" and column.distinct is not None), None)
    parts = [column for column in reading.table.columns if column.type in ("text", "integer")]
    for kind in ("month", "quarter"):
        column = next((column for column in parts if kind in column.terms), None)
        wanted = {getattr(period, kind) for period in asked.periods}
        if years is None or column is None or column.distinct is None or None in wanted:
            continue
        values = tuple(value for value in column.distinct if _part_number(value, kind) in wanted)
        in_years = tuple(value for value in years.distinct or () if value in {period.year for period in asked.periods})
        if values and in_years:
            reading.conditions[years.name] = in_years
            reading.conditions[column.name] = values
            reading.time |= {years.name, column.name}
            reading.explained |= asked.time_words
            return True
    return False


def _part_number(value: Value, kind: str) -> int | None:
    text = "".join(words(str(value)))
    if kind == "month" and text in MONTHS:
        return MONTHS[text]
    digits = re.search(r"\d+", text)
    return int(digits.group()) if digits else None


def _values(reading: Reading, asked: Asked) -> None:
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
    found: list[tuple[int, float, int, Column, Value, int]] = []
    for column in reading.table.columns:
        if column.type not in ("text", "boolean") or column.distinct is None:
            continue
        for value in column.distinct:
            for phrase, exactness in _spellings(str(value)):
                start = _find(phrase, spoken)
                if start >= 0:
                    found.append((len(phrase), exactness, -(column.distinct_count or 0), column, value, start))
    found.sort(key=lambda each: (-each[0], -each[1], -each[2], each[3].name, str(each[4])))
    taken: dict[int, tuple[str, tuple[int, int]]] = {}
    for length, exactness, _, column, value, start in found:
        covered = {place for position in range(start, start + length) for place in places[position]}
        owners = {taken[place] for place in covered if place in taken}
        if owners and owners != {(column.name, (start, length))}:
            continue
        if covered & asked.time_words:
            continue
        if not any(place in asked.content for place in covered) and len(covered) < 2:
            continue
        reading.conditions[column.name] = tuple(dict.fromkeys((*reading.conditions.get(column.name, ()), value)))
        reading.explained |= covered
        reading.exactness = min(reading.exactness, exactness)
        taken.update(dict.fromkeys(covered, (column.name, (start, length))))


def _spellings(value: str) -> list[tuple[tuple[str, ...], float]]:
    """The phrases that name a value: all its words, or those after a leading code ("P.001 Padang Besar")."""
    phrase = canonical(value)
    if not phrase or (len(phrase) == 1 and (len(phrase[0]) < 2 or phrase[0].isdigit())):
        return []
    found = [(phrase, 1.0)]
    bare = list(phrase)
    while bare and (bare[0].isdigit() or len(bare[0]) == 1):
        bare.pop(0)
    if bare and len(bare) < len(phrase) and any(len(word) > 2 for word in bare):
        found.append((tuple(bare), 0.9))
    return found


def _find(phrase: Sequence[str], spoken: Sequence[str]) -> int:
    for start in range(len(spoken) - len(phrase) + 1):
        if all(_same_word(word, spoken[start + at]) for at, word in enumerate(phrase)):
            return start
    return -1


def _same_word(one: str, other: str) -> bool:
    return one == other or (len(one) > 3 and len(other) > 3 and one.rstrip("s") == other.rstrip("s"))


def _codes(reading: Reading, asked: Asked) -> None:
    """Numbers and codes that follow the name of their column: "item code 13101"."""
    question = dict(_concepts(asked))
    for place, word in enumerate(asked.words):
        if not any(char.isdigit() for char in word) or place in reading.explained or place in asked.time_words:
            continue
        before = {question[at] for at in range(max(0, place - 3), place)}
        for column in reading.table.columns:
            if column.name in reading.conditions or not column.terms or not before & (set(column.terms) - NEUTRAL):
                continue
            values = tuple(value for value in column.distinct or () if "".join(words(str(value))) == word)
            if values:
                reading.conditions[column.name] = values
                reading.explained.add(place)
                break


def _targets(reading: Reading, asked: Asked, question: Sequence[tuple[int, str]]) -> None:
    """The columns whose names account best for the words; ties stay ties, up to three."""
    free = [(place, term) for place, term in question if place not in reading.explained]
    if not any(column.is_time for column in reading.table.columns):
        free = [*free, *((place, asked.words[place]) for place in sorted(asked.time_words))]
    chosen: list[Column] = []
    while True:
        scored = [
            (own, len(places), score, column, places)
            for column in reading.table.columns
            if column.name not in reading.conditions and column not in chosen
            for own, places, score in [_fit(column, free, reading.table.terms)]
            if places
        ]
        if not scored:
            break
        top = max(each[:3] for each in scored)
        best = [each for each in scored if each[:3] == top][:3]
        if not chosen:
            reading.fit = top[2]
        # A second column only for words that the first one left.
        chosen += [column for _, _, _, column, _ in best]
        taken = {place for each in best for place in each[4]}
        reading.explained |= taken
        free = [(place, term) for place, term in free if place not in taken]
        joined = any(word in ("and", "dan", "serta") for word in asked.words)
        if not joined or not any(place in asked.content for place, _ in free):
            break
    reading.targets = tuple(chosen)
    reading.by_name = bool(chosen)


def _fit(column: Column, free: Iterable[tuple[int, str]], about: frozenset[str]) -> tuple[int, set[int], float]:
    """How many of the words only this column's name accounts for (not the table's), the places of all, and how well."""
    own = 0
    places: set[int] = set()
    score = 0.0
    seen = list(free)
    for term in column.terms:
        at = {place for place, word in seen if _means(term, word)}
        if term in NEUTRAL and not term.isdigit():
            score += 0.1 * bool(at)
        elif at:
            places |= at
            own += len(at) * (term not in about)
            score += 1.0
        elif term not in AGGREGATES and term not in about:
            score -= 0.3
    return own, places, round(score, 3)


def _means(term: str, word: str) -> bool:
    """True where a column's term and a question's are one, or one abbreviates the other."""
    if term == word:
        return True
    short, long = sorted((term, word), key=len)
    return len(short) >= 4 and long.startswith(short) and (len(long) - len(short) <= 3 or short == term)


def _partial_values(reading: Reading, asked: Asked) -> None:
    """Conditions from values that the question names in part: "kembong" for "Ikan Kembong"."""
    left = {asked.words[place]: place for place in asked.content - reading.explained}
    left = {word: place for word, place in left.items() if word not in reading.table.terms}
    if not left:
        return
    best: list[tuple[float, Column, Value, set[int]]] = []
    for column in reading.table.columns:
        if column.type != "text" or column.distinct is None or column.name in reading.conditions:
            continue
        for value in column.distinct:
            content = [
                word for word in canonical(str(value)) if word not in STOPWORDS and not word.isdigit() and len(word) > 1
            ]
            matched = {left[each] for word in content for each in left if _same_word(word, each)}
            if content and len(matched) / len(content) >= 0.5:
                best.append((len(matched) / len(content), column, value, matched))
    if not best:
        return
    most = max((len(each[3]), each[0]) for each in best)
    top = [each for each in best if (len(each[3]), each[0]) == most]
    column = top[0][1]
    reading.conditions[column.name] = tuple(value for _, other, value, _ in top if other is column)
    reading.explained |= top[0][3]
    reading.exactness = min(reading.exactness, 0.5 + 0.4 * top[0][0])


def _default_targets(reading: Reading) -> tuple[Column, ...]:
    """What is meant where only the table is named: its total, its index, or its only measure."""
    columns = [column for column in reading.table.columns if column.name not in reading.conditions]
    measures = [column for column in columns if column.is_measure]
    totals = [column for column in measures if set(column.terms) & AGGREGATES]
    plain = [column for column in measures if set(column.terms) <= NEUTRAL | reading.table.terms]
    # Without the table's name, "value" may be meant, but not "price" because it stands alone.
    for group in (totals, plain, measures) if reading.by_table else (plain,):
        if len(group) == 1:
            return (group[0],)
    return ()


def _open_lookups(reading: Reading, asked: Asked) -> None:
    """Phrases left over may be values of columns too large to list."""
    if not reading.leftover:
        return
    open_columns = [column for column in reading.table.columns if column.type == "text" and column.distinct is None]
    runs: list[str] = []
    run: list[str] = []
    for place, word in enumerate(asked.words):
        if place in reading.leftover:
            run.append(word)
        elif run:
            runs.append(" ".join(run))
            run = []
    runs += [" ".join(run)] * bool(run)
    for column in open_columns:
        reading.lookups[column.name] = tuple(runs)
