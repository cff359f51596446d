"""How far a table accounts for a question: makes the reading.

Nothing is fetched here. A reading says which rows (conditions), which columns (targets), and which of the question's
words nothing in the table accounts for (leftover). A word that is left over means that the question is about something
else, unless it is found to say the same in other words (``residue``): no figure is given for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rag_pgvector.answer.asked import Asked, date_of
from rag_pgvector.answer.columns import Column, Table, Value
from rag_pgvector.answer.matching import match_codes, match_parts, match_values
from rag_pgvector.answer.naming import beside, compound, in_full, initial_beside, initials
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.vocabulary import AGGREGATES, DEGREES, MONTHS, NEUTRAL, PARTS, PERSONS, RATES, SUBJECTS, words

__all__ = ["measures_named", "read"]


#: Columns that one question can be about.
TARGETS = 3


def read(table: Table, asked: Asked, *, home: frozenset[str] = frozenset()) -> Reading | None:
    """How the table accounts for the question; ``None`` where nothing in it is asked for.

    Args:
        home: Names of the place that all tables are about ("malaysia"), which need no column.
    """
    reading = Reading(table, home=home)
    _times(reading, asked)
    match_values(reading, asked)
    _drop_kinds(reading, asked)
    match_codes(reading, asked)
    question = list(enumerate(asked.terms))
    _code_targets(reading, asked)
    if not reading.targets:
        _targets(reading, asked, question)
    match_parts(reading, asked)
    for place, term in question:
        if _in_name(term, table) and term not in NEUTRAL and place in asked.content:
            if place not in reading.explained or not reading.by_name:
                reading.by_table = True
            reading.explained.add(place)
    reading.explained |= {place for place, term in question if term in table.topics}
    if not reading.targets and (reading.by_table or reading.conditions):
        reading.targets = _default_targets(reading, asked)
    if not reading.targets or not (reading.by_name or reading.by_table or reading.conditions):
        return None
    names = {term for column in table.columns if column.name in reading.conditions for term in column.terms}
    reading.explained |= {place for place, term in question if term in names}
    reading.explained |= {place for place, word in enumerate(asked.words) if word in home}
    spoken_for = {asked.terms[place] for span in reading.spans.values() for place in span}
    reading.explained |= {place for place, term in question if term in spoken_for}
    if reading.by_name and any(
        place in asked.content and asked.words[place] not in SUBJECTS for place in reading.named
    ):
        counted = {place for place, word in question if word == "household"}
        reading.explained |= {place for place, word in enumerate(asked.words) if word in SUBJECTS} | counted
    if asked.wants == "rate" and reading.targets and all(column.is_rate for column in reading.targets):
        # "What share of the population": that is what a share is of.
        reading.explained |= {place for place, term in question if term == "population"}
    _descriptors(reading, asked)
    reading.mismatch = any(_another_kind(column, asked, table) for column in reading.targets)
    reading.leftover = frozenset(asked.content - reading.explained)
    _open_lookups(reading, asked)
    return reading


def _in_name(term: str, table: Table) -> bool:
    """True for a term of the table's name, or a part of one that is written together: "crime" in "statecrime"."""
    if term in table.terms:
        return True
    return len(term) > 3 and any(
        len(each) >= len(term) + 3 and (each.startswith(term) or each.endswith(term)) for each in table.terms
    )


def _drop_kinds(reading: Reading, asked: Asked) -> None:
    """A word that is a column's name is no value of another: "district" beside the name of one."""
    for name, span in list(reading.spans.items()):
        others = {
            term
            for column in reading.table.columns
            if column.name in reading.conditions and column.name != name
            for term in column.terms
        }
        if span and all(asked.terms[place] in others and not asked.named[place] for place in span):
            del reading.conditions[name], reading.spans[name]


def _holds_persons(column: Column) -> bool:
    return column.type == "text" and not column.figures and bool(PERSONS & {*column.terms, *words(column.name)})


def _holds_years(column: Column) -> bool:
    """True for numbers that can be years, whatever their column is called: "built"."""
    return column.type == "integer" and 1500 <= (column.largest or 0) <= 2100


def _another_kind(column: Column, asked: Asked, table: Table) -> bool:
    """True for a share where a number is asked for, or the other way round; for a number where a person is."""
    if asked.asks == "who" and not _holds_persons(column):
        # The person beside the highest salary answers "who earns most".
        return not asked.operations or not any(map(_holds_persons, table.columns))
    if asked.asks == "when" and not (column.is_time or _holds_years(column)):
        return not asked.operations or not any(each.is_time for each in table.columns)
    if PARTS & set(column.terms) - set(asked.terms):
        return True
    if asked.asks == "where" and (column.is_measure or column.is_time):
        return True
    if asked.wants == "count":
        return column.is_rate
    if asked.wants == "rate" and not column.is_rate and not RATES & table.terms:
        return column.is_measure and (column.largest or 0.0) > 100.0
    return False


def _code_targets(reading: Reading, asked: Asked) -> None:
    """For "the code of X", the columns of codes; for "what is code X", the words beside it."""
    places = {place for place, term in enumerate(asked.terms) if term == "code"}
    if not places or not reading.conditions:
        return
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    if reading.code:
        named = {term for column in free for term in column.terms if column.is_measure} & set(asked.terms) - NEUTRAL
        if named:
            return
        reading.targets = tuple(column for column in free if column.type == "text" and not column.is_code)[:3]
    else:
        coded = [column for column in free if column.is_code]
        scored = [(len(set(column.terms) & set(asked.terms) - {"code", "digit"}), column) for column in coded]
        most = max((score for score, _ in scored), default=0)
        reading.targets = tuple(column for score, column in scored if score == most)
        if most:
            terms = {term for column in reading.targets for term in column.terms}
            reading.explained |= {place for place, term in enumerate(asked.terms) if term in terms}
        reading.code = bool(reading.targets)
    if reading.targets:
        reading.by_name = True
        reading.explained |= places
        if asked.digits:
            at = [place for place, term in enumerate(asked.terms) if term == "digit" or asked.words[place] == "angka"]
            reading.explained |= {each for place in at for each in (place - 1, place, place + 1)}


_WITHIN = frozenset("in at within inside di dalam".split())
_JOINS = frozenset("the of a an (".split())


def _descriptors(reading: Reading, asked: Asked) -> None:
    """Words that say what kind of place a value is: "in the constituency of Bangi", "in the Bangi constituency"."""
    spans = [span for name, span in reading.spans.items() if name not in reading.time]
    for place, word in enumerate(asked.words):
        if word not in _WITHIN:
            continue
        run: list[int] = []
        at = place + 1
        entity: set[int] = set()
        while at < len(asked.words):
            if any(at in span for span in spans):
                entity.add(at)
            elif asked.words[at] in _JOINS:
                pass
            elif (
                at in asked.content
                and at not in asked.time_words
                and (not asked.named[at] or (entity and run and at == run[-1] + 1 and len(asked.words[at]) <= 5))
            ):
                # Capitals after the words that describe a place abbreviate them: "(DUN)".
                run.append(at)
            else:
                break
            at += 1
        if not entity or not run:
            continue
        before = [each for each in run if each < min(entity)]
        after = [each for each in run if each > max(entity)]
        if before and asked.words[min(entity) - 1] != "of":
            continue
        if len(before) + len(after) <= 4:
            reading.explained |= set(run)


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


def _targets(reading: Reading, asked: Asked, question: Sequence[tuple[int, str]]) -> None:
    """The columns whose names account best for the words; ties stay ties, up to ``TARGETS``."""
    free = [(place, term) for place, term in question if place not in reading.explained]
    if not any(column.is_time for column in reading.table.columns):
        free = [*free, *((place, asked.words[place]) for place in sorted(asked.time_words))]
    codes = "code" in asked.terms
    chosen: list[Column] = []
    while True:
        scored = [
            (own, score, len(places), column, places)
            for column in reading.table.columns
            if column.name not in reading.conditions and column not in chosen and (codes or "code" not in column.terms)
            for own, places, score in [_fit(column, free, reading.table.terms, asked)]
            if places
        ]
        if not scored:
            break
        top = max(each[:3] for each in scored)
        best = [each for each in scored if each[:3] == top]
        if len(best) > TARGETS:
            # Of so many columns that are named alike, some would be chosen by chance.
            break
        if not chosen:
            reading.fit = top[1]
        # A second column only for words that the first one left.
        chosen += [column for _, _, _, column, _ in best]
        taken = {place for each in best for place in each[4]}
        reading.explained |= taken
        reading.named |= taken
        free = [(place, term) for place, term in free if place not in taken]
        joined = any(word in ("and", "dan", "serta") for word in asked.words)
        if not joined or not any(place in asked.content for place, _ in free):
            break
    reading.targets = tuple(chosen)
    reading.by_name = bool(chosen)


def _fit(
    column: Column, free: Iterable[tuple[int, str]], about: frozenset[str], asked: Asked
) -> tuple[int, set[int], float]:
    """How many of the words only this column's name accounts for (not the table's), the places of all, and how well."""
    own = 0
    places: set[int] = set()
    score = 0.0
    seen = list(free)
    open_places = {place for place, _ in seen}
    for number, term in enumerate(column.terms):
        at = {place for place, word in seen if _means(term, word)}
        if term in NEUTRAL and not term.isdigit():
            score += 0.1 * bool(at)
            continue
        together = compound(term, asked)
        at = together if together and together <= open_places else at
        at = at or {place for place in initials(term, asked) if place in open_places}
        if not at and number == 0 and len(term) == 1 and term.isalpha() and len(column.terms) > 1:
            # The last letter of a name is a unit: "body_mass_g".
            at = initial_beside(term, column.terms[1], asked, about) & open_places
        at = at or (beside(term, places, asked) & open_places)
        if at:
            places |= at
            said = [place for place in at & asked.content if asked.words[place] not in SUBJECTS]
            own += sum(asked.terms[place] not in about for place in said) * (term not in about)
            score += 1.0
        elif term not in AGGREGATES and term not in about:
            score -= 0.3
    score += 1.0 if in_full(words(column.name), asked) else -0.3 * column.repeats
    if asked.wants and places:
        score += 0.5 if (asked.wants == "rate") == column.is_rate else -0.5
    return own, places, round(score, 3)


def measures_named(reading: Reading, asked: Asked) -> list[Column]:
    """The columns of figures that the question names, or the only one that it can mean; for calculations."""
    held = {place for span in reading.spans.values() for place in span}
    free = [(place, term) for place, term in enumerate(asked.terms) if place not in held]
    scored = [
        (fit[0], fit[2], len(fit[1]), column)
        for column in reading.table.columns
        if column.is_measure and column.name not in reading.conditions
        for fit in [_fit(column, free, reading.table.terms, asked)]
        if fit[1]
    ]
    if scored:
        top = max(each[:3] for each in scored)
        return [each[3] for each in scored if each[:3] == top]
    return list(_default_targets(reading, asked))


def _means(term: str, word: str) -> bool:
    """True where a column's term and a question's are one, or one abbreviates the other."""
    if term == word:
        return True
    short, long = sorted((term, word), key=len)
    return len(short) >= 4 and long.startswith(short) and (len(long) - len(short) <= 3 or short == term)


def _default_targets(reading: Reading, asked: Asked) -> tuple[Column, ...]:
    """What is meant where only the table is named: what "who", "when" or "how large" asks for, else its total, its
    index, or its only measure."""
    columns = [column for column in reading.table.columns if column.name not in reading.conditions]
    if asked.asks == "who":
        return tuple(column for column in columns if _holds_persons(column) and not column.is_code)[:TARGETS]
    if asked.asks == "when":
        return tuple(column for column in columns if column.is_time)[:1]
    if asked.asks == "where":
        return ()
    if asked.degree in DEGREES:
        meant = DEGREES[asked.degree]
        if not meant & reading.table.terms:
            return tuple(column for column in columns if column.is_measure and meant & set(column.terms))[:TARGETS]
    measures = [column for column in columns if column.is_measure]
    totals = [column for column in measures if set(column.terms) & AGGREGATES]
    plain = [column for column in measures if set(column.terms) <= NEUTRAL | reading.table.terms]
    for group in (totals, plain, measures):
        if len(group) == 1:
            return (group[0],)
    # Rows can be counted without one.
    return tuple(column for column in columns if not column.is_measure)[: asked.wants == "count"]


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
