"""The columns that a question asks a table for: those whose names account best for its words, or what is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.naming import beside, compound, in_full, initial_beside, initials
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.tongues import HOW_MANY
from rag_pgvector.answer.vocabulary import (
    AGGREGATES,
    BEGUN,
    DEGREES,
    DOERS_OF,
    MONTHS,
    NEUTRAL,
    PERSONS,
    SUBJECTS,
    WRITTEN_UNITS,
    words,
)
from rag_pgvector.answer.ways import asks_time, kind_named, lists, tell, verb_columns, verbs_of

__all__ = [
    "begun",
    "choose",
    "defaults",
    "does_it",
    "fitting_measures",
    "holds_persons",
    "holds_years",
    "is_month",
    "measures_named",
    "names_doer",
]

#: Columns that one question can be about.
TARGETS = 3
_LINKS = frozenset("in on at to from of is has by for".split())
_ANDS = frozenset("and dan serta".split())
#: Words that ask for all between two months.
_UNTIL = frozenset("to until till through between hingga sehingga sampai antara".split())
#: Words of a column's name that make it the time of something, and words that ask for a time.
_TIMES = frozenset("date dates day year month time timestamp week quarter on at tarikh tahun bulan hari masa".split())
_WHEN = frozenset("when bila bilakah kapan kapankah days years months".split())


def choose(reading: Reading, asked: Asked, question: Sequence[tuple[int, str]]) -> None:
    """The columns whose names account best for the words; ties stay ties, up to ``TARGETS``."""
    if reading.turn is not None and (asks_time(asked) or in_full(words(reading.turn[0].name), asked)):
        column, _ = reading.turn
        reading.targets, reading.by_name = (column,), True
        reading.explained |= {place for place, term in question if term in column.terms}
        return
    free = [(place, term) for place, term in question if place not in reading.explained]
    if not any(column.is_time for column in reading.table.columns):
        free = [*free, *((place, asked.words[place]) for place in sorted(asked.time_words))]
    codes = "code" in asked.terms
    verbs = verbs_of(asked) - reading.explained
    if kind_named(reading, asked):
        # "Which platform does it leave from": the verb says of what, the noun what is asked for.
        free = [(place, term) for place, term in free if place not in verbs]
        table = reading.table
        for place in verbs:
            if lists(table, asked.words[place]) or any(tell(asked.words[place], each) for each in table.columns):
                reading.explained.add(place)
        verbs = set()
    chosen: list[Column] = []
    while True:
        scored = [
            (own, score, len(places), column, places)
            for column in reading.table.columns
            if column.name not in reading.conditions and column not in chosen and (codes or "code" not in column.terms)
            for own, places, score in [_fit(column, free, reading.table.terms, asked)]
            if places and not _says_no_time(column, asked) and not _is_nobody(column, asked)
        ]
        if not scored:
            break
        rates = [each for each in scored if each[0] and each[3].is_rate]
        if asked.wants == "rate" and len(rates) == 1:
            # "What share of the labour force was jobless": a number of people is no answer, however well named.
            scored = rates
        top = max(each[:3] for each in scored)
        best = [each for each in scored if each[:3] == top]
        if len(best) > TARGETS:
            # Of so many columns that are named alike, some would be chosen by chance.
            break
        if (
            asked.wants == "rate"
            and not set[int].intersection(*(each[4] for each in best))
            and not any(word in _ANDS for word in asked.words)
        ):
            # "What share of the population was jobless": one is named by the one word, one by the other.
            break
        if not chosen:
            reading.fit = top[1]
        # A second column only for words that the first one left.
        chosen += [column for _, _, _, column, _ in best]
        taken = {place for each in best for place in each[4]}
        reading.explained |= taken
        reading.named |= taken
        free = [(place, term) for place, term in free if place not in taken]
        joined = any(word in _ANDS for word in asked.words)
        if not joined or not any(place in asked.content or _is_joined(place, asked) for place, _ in free):
            break
    if figure := _figure_of_rows(reading, asked, chosen):
        chosen = [figure]
    if counted := _counted(reading, asked):
        chosen = [counted]
        reading.explained |= {place for place, term in question if term in counted.terms}
    for place in sorted(verbs):
        told = verb_columns(reading, asked, place)
        if len(told) == 1 and (not chosen or told == chosen or asks_time(asked) or asked.asks == "where"):
            chosen = told
            reading.explained.add(place)
            reading.named.add(place)
    months = [column for column in chosen for place in reading.named if is_month(column, place, asked)]
    if len(months) > 1 and _UNTIL & set(asked.words):
        reading.absent_time = True  # the months between them are not said
    if asks_thing(reading, asked) and (things := _things(reading)):
        chosen = list(things)
        reading.explained |= {place for place, word in enumerate(asked.words) if word in DOERS_OF}
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
        if term in _LINKS:
            continue  # "in" asks for no "In Stock"
        at = {place for place, word in seen if _means(term, word)}
        if term in NEUTRAL and not term.isdigit():
            joined = {place for place in at if _is_joined(place, asked)}
            places |= joined if column.is_measure else set()
            score += 0.1 * bool(at)
            continue
        together = compound(term, asked)
        at = together if together and together <= open_places else at
        at = at or {place for place in initials(term, asked) if place in open_places}
        at = at or {place for place in open_places if term in MONTHS and is_month(column, place, asked)}
        if not at and number == 0 and len(term) == 1 and term.isalpha() and len(column.terms) > 1:
            # The last letter of a name is a unit: "body_mass_g".
            at = initial_beside(term, column.terms[1], asked, about) & open_places
        at = at or (beside(term, places, asked) & open_places)
        if number and len(term) == 1:
            # "Cold Room C" says nothing of degrees in "temp_c".
            at = {place for place in at if not asked.named[place] or place - 1 in places}
        if at:
            places |= at
            said = [place for place in at & asked.content if asked.words[place] not in SUBJECTS]
            own += sum(asked.terms[place] not in about for place in said) * (term not in about)
            score += 1.0
        elif term not in AGGREGATES and term not in about and not (number and term in WRITTEN_UNITS):
            score -= 0.3
    # Of words with one stem ("occupied", "occupancy") the one that is written.
    score += 0.05 * len({asked.words[place] for place in places} & {*words(column.name)})
    score += 1.0 if in_full(words(column.name), asked) else -0.3 * column.repeats
    if asked.wants and places:
        score += 0.5 if (asked.wants == "rate") == column.is_rate else -0.5
    return own, places, round(score, 3)


def _figure_of_rows(reading: Reading, asked: Asked, chosen: Sequence[Column]) -> Column | None:
    """The amount, for "the amount of the last order": orders are what the rows are, though a number is called so."""
    rows = reading.table.document.profile or {}
    keys = [each for each in chosen if each.is_code and each.distinct_count == rows.get("rows")]
    if not keys or len(keys) < len(chosen) or not reading.named or asked.words[0] not in ("what", "berapakah", "how"):
        return None
    if not {asked.terms[place] for place in reading.named} <= reading.table.kinds:
        return None
    free = [each for each in reading.table.columns if each.is_measure and each.name not in reading.conditions]
    plain = [each for each in free if (own := {*each.terms} - WRITTEN_UNITS) <= NEUTRAL and own & {*asked.terms}]
    return plain[0] if len(plain) == 1 else None


def _counted(reading: Reading, asked: Asked) -> Column | None:
    """The column of figures that is what "how many" asks for and no more: "units", which elsewhere only measure."""
    many = ("many", HOW_MANY) if asked.wants == "count" else ()
    places = [place for place, word in enumerate(asked.words) if word in (*many, "most", "fewest")]
    said = {asked.terms[place + 1] for place in places if place + 1 < len(asked.terms)} & NEUTRAL
    free = [each for each in reading.table.columns if each.is_measure and each.name not in reading.conditions]
    return next((column for column in free if said and {*column.terms} == said), None)


def _is_joined(place: int, asked: Asked) -> bool:
    """True next to "and": "level" in "level and capacity" names a column, which by itself it need not."""
    return any(word in _ANDS for word in (*asked.words[max(0, place - 1) : place], *asked.words[place + 1 : place + 2]))


def _says_no_time(column: Column, asked: Asked) -> bool:
    """True for a date of something ("Order Date", "borrowed_on") where no time is asked for, but the something."""
    named = set(words(column.name))
    dated = column.is_time and bool(named & _TIMES) and bool(named - _TIMES)
    return dated and not (_TIMES - {"on", "at"} | _WHEN) & set(asked.words)


def _is_nobody(column: Column, asked: Asked) -> bool:
    """True where "who" asks for a person and the column holds none: "who ordered it" is not the order's number."""
    return asked.asks == "who" and not asked.operations and not (holds_persons(column) or does_it(column, asked))


def measures_named(reading: Reading, asked: Asked) -> list[Column]:
    """The columns of figures that the question names, or the only one that it can mean; for calculations."""
    return fitting_measures(reading, asked, set()) or list(_of_degree(reading, asked) or defaults(reading, asked))


def fitting_measures(reading: Reading, asked: Asked, without: set[int]) -> list[Column]:
    """The columns of figures that the question names best, by words at other places than these."""
    held = {place for span in reading.spans.values() for place in span} | without
    free = [(place, term) for place, term in enumerate(asked.terms) if place not in held]
    scored = [
        (fit[0], fit[2], len(fit[1]), column)
        for column in reading.table.columns
        if column.is_measure and column.name not in reading.conditions
        for fit in [_fit(column, free, reading.table.terms, asked)]
        if fit[1]
    ]
    top = max((each[:3] for each in scored), default=None)
    return [each[3] for each in scored if each[:3] == top]


def _means(term: str, word: str) -> bool:
    """True where a column's term and a question's are one, or one abbreviates the other."""
    if term == word:
        return True
    short, long = sorted((term, word), key=len)
    return len(short) >= 4 and long.startswith(short) and (len(long) - len(short) <= 3 or short == term)


def _naming(reading: Reading, asked: Asked) -> tuple[Column, ...]:
    """For "which courses" of a table of courses, the column of their names."""
    place = next((at + 1 for at, word in enumerate(asked.words[:2]) if word == "which"), 0)
    if not place or place >= len(asked.terms):
        return ()
    if any(place in span for name, span in reading.spans.items() if name not in reading.time):
        things = _things(reading)  # "which power tool": one of the things of that kind
        return things if things and len(_all_things(reading)) == 1 else ()
    if asked.terms[place] not in reading.table.terms | reading.table.kinds:
        return ()
    rows = (reading.table.document.profile or {}).get("rows")
    free = [each for each in reading.table.columns if each.type == "text" and each.name not in reading.conditions]
    called = [each for each in free if {"title", "name"} & {*words(each.name)}]
    names = [each for each in called if "name" in words(each.name)]
    own = [each for each in free if not (each.is_code or each.is_clock or each.figures)]
    each_own = [each for each in own if each.distinct_count == rows]
    first = [each for each in reading.table.columns[:1] if reading.table.kinds and each in free]
    return next((tuple(group) for group in (called, names, each_own, first) if len(group) == 1), ())


#: What columns of things are called that somebody buys, borrows, makes or wins.
_THINGS = frozenset(
    "item product title book goods service description model produk barang artikel song film name".split()
)


def asks_thing(reading: Reading, asked: Asked) -> bool:
    """True for "what does Rempah Co supply?", where a column of suppliers has the name: a thing is asked for."""
    if asked.words[0] != "what" or not {"do", "does", "did", "has", "have"} & {*asked.words[1:2]}:
        return False
    doers = [each for each in reading.table.columns if each.name in reading.conditions and each.type == "text"]
    deeds = [word for word in asked.words[2:] if word in DOERS_OF]
    return any(names_doer(word, {*each.terms, *words(each.name)}) for word in deeds for each in doers)


def _all_things(reading: Reading) -> list[Column]:
    free = [each for each in reading.table.columns if each.type == "text" and each.name not in reading.conditions]
    plain = [each for each in free if not (each.figures or each.is_code or holds_persons(each))]
    return [each for each in plain if _THINGS & {*each.terms, *words(each.name)}]


def _things(reading: Reading) -> tuple[Column, ...]:
    return tuple(_all_things(reading)[:1])


def defaults(reading: Reading, asked: Asked) -> tuple[Column, ...]:
    """What is meant where only the table is named: what "who", "when" or "how large" asks for, else its total, its
    index, or its only measure."""
    columns = [column for column in reading.table.columns if column.name not in reading.conditions]
    if asked.asks == "who":
        persons = [column for column in columns if holds_persons(column) and not column.is_code]
        doers = [column for column in columns if does_it(column, asked) and not column.is_code]
        return tuple(doers or persons)[:TARGETS]
    if asked.asks == "when":
        return tuple(column for column in columns if column.is_time)[:1]
    if asked.asks == "where":
        return ()
    if not asked.operations and (naming := _naming(reading, asked)):
        return naming
    if asked.degree in DEGREES and not DEGREES[asked.degree] & reading.table.terms:
        since = begun(reading, asked)
        return _of_degree(reading, asked) or ((since,) if since else ())
    measures = [column for column in columns if column.is_measure]
    totals = [column for column in measures if set(column.terms) & AGGREGATES]
    plain = [column for column in measures if set(column.terms) <= NEUTRAL | reading.table.terms]
    for group in (totals, plain, measures):
        if len(group) == 1:
            return (group[0],)
    # Rows can be counted without one.
    return tuple(column for column in columns if not column.is_measure)[: asked.wants == "count"]


def _of_degree(reading: Reading, asked: Asked) -> tuple[Column, ...]:
    """The columns of what "large" or "old" is said: areas, ages."""
    meant = DEGREES.get(asked.degree, frozenset()) - reading.table.terms
    columns = [column for column in reading.table.columns if column.name not in reading.conditions]
    found = tuple(column for column in columns if column.is_measure and meant & set(column.terms))[:TARGETS]
    if found or "price" not in meant or not reading.table.kinds & {*asked.terms}:
        return found
    paid = tuple(column for column in columns if column.is_money)
    return paid if len(paid) == 1 else ()  # of the rows themselves: "the most expensive booking"


def begun(reading: Reading, asked: Asked) -> Column | None:
    """The column of the years in which things were built or founded, where the oldest or youngest of them is asked for
    and no column has their age."""
    if asked.degree not in ("old", "young", "tua", "muda") or any(
        "age" in each.terms for each in reading.table.columns
    ):
        return None
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    dated = [column for column in free if column.type == "year" and BEGUN & {*words(column.name)}]
    return dated[0] if len(dated) == 1 else None


def holds_persons(column: Column) -> bool:
    return column.type == "text" and not column.figures and bool(PERSONS & {*column.terms, *words(column.name)})


def is_month(column: Column, place: int, asked: Asked) -> bool:
    """True where a capitalised word is the month that the column is called: "March" for "Mar"."""
    month = MONTHS.get(asked.words[place]) if asked.named[place] else None
    return month is not None and month in {MONTHS.get(term) for term in column.terms}


def does_it(column: Column, asked: Asked) -> bool:
    """True for a column of those who do what the question says: suppliers, where it asks who supplies something."""
    names = {*column.terms, *words(column.name)}
    return column.type == "text" and not column.figures and any(names_doer(word, names) for word in asked.words)


def names_doer(verb: str, names: set[str]) -> bool:
    """True where one of a column's words is one for who does what the verb says."""
    return bool(DOERS_OF.get(verb, frozenset()) & names)


def holds_years(column: Column) -> bool:
    """True for numbers that can be years, whatever their column is called: "built"."""
    return column.type == "integer" and 1500 <= (column.largest or 0) <= 2100
