"""How far a table accounts for a question: makes the reading.

Nothing is fetched here. A reading says which rows (conditions), which columns (targets), and which of the question's
words nothing in the table accounts for (leftover). A word that is left over means that the question is about something
else, unless it is found to say the same in other words (``residue``): no figure is given for it.
"""

from __future__ import annotations

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Table, Value
from rag_pgvector.answer.flags import match_flags, state_as_deed
from rag_pgvector.answer.matching import match_codes, match_parts, match_values
from rag_pgvector.answer.pieces import match_pieces
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.sides import match_sides, scores
from rag_pgvector.answer.targets import asks_thing, choose, defaults, does_it, holds_persons, holds_years, names_doer
from rag_pgvector.answer.times import match_times, match_yearless
from rag_pgvector.answer.vocabulary import (
    COUNTED_BY,
    NEUTRAL,
    PARTS,
    RATES,
    SUBJECTS,
    UNITS,
    concept,
    words,
)
from rag_pgvector.answer.ways import is_other_kind, match_clocks, other_rhythm, tell

__all__ = ["read"]


def read(table: Table, asked: Asked, *, home: frozenset[str] = frozenset()) -> Reading | None:
    """How the table accounts for the question; ``None`` where nothing in it is asked for.

    Args:
        home: Names of the place that all tables are about ("malaysia"), which need no column.
    """
    reading = Reading(table, home=home)
    match_times(reading, asked)
    match_clocks(reading, asked)
    match_values(reading, asked)
    match_sides(reading, asked)
    match_yearless(reading, asked)
    match_flags(reading, asked)
    _drop_kinds(reading, asked)
    match_codes(reading, asked)
    question = list(enumerate(asked.terms))
    _code_targets(reading, asked)
    if not reading.targets:
        choose(reading, asked, question)
    match_parts(reading, asked)
    match_pieces(reading, asked)
    scores(reading, asked)
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
    reading.mismatch = any(_another_kind(column, asked, reading) for column in reading.targets)
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
    conditions = [each for each in reading.table.columns if each.name in reading.conditions]
    held = [{*each.terms, *words(each.name)} for each in conditions]
    deeds = {
        place
        for place, word in enumerate(asked.words)
        if (told and all(names_doer(word, names) for names in told))
        or any(names_doer(word, names) for names in held)
        or any(tell(word, column) for column in (*reading.targets, *conditions))
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


def _another_kind(column: Column, asked: Asked, reading: Reading) -> bool:
    """True for a share where a number is asked for, or the other way round; for a number where a person is."""
    table = reading.table
    #: In a long table the name of a figure is a value beside it.
    told = {term for name in reading.conditions for value in reading.conditions[name] for term in _terms_of(value)}
    is_rate = column.is_rate or (column.is_measure and bool(RATES & told))
    if asked.asks == "who" and not (holds_persons(column) or does_it(column, asked)):
        # The person beside the highest salary answers "who earns most".
        return not asked.operations or not any(map(holds_persons, table.columns))
    if asked.asks == "when" and not (column.is_time or column.is_clock or holds_years(column)):
        return not asked.operations or not any(each.is_time for each in table.columns)
    if is_other_kind(column, asked) or (column.is_measure and asks_thing(reading, asked)):
        return True
    if other_rhythm(column, asked):
        return True
    if PARTS & set(column.terms) - set(asked.terms):
        return True
    if asked.asks == "where" and (column.is_measure or column.is_time or column.is_clock):
        return True
    if asked.wants == "count":
        return is_rate
    if asked.wants == "rate" and not is_rate and not RATES & table.terms:
        return column.is_measure and (column.largest or 0.0) > 100.0
    return False


def _terms_of(value: Value) -> list[str]:
    return [term for term, _ in concept(words(str(value)))] if isinstance(value, str) else []


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
