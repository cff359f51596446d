"""Home and away: which of two columns of teams a question means, and what "the score" is.

"A v B" and "at A" say who was at home; "A against B" does not, and means every match of the two. One team of which it
is not said stays open: it may be in either column, and there is no answer.
"""

from __future__ import annotations

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Value
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.vocabulary import canonical, words

__all__ = ["match_sides", "scores"]

_VERSUS = frozenset("v vs versus lwn".split())
_AGAINST = frozenset("against lawan menentang".split())
_PLAYED = frozenset("play plays played met meet faced bermain bertemu".split())
_OF = frozenset("of for by".split())
_SCORE = frozenset("score scoreline result keputusan skor".split())
_SCORED = frozenset("score scores scored".split())
_GOALS = frozenset("goal score point run pts gol".split())
_OTHER = {"home": "away", "away": "home"}


def match_sides(reading: Reading, asked: Asked) -> None:
    """Conditions on the columns of the home and the away side, where the question says which, or names both teams."""
    sides = {side: _teams(reading, side) for side in _OTHER}
    home, away = sides["home"], sides["away"]
    if home is None or away is None:
        return
    teams = _named({*(home.distinct or ()), *(away.distinct or ())}, asked)
    if not 1 <= len(teams) <= 2:
        return
    said = {value: _side(places, asked) for value, places in teams.items()}
    if len(teams) == 2:
        one, other = said
        said[one] = said[one] or _OTHER.get(said[other], "")
        said[other] = said[other] or _OTHER.get(said[one], "")
        if said[one] and said[one] == said[other]:
            reading.absent_time = True
            return
    elif not all(said.values()):
        return
    for column in (home, away):
        reading.conditions.pop(column.name, None)
        reading.spans.pop(column.name, None)
    reading.twins = [pair for pair in reading.twins if not {home.name, away.name} & {*pair}]
    for column, side in ((home, "home"), (away, "away")):
        held = [value for value in teams if said[value] in (side, "")]
        if held:
            reading.require(column, tuple(held), set[int]().union(*(teams[value] for value in held)))
    reading.either = len(teams) == 2 and not any(said.values())
    reading.explained |= {
        place
        for place, word in enumerate(asked.words)
        if word in _OTHER or word in _AGAINST | _VERSUS | _PLAYED or asked.terms[place] in ("team", "side", "club")
    }


def scores(reading: Reading, asked: Asked) -> None:
    """Makes the goals of both sides the targets, where the score of a match is asked for and no column is called so;
    the goals of one side, where it is asked how many it scored there."""
    if any(_SCORE & {*words(column.name)} == {*words(column.name)} for column in reading.table.columns):
        return
    goals = {side: _goals(reading, side) for side in _OTHER}
    names = [_teams(reading, side) for side in _OTHER]
    conditions = [column for column in names if column is not None and column.name in reading.conditions]
    if None in goals.values() or not conditions:
        return
    both = tuple(column for column in goals.values() if column is not None)
    asks = [place for place, word in enumerate(asked.words) if word in _SCORE]
    if asked.wants != "count" and asks and asked.asks == "" and len(conditions) == 2:
        reading.targets, reading.by_name = both, True
        reading.explained |= {*asks}
    elif asked.wants == "count" and {*asked.words} & _SCORED and "did" in asked.words:
        after = asked.words.index("did")
        first = min(conditions, key=lambda each: min((p for p in reading.spans[each.name] if p > after), default=999))
        if any(len(reading.conditions[each.name]) > 1 for each in conditions) or "goal" not in asked.terms:
            return
        reading.targets, reading.by_name, reading.adds = (both[names.index(first)],), True, "scored"
        reading.explained |= {place for place, word in enumerate(asked.words) if word in _SCORED | {"did"}}
        reading.explained |= {place for place, term in enumerate(asked.terms) if term == "goal"}


def _teams(reading: Reading, side: str) -> Column | None:
    """The one column of the names of a side's teams."""
    found = [
        column
        for column in reading.table.columns
        if column.type == "text" and column.distinct and side in words(column.name) and not column.figures
    ]
    return found[0] if len(found) == 1 else None


def _goals(reading: Reading, side: str) -> Column | None:
    """The one column of what a side scored: "Home Goals", "home_score"; of "HG" nothing is known."""
    found = [
        column
        for column in reading.table.columns
        if column.is_measure and side in words(column.name) and _GOALS & {*column.terms, *words(column.name)}
    ]
    return found[0] if len(found) == 1 else None


def _named(teams: set[Value], asked: Asked) -> dict[Value, set[int]]:
    """The teams that the question names in full, in its order, and where; the longest name of two."""
    found: dict[int, tuple[Value, set[int]]] = {}
    taken: set[int] = set()
    for team in sorted(teams, key=lambda each: (-len(canonical(str(each))), str(each))):
        phrase = canonical(str(team))
        for start in range(len(asked.words) - len(phrase) + 1):
            places = {*range(start, start + len(phrase))}
            if phrase and asked.words[start : start + len(phrase)] == phrase and not places & taken:
                found[start] = (team, places)
                taken |= places
    return {team: places for _, (team, places) in sorted(found.items())}


def _side(places: set[int], asked: Asked) -> str:
    """What the words beside a team's name say of where it played; "" where they say nothing."""
    before = [word for word in asked.words[: min(places)] if word != "the"][-4:]
    after = [word for word in asked.words[max(places) + 1 :] if word != "the"]
    last = before[-1] if before else ""
    if last in _VERSUS or before[-2:] == ["home", "to"]:
        return "away"
    if {*after[:1]} & _VERSUS or last == "at" or before[-2:] in (["away", "to"], ["away", "at"]):
        return "home"
    if last in _AGAINST:
        # "A's home match against B"
        return next((_OTHER[word] for word in reversed(before) if word in _OTHER), "")
    if last in _OF and (said := next((word for word in reversed(before) if word in _OTHER), "")):
        return said
    # "A at home", "A against B at home", "did A score at home": of A, whatever stands between.
    return next((word for word in after if word in _OTHER), "")
