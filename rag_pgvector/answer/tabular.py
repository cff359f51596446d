"""How far a table accounts for a question: makes the reading.

Nothing is fetched here. A reading says which rows (conditions), which columns (targets), and which of the question's
words nothing in the table accounts for (leftover). A word that is left over means that the question is about something
else, unless it is found to say the same in other words (``residue``): no figure is given for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Table, Value
from rag_pgvector.answer.flags import match_flags, state_as_deed
from rag_pgvector.answer.matching import match_codes, match_parts, match_values
from rag_pgvector.answer.periods import clock_of, date_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.targets import choose, defaults, does_it, holds_persons, holds_years, names_doer
from rag_pgvector.answer.vocabulary import (
    COUNTED_BY,
    MONTHS,
    NEUTRAL,
    PARTS,
    RATES,
    SUBJECTS,
    UNITS,
    words,
)

__all__ = ["read"]


def read(table: Table, asked: Asked, *, home: frozenset[str] = frozenset()) -> Reading | None:
    """How the table accounts for the question; ``None`` where nothing in it is asked for.

    Args:
        home: Names of the place that all tables are about ("malaysia"), which need no column.
    """
    reading = Reading(table, home=home)
    _times(reading, asked)
    match_values(reading, asked)
    match_flags(reading, asked)
    _drop_kinds(reading, asked)
    match_codes(reading, asked)
    question = list(enumerate(asked.terms))
    _code_targets(reading, asked)
    if not reading.targets:
        choose(reading, asked, question)
    match_parts(reading, asked)
    for place, term in question:
        if _in_name(term, table) and term not in NEUTRAL and place in asked.content:
            if place not in reading.explained or not reading.by_name:
                reading.by_table = True
            reading.explained.add(place)
    reading.explained |= {place for place, term in question if term in table.topics | table.kinds}
    # "shop b" is not "shop_a.csv".
    reading.explained |= {
        place
        for place, word in enumerate(asked.words)
        if len(word) == 1 and {word, *asked.terms[place - 1 : place]} <= table.terms and place
    }
    if not reading.targets and (reading.by_table or reading.conditions):
        reading.targets = defaults(reading, asked)
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
    if reading.by_table and _COUNTED & table.terms and all(column.is_measure for column in reading.targets):
        # "How many people visited": the visitors.
        reading.explained |= {place for place, word in enumerate(asked.words) if word in SUBJECTS}
    if asked.wants == "rate" and reading.targets and all(column.is_rate for column in reading.targets):
        # "What share of the population": that is what a share is of.
        reading.explained |= {place for place, term in question if term == "population"}
    reading.explained |= _units(reading, asked) | _deeds(reading, asked)
    _descriptors(reading, asked)
    reading.mismatch = any(_another_kind(column, asked, table) for column in reading.targets)
    reading.mismatch = reading.mismatch or state_as_deed(reading, asked)
    reading.leftover = frozenset(asked.content - reading.explained)
    _open_lookups(reading, asked)
    return reading


#: Persons that a table's name may say it counts.
_COUNTED = frozenset("visitor tourist passenger population guest patient student employee member".split())


def _units(reading: Reading, asked: Asked) -> set[int]:
    """The places of units that the targets' names end in: "in metres" for "elevation_m"."""
    if not reading.targets:
        return set()
    told = [set(words(column.name)) for column in reading.targets]
    return {
        place
        for place, word in enumerate(asked.words)
        if (written := UNITS.get(word)) and all(written & names for names in told)
    }


def _deeds(reading: Reading, asked: Asked) -> set[int]:
    """The places of verbs of which a target, or a condition, says who does it: "wrote" for a column of authors; and of
    those who are counted by what they do: students, where "enrolled" is asked for."""
    told = [{*column.terms, *words(column.name)} for column in reading.targets]
    held = [{*each.terms, *words(each.name)} for each in reading.table.columns if each.name in reading.conditions]
    deeds = {
        place
        for place, word in enumerate(asked.words)
        if (told and all(names_doer(word, names) for names in told)) or any(names_doer(word, names) for names in held)
    }
    counted = {
        place
        for place, term in enumerate(asked.terms)
        if asked.wants == "count" and told and all(COUNTED_BY.get(term, frozenset()) & names for names in told)
    }
    return deeds | counted


def _in_name(term: str, table: Table) -> bool:
    """True for a term of the table's name, or a part of one that is written together: "crime" in "statecrime"."""
    if term in table.terms:
        return True
    # "visited" and "visitors".
    if len(term) > 4 and any(each.startswith(term) and len(each) <= len(term) + 3 for each in table.terms):
        return True
    return len(term) > 3 and any(
        # With an ending, too: "Note" in "schulnoten".
        len(each) >= len(term) + 3 and (each.startswith(term) or each.endswith((term, f"{term}n", f"{term}s")))
        for each in table.terms
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


def _another_kind(column: Column, asked: Asked, table: Table) -> bool:
    """True for a share where a number is asked for, or the other way round; for a number where a person is."""
    if asked.asks == "who" and not (holds_persons(column) or does_it(column, asked)):
        # The person beside the highest salary answers "who earns most".
        return not asked.operations or not any(map(holds_persons, table.columns))
    if asked.asks == "when" and not (column.is_time or holds_years(column)):
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
            values = tuple(dict.fromkeys(value for values in wanted for value in values))
            if asked.clock and column.form == "yyyy-mm-dd hh:mm":
                values = tuple(value for value in values if clock_of(str(value)) in asked.clock)
                reading.explained |= set(asked.clock_words)
                reading.absent_time = not values
            reading.conditions[column.name] = values
            reading.time.add(column.name)
            reading.explained |= asked.time_words
            return
    years = {period.year for period in asked.periods}
    exact = all(period.month is None and period.quarter is None for period in asked.periods)
    in_columns = {int(word) for column in reading.table.columns for word in words(column.name) if word.isdigit()}
    said = {int(word) for word in asked.words if word.isdigit()}
    if not columns and exact and (years <= reading.table.years or years <= in_columns & said):
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
