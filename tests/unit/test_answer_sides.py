"""Home and away: who was at home, as the words beside a name say it, and what the score of a match is."""

from __future__ import annotations

import pytest

from tests.unit.tables_in_memory import World

SEASON = """
Matchday,Date,Home,Away,Home Goals,Away Goals,Attendance
1,12/08/2023,Penarth,Marlow United,3,0,"10,503"
1,13/08/2023,Brookvale,Eastfield,2,1,"4,480"
2,26/08/2023,Eastfield,Penarth,1,1,"7,749"
2,27/08/2023,Marlow United,Brookvale,0,2,n/a
3,09/09/2023,Penarth,Brookvale,4,2,"14,922"
3,16/09/2023,Brookvale,Marlow United,0,0,"3,210"
"""


@pytest.fixture(scope="module")
def season() -> World:
    return World({"league_2023_24.csv": SEASON})


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("What was the score of Penarth v Brookvale?", ["4 (Home Goals", "2 (Away Goals"]),
        ("What was the result of Brookvale vs Eastfield?", ["2 (Home Goals", "1 (Away Goals"]),
        ("What was the score of Eastfield against Penarth at home?", ["1 (Home Goals", "1 (Away Goals"]),
        ("What was the score when Penarth played at Eastfield?", ["1 (Home Goals"]),
        ("What was the score of Brookvale against Marlow United?", ["0 (Home Goals, 27/08/2023", "2 (Away Goals, 27"]),
        ("How many goals did Penarth score at home to Brookvale?", ["4 (Home Goals"]),
        ("How many goals did Brookvale score at Penarth?", ["2 (Away Goals"]),
        ("How many goals did Penarth score at home?", ["7 (sum of Home Goals over 2 rows)"]),
        ("What was the highest attendance at Brookvale?", ["4,480 (Attendance"]),
        ("When was the last home match of Brookvale?", ["16/09/2023 (Date"]),
        ("Which home team had the highest total attendance?", ["Penarth: 25,425 (sum of Attendance over 2 rows)"]),
        ("Pasukan tuan rumah manakah mempunyai jumlah penonton tertinggi?", ["Penarth: 25,425"]),
    ],
)
def test_the_words_beside_a_team_say_where_it_played(season: World, question: str, told: list[str]) -> None:
    given = season.ask(question).answer or ""
    assert all(each in given for each in told), given


@pytest.mark.parametrize(
    "question",
    [
        "What was the score of Penarth v Harlow?",
        "What was the score of Marlow United v Penarth?",  # it was played the other way round
        "What was the attendance of Brookvale against Marlow United?",  # of two matches, one without a figure
        "What was the attendance of Brookvale?",
        "How many goals did Brookvale score?",
        "How many goals did Brookvale concede at Penarth?",
        "Who won Penarth v Brookvale?",
        "Which team scored the most goals?",
    ],
)
def test_where_it_is_not_said_there_is_no_answer(season: World, question: str) -> None:
    given = season.ask(question)
    assert given.answer is None, given.answer
