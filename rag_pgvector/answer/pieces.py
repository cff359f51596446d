"""How many of a thing there are, or were sold, where a column of quantities says so: "how many drills were sold".

The thing is a value ("drill"), the verb says of what kind the rows must be ("sold" of sales or orders, "in stock" of
stocks), and one column has a quantity. Of orders that may have been cancelled, none is known to have been sold.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag_pgvector.answer.adding import has_empty_wholes, has_units, repeats, told_by
from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.lexical import fold
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.targets import holds_persons
from rag_pgvector.answer.tongues import HOW_MANY
from rag_pgvector.answer.vocabulary import words
from rag_pgvector.types import Chunk

__all__ = ["are_pieces", "match_pieces"]

#: By what is done, the verbs, and what the table or its columns must tell of: beginnings of terms.
_DONE: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    deed: (frozenset(verbs.split()), tuple(about.split()))
    for deed, verbs, about in (
        ("sold", "sold sell sells selling jual dijual terjual menjual", "sale sold sell order invoice receipt"),
        ("ordered", "ordered order orders dipesan memesan ditempah", "order purchas"),
        ("bought", "bought buy buys purchased dibeli membeli beli", "sale order purchas invoice receipt"),
        ("shipped", "shipped dispatched dihantar", "ship dispatch deliver"),
        ("delivered", "delivered dihantar", "deliver ship"),
        ("received", "received diterima", "receiv receipt deliver"),
        (
            "held",
            "stock hand left available inventory have is are stok simpanan ada terdapat",
            "stock inventor warehous hand available",
        ),
    )
}
#: What is said of everything that is done, and says nothing by itself.
_IS = frozenset("is are have ada terdapat".split())
_QUANTITIES = frozenset("quantity unit pieces pcs".split())
_MANY = frozenset(("many", HOW_MANY, "banyak", "bilangan", "ramai"))
#: States of an order that has not come to anything.
_UNDONE = frozenset(
    "cancelled canceled returned refunded pending void voided rejected failed dibatalkan batal dipulangkan".split()
)


def match_pieces(reading: Reading, asked: Asked) -> None:
    """Makes the column of quantities the target, where the number of pieces of a value is asked for."""
    if asked.wants != "count" or asked.asks or reading.turn or any(how != "sum" for how in asked.operations.values()):
        return
    columns = [column for column in reading.table.columns if column.name not in reading.conditions]
    held = [
        column
        for column in columns
        if column.is_measure and not column.is_money and _QUANTITIES & {*column.terms} and "price" not in column.terms
    ]
    if len(held) > 1:
        held = [column for column in held if {*column.terms} - _QUANTITIES and {*column.terms} & {*asked.terms}]
    things = [each for each in reading.table.columns if each.name in reading.conditions and each.type == "text"]
    spans = [reading.spans.get(each.name, set()) for each in things if not (each.is_time or holds_persons(each))]
    many = next((place for place, word in enumerate(asked.words) if word in _MANY), None)
    if len(held) != 1 or many is None or not any(_follows(span, many, reading) for span in spans):
        return
    deeds = _deeds(reading, asked)
    named = {place for place in reading.named if asked.terms[place] not in held[0].terms}
    if len(deeds) != 1 or _may_be_undone(reading, next(iter(deeds))) or named - _places(deeds):
        return
    reading.targets, reading.by_name, reading.adds = (held[0],), True, next(iter(deeds))
    reading.explained |= _places(deeds) | named
    reading.explained |= {place for place, term in enumerate(asked.terms) if term in held[0].terms}


Deeds = dict[str, set[int]]


def _deeds(reading: Reading, asked: Asked) -> Deeds:
    """What the question says is done, of what the table tells of, and where it says so."""
    free = {place for place in range(len(asked.words)) if not any(place in span for span in reading.spans.values())}
    said: Deeds = {deed: {place for place in free if asked.words[place] in verbs} for deed, (verbs, _) in _DONE.items()}
    more = {deed: places for deed, places in said.items() if any(asked.words[place] not in _IS for place in places)}
    said = more or {deed: places for deed, places in said.items() if places}
    table = reading.table
    terms = {*table.terms, *table.topics, *table.kinds}.union(*(column.terms for column in table.columns))
    named = terms.union(*(words(column.name) for column in table.columns))
    told = {deed for deed in said if any(term.startswith(_DONE[deed][1]) for term in named)}
    if told != {*said} or ("sold" in said and any(term.startswith("purchas") for term in table.terms)):
        return {}
    return said


def _places(deeds: Deeds) -> set[int]:
    return set[int]().union(*deeds.values())


def _follows(span: set[int], many: int, reading: Reading) -> bool:
    """True for a value that stands right behind "how many"."""
    return bool(span) and many < min(span) and {*range(many + 1, min(span))} <= reading.explained


def _may_be_undone(reading: Reading, deed: str) -> bool:
    open_ = [column for column in reading.table.columns if column.name not in reading.conditions]
    values = {fold(str(value)).strip() for column in open_ if column.type == "text" for value in column.distinct or ()}
    return deed not in ("ordered", "held") and bool(values & _UNDONE)


def are_pieces(rows: Sequence[Chunk], reading: Reading, quantity: Column) -> bool:
    """True where every row has pieces of its own: of another day or order, or, of what is held, of another thing or
    place."""
    columns = [each for each in reading.table.columns if each.name not in reading.conditions or each.is_time]
    texts = [each for each in columns if each.type == "text" and not each.figures]
    if has_units(rows, texts) or has_empty_wholes(rows, texts, columns):
        return False
    if len(told_by(rows, reading.table.columns)) < len(rows):
        return False
    if reading.adds == "held":
        named = [each for each in reading.table.columns if each.type == "text" and not (each.figures or each.is_code)]
        return len(told_by(rows, named)) == len(rows)
    return reading.adds == "scored" or not any(
        repeats(rows, quantity, each) for each in columns if each is not quantity
    )
