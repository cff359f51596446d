"""Which calculation a question asks a table for: the operation, the column, and what its rows stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.targets import begun, fitting_measures, holds_persons, is_month, measures_named
from rag_pgvector.answer.vocabulary import (
    AGGREGATES,
    CALCULATIONS,
    DOERS_OF,
    NEUTRAL,
    PERSONS,
    RATES,
    SUBJECTS,
    VERBS_OF,
    WRITTEN_UNITS,
    concept,
    words,
)

__all__ = ["LIGHT", "NOT_ADDED", "Calculation", "entities_named", "names_other", "planned"]

#: What makes no sense when added up.
NOT_ADDED = RATES | frozenset(
    """
    mean median index price gini size temperature minimum maximum cpi ppi humidity cumulativ cum kumulatif age
    """.split()
)
#: Verbs that say no more than that somebody has a figure.
LIGHT = frozenset(
    "earned earn generated generate received receive brought bring achieved achieve attracted attract drew posted "
    "scored score took charge spent mencatat mencatatkan menjana".split()
)
#: What a figure is of what its name says before: a score, no number of reviews.
_KINDS = frozenset(term for term, _ in concept("score rating price fee level rank grade age time duration".split()))
#: What is done for money, and with a number of things.
_DEALS = frozenset("sold sell sells bought buys ordered orders purchased imported exported produced".split())
#: Verbs of who does something, and of when, where or for how much.
_VERBS = DOERS_OF.keys() | VERBS_OF.keys()
#: What rows are called, whatever is in them.
_ROWS = frozenset("row rows line lines entry entries record records baris rekod".split())
_HAVE = frozenset("have has had mempunyai memiliki".split())
#: Words after which stands what is counted.
_MANY = frozenset("many howmany of ramai banyak bilangan".split())


@dataclass(frozen=True, slots=True)
class Calculation:
    """What to calculate over which column, and the columns whose kind the question names."""

    operation: str
    column: Column
    entities: tuple[Column, ...]
    #: A number of rows is asked for, not of the column's different values.
    of_rows: bool = False


def entities_named(reading: Reading, asked: Asked) -> list[tuple[Column, set[int]]]:
    """The columns whose kind of thing the question names, each with the places of its words."""
    heard = set(asked.terms) - NEUTRAL
    rows = (reading.table.document.profile or {}).get("rows") or 0
    return [
        (column, {place for place, term in enumerate(asked.terms) if term in column.terms})
        for column in reading.table.columns
        if column.name not in reading.conditions
        and column.type == "text"
        and not column.figures
        and heard & set(column.terms)
        # The number plates of a fleet are codes, too, but each is that of several rows.
        and (not column.is_code or ({*column.terms} <= heard and (column.distinct_count or 0) < rows))
    ]


def planned(reading: Reading, asked: Asked) -> list[Calculation]:
    """The calculations that a question asks for, several for "the highest level and capacity"; none for a look-up."""
    if reading.adds:
        return [] if reading.leftover - {*asked.operations} else [Calculation("sum", reading.targets[0], ())]
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    found = entities_named(reading, asked)
    entities = tuple(column for column, _ in found)
    places = {place for _, at in found for place in at}
    measures = [column for column in reading.targets if column.is_measure] or measures_named(reading, asked)
    # "The highest claim" asks for no type of claims, though a "Claim Type" is told beside the "Claim Amount".
    shared = reading.table.kinds.union(*(column.terms for column in measures))
    said = {*asked.terms}
    entities = tuple(each for each in entities if {*each.terms} & said - shared or {*each.terms} <= said)
    operations = dict(asked.operations)
    if dated := begun(reading, asked):
        # The oldest is what was built first.
        measures = [dated]
        operations = {place: {"max": "min", "min": "max"}.get(how, how) for place, how in operations.items()}
    named = {place for column in measures for place, term in enumerate(asked.terms) if term in column.terms}
    named |= {place for place in reading.leftover for column in measures if is_month(column, place, asked)}
    operations = {place: how for place, how in operations.items() if place not in named}
    rest = reading.leftover - places - named
    subjects = {place for place, word in enumerate(asked.words) if word in SUBJECTS}
    totalled = asked.totalled - named or (asked.totalled if _is_of_a_part(reading, measures) else frozenset())
    if not operations and totalled:
        operations = dict.fromkeys(totalled, "sum")
        if not _tells_of_persons(reading):  # "jumlah penduduk" is no sum of prices
            rest |= subjects
    rest -= set(operations)
    if named and {*operations.values()} <= {"max", "min"}:
        rest -= {place for place, word in enumerate(asked.words) if word in LIGHT}
    if asked.wants == "count" and not operations:
        rest -= subjects | {place for place, word in enumerate(asked.words) if word in _ROWS}
    if rest or any(asked.words[place] in CALCULATIONS for place in asked.content - named - set(operations)):
        return []
    if _by_verb_alone(reading, asked) or _names_no_figure(reading, asked, measures):
        return []
    hows = set(operations.values())
    if asked.compared & set(operations):
        compared = _ahead(reading, asked)
        if compared is None:
            return []
        entities = (compared,)
    if len(hows) == 1 and (len(measures) == 1 or _each_named(measures, asked)):
        how = hows.pop()
        if how == "sum" and any(NOT_ADDED & set(column.terms) or column.is_rate for column in measures):
            return []
        return [Calculation(how, column, entities) for column in measures]
    if hows or asked.wants != "count" or any(column.is_measure for column in reading.targets if reading.by_name):
        return []
    counted = next((place + 1 for place, word in enumerate(asked.words) if word in _MANY), 0)
    if entities and not places & {counted, counted + 1}:
        # "How many work remotely" does not ask how many values the column "remote" has.
        return []
    if any("quantity" in column.terms for column in free) and not all(map(holds_persons, entities)):
        return []
    if len(entities) == 1 and all(column in entities for column in reading.targets if reading.by_name):
        about = reading.conditions or reading.by_table or set(entities[0].terms) & reading.table.terms
        return [Calculation("count", entities[0], entities)] if about else []
    rows = _rows_counted(reading, asked) if not entities else None
    return [] if rows is None else [rows]


def _is_of_a_part(reading: Reading, measures: Sequence[Column]) -> bool:
    """True where the question names one of the things that a column divides the rows into, and the figures are called
    "Total (USD)" and no more: the total of a department is the sum of its rows."""
    named = any(name not in reading.time for name in reading.conditions)
    return named and all({*column.terms} <= NEUTRAL | AGGREGATES | WRITTEN_UNITS for column in measures)


def _by_verb_alone(reading: Reading, asked: Asked) -> bool:
    """True for "which region sold the most", where both pieces and money are told: of which, it does not say."""
    verb = asked.words[-1] in ("most", "least", "fewest") and asked.words[-3 if asked.words[-2] == "the" else -2]
    paid = [each.is_money for each in reading.table.columns if each.is_measure and "price" not in each.terms]
    return verb in _DEALS and any(paid) and not all(paid)


def names_other(column: Column, asked: Asked) -> bool:
    """True for "the most reviews", where a column has the score of the review: it is no number of reviews."""
    return bool(_KINDS & {*column.terms} - {*asked.terms}) and bool({*column.terms} & {*asked.terms})


def _names_no_figure(reading: Reading, asked: Asked, measures: Sequence[Column]) -> bool:
    """True for "the most products", where the only figure is a price: products are counted, no price is asked for."""
    tops = {asked.words[place] for place, how in asked.operations.items() if how in ("max", "min")}
    if not tops & {"most", "fewest", "least", "terbanyak"} or asked.degree:
        return False
    if fitting := fitting_measures(reading, asked, set()):
        return all(names_other(column, asked) for column in fitting)
    own = {*measures[0].terms} - NEUTRAL - AGGREGATES - WRITTEN_UNITS - reading.table.terms if measures else set()
    return bool(own) and measures[0] not in reading.targets


def _ahead(reading: Reading, asked: Asked) -> Column | None:
    """The column of the things that are compared ("more visitors, A or B"): the one condition with several values, each
    named by words of its own."""
    several = [name for name, values in reading.conditions.items() if len(values) > 1 and name not in reading.time]
    columns = [column for column in reading.table.columns if column.name in several]
    joins = {place for place, word in enumerate(asked.words) if word in ("or", "atau")}
    if len(columns) != 1 or not joins:
        return None
    span = reading.spans.get(columns[0].name, set())
    joined = any(min(span, default=place) < place < max(span, default=place) for place in joins)
    return columns[0] if joined else None


def _each_named(columns: Sequence[Column], asked: Asked) -> bool:
    """True where "and" joins the columns, and each is named by a word that is not another's."""
    others = [{term for other in columns if other is not column for term in other.terms} for column in columns]
    own = [set(column.terms) & set(asked.terms) - names for column, names in zip(columns, others, strict=True)]
    return bool({"and", "dan", "serta"} & set(asked.words)) and len(columns) > 1 and all(own)


def _rows_counted(reading: Reading, asked: Asked) -> Calculation | None:
    """The number of rows, where the table's own name says what its rows are ("how many penguins"), or they are persons
    and persons are counted."""
    if _HAVE & {*asked.words} and any(_names_rows(each, reading) for each in reading.table.columns):
        return None  # "how many employees does Ravi have" is not how often he is listed
    held = {place for span in reading.spans.values() for place in span} | asked.time_words
    kinds = {term for column in reading.table.columns if column.name in reading.conditions for term in column.terms}
    rows_are = reading.table.terms | reading.table.kinds
    kinds -= rows_are  # "how many orders", where "Order Date" says when
    counted = {place for place in asked.content if place not in held and asked.terms[place] not in kinds}
    counted -= {place for place in counted if asked.words[place] in _VERBS and place in reading.explained}
    many = {place + 1 for place, word in enumerate(asked.words) if word in _MANY}
    if many & held and any("quantity" in column.terms for column in reading.table.columns):
        return None  # "how many lamps were ordered" is no number of orders
    persons = _tells_of_persons(reading)
    by_name = bool(counted) and all(asked.terms[place] in rows_are or asked.words[place] in _ROWS for place in counted)
    by_name = by_name or (not counted and _kind_counted(reading, asked))
    by_person = persons and any(asked.words[place] in SUBJECTS for place in counted)
    if not (by_name or (by_person and all(asked.words[place] in SUBJECTS for place in counted))):
        return None
    column = next((column for column in reading.table.columns if column.name not in reading.conditions), None)
    return None if column is None else Calculation("count", column, (), of_rows=True)


def _names_rows(column: Column, reading: Reading) -> bool:
    """True for a condition on a column that has another value in nearly every row."""
    rows = (reading.table.document.profile or {}).get("rows") or 0
    named = column.name in reading.conditions and column.type == "text" and not column.figures
    return named and (column.distinct_count or 0) >= 0.75 * rows


def _kind_counted(reading: Reading, asked: Asked) -> bool:
    """True for "how many engineers", where "engineer" is what a column says of several rows, and another column names
    each row: what is counted are the rows."""
    many = {place + 1 for place, word in enumerate(asked.words) if word in _MANY}
    rows = (reading.table.document.profile or {}).get("rows")
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    keys = [column for column in free if column.type == "text" and not column.figures and column.distinct_count == rows]
    kinds = [column for column in reading.table.columns if many & reading.spans.get(column.name, set())]
    return bool(keys) and any(column.type == "text" and column.distinct_count != rows for column in kinds)


def _tells_of_persons(reading: Reading) -> bool:
    return any(PERSONS & {*column.terms, *words(column.name)} for column in reading.table.columns)
