"""Questions over tables invented here: the exact cell, or no answer. The steps are answered from memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rag_pgvector.answer.periods import Period, date_of, periods_in
from rag_pgvector.answer.vocabulary import canonical
from tests.unit.tables_in_memory import World

PRICES = """
date,overall,food_beverage,housing_utilities,transport,health,education
2014-12-01,110.1,112.5,108.0,111.0,109.4,108.1
2015-01-01,110.9,113.0,108.8,109.2,110.0,108.4
2015-02-01,110.6,113.4,109.0,103.9,110.3,108.9
2015-03-01,111.5,113.6,109.3,119.3,110.9,109.0
2015-04-01,112.0,113.9,109.7,108.7,111.1,109.1
"""
HOUSEHOLDS = """
date,state,income_mean,income_median,gini,poverty
2019-01-01,Johor,8013,6427,0.366,3.9
2019-01-01,Kedah,5522,4325,0.354,8.8
2019-01-01,Negeri Sembilan,6788,5005,0.391,4.3
2019-01-01,W.P. Kuala Lumpur,13257,10549,0.350,0.2
2019-01-01,Pulau Pinang,7774,6169,0.359,1.9
2019-01-01,Sabah,5745,4235,0.397,19.5
2022-01-01,Johor,8517,6879,0.366,4.6
2022-01-01,Kedah,5550,4402,0.359,9.0
2022-01-01,Negeri Sembilan,7203,5226,0.380,4.4
2022-01-01,W.P. Kuala Lumpur,13325,10234,0.377,1.4
2022-01-01,Pulau Pinang,8267,6502,0.371,2.0
2022-01-01,Sabah,6171,4577,0.401,19.7
"""
PEOPLE = """
year,state,sex,population
2020,Johor,both,"4,009,670"
2020,Johor,male,"2,125,012"
2020,Johor,female,"1,884,658"
2021,Johor,both,"4,019,200"
2021,Johor,male,"2,130,100"
2021,Johor,female,"1,889,100"
2020,Kedah,both,"2,131,427"
2020,Kedah,male,"1,086,000"
2020,Kedah,female,"1,045,427"
"""
OUTPUT = """
quarter,gdp,agriculture,manufacturing
2020-Q1,343.8,23.6,78.1
2020-Q2,284.0,25.4,65.3
2020-Q3,336.2,26.5,81.0
"""
ITEMS = """
item_code,item,unit,year,Batu Pahat,Johor Bahru
13101,Fresh Fish Ikan Kembong,1 kg,2020,15.25,17.98
13101,Fresh Fish Ikan Kembong,1 kg,2021,15.86,19.02
13103,Fresh Fish Ikan Cencaru,1 kg,2020,10.15,11.23
20401,Chicken Standard,1 kg,2020,8.05,8.49
"""
SCHOOLS = """
district,code,state,opened,pupils
Kluang,P.01,Johor,1/03/1982,410
Muar,P.02,Johor,15/06/1990,
Kulim,P.03,Kedah,22/01/1975,388
"""
RATES = """
state,indicator,2019,2020,2021
Johor,literacy rate,96.1,96.4,96.6
Kedah,literacy rate,93.0,93.3,93.7
Johor,dropout rate,0.8,0.7,0.6
"""


@pytest.fixture(scope="module")
def world() -> World:
    return World(
        {
            "data/cpi_monthly.csv": PRICES,
            "data/hies_state.csv": HOUSEHOLDS,
            "data/population_states.csv": PEOPLE,
            "data/gdp_quarterly.csv": OUTPUT,
            "data/prices_items.csv": ITEMS,
            "data/schools.csv": SCHOOLS,
            "data/education_rates.csv": RATES,
        }
    )


FOUND = [
    ("What was the CPI for transport in March 2015?", "119.3 (transport, 2015-03-01)", "data/cpi_monthly.csv", 3),
    ("transport CPI 2015-03", "119.3 (", "data/cpi_monthly.csv", 3),
    ("Berapakah indeks harga pengguna bagi pengangkutan pada Mac 2015?", "119.3 (", "data/cpi_monthly.csv", 3),
    ("What is the consumer price index for food and beverages in Feb 2015?", "113.4 (", "data/cpi_monthly.csv", 2),
    ("IHP kesihatan Januari 2015", "110.0 (health", "data/cpi_monthly.csv", 1),
    ("Indeks harga pengguna pendidikan pada bulan April 2015", "109.1 (", "data/cpi_monthly.csv", 4),
    ("What was the overall consumer price index in December 2014?", "110.1 (overall", "data/cpi_monthly.csv", 0),
    ("What was the CPI in December 2014?", "110.1 (overall", "data/cpi_monthly.csv", 0),
    ("What is the latest CPI?", "112.0 (overall, 2015-04-01)", "data/cpi_monthly.csv", 4),
    ("CPI for housing on 1 April 2015", "109.7 (", "data/cpi_monthly.csv", 4),
    ("What was the poverty rate in Kedah in 2022?", "9.0 (poverty, 2022-01-01, Kedah)", "data/hies_state.csv", 7),
    ("What is the average income in Johor in 2019?", "8013 (", "data/hies_state.csv", 0),
    ("Pendapatan penengah di Negeri Sembilan pada tahun 2022", "5226 (", "data/hies_state.csv", 8),
    ("Pendapatan purata isi rumah di N. Sembilan 2019", "6788 (", "data/hies_state.csv", 2),
    ("median income of KL in 2022?", "10234 (", "data/hies_state.csv", 9),
    ("median income of Kuala Lumpur in 2019", "10549 (", "data/hies_state.csv", 3),
    ("gini in Penang, 2022", "0.371 (", "data/hies_state.csv", 10),
    ("Kadar kemiskinan di Sabah tahun 2019?", "19.5 (", "data/hies_state.csv", 5),
    ("What was the population of Johor in 2020?", "4,009,670 (", "data/population_states.csv", 0),
    ("How many women lived in Kedah in 2020? population", "1,045,427 (", "data/population_states.csv", 8),
    ("Penduduk lelaki di Johor pada 2021", "2,130,100 (", "data/population_states.csv", 4),
    ("Jumlah penduduk Kedah 2020", "2,131,427 (", "data/population_states.csv", 6),
    ("What was the GDP in the second quarter of 2020?", "284.0 (gdp, 2020-Q2)", "data/gdp_quarterly.csv", 1),
    ("KDNK pembuatan suku pertama 2020", "78.1 (", "data/gdp_quarterly.csv", 0),
    ("manufacturing GDP Q3 2020", "81.0 (", "data/gdp_quarterly.csv", 2),
    ("What did Ikan Kembong cost in Johor Bahru in 2021?", "19.02 (", "data/prices_items.csv", 1),
    ("Price of chicken in Batu Pahat in 2020", "8.05 (", "data/prices_items.csv", 3),
    ("price of item code 13103 in Batu Pahat in 2020", "10.15 (", "data/prices_items.csv", 2),
    ("Which state is the district of Kluang in?", "Johor (state, Kluang", "data/schools.csv", 0),
    ("How many pupils are there in Kulim?", "388 (", "data/schools.csv", 2),
    ("What was the literacy rate in Kedah in 2020?", "93.3 (2020", "data/education_rates.csv", 1),
    ("dropout rate Johor 2019", "0.8 (", "data/education_rates.csv", 2),
]


@pytest.mark.parametrize(("question", "begins", "source", "row"), FOUND, ids=[each[0] for each in FOUND])
def test_the_cell_asked_for(world: World, question: str, begins: str, source: str, row: int) -> None:
    given = world.ask(question)
    assert given.failure_mode is None, given
    assert given.answer is not None
    assert given.answer.startswith(begins)
    assert [(each.source, each.page_or_row) for each in given.citations] == [(source, row)]
    assert given.mode == "table"
    assert given.confidence >= 0.6


ABSENT = [
    "What was the CPI for transport in March 2016?",
    "What was the CPI for transport in June 2015?",
    "What was the poverty rate in Kedah in 2021?",
    "What was the poverty rate in Atlantis in 2022?",
    "what was the poverty rate in atlantis in 2022?",
    "What is the median income of Singapore in 2019?",
    "Pendapatan penengah di Sarawak pada tahun 2022",
    "What was the population of Johor in 1999?",
    "What was the unemployment rate in Johor in 2022?",
    "What was the GDP in the fourth quarter of 2020?",
    "What was the GDP in January 2020?",
    "What did Ikan Kembong cost in Kuching in 2021?",
    "price of item code 99999 in Batu Pahat in 2020",
    "What was the literacy rate in Kedah in 2023?",
    "How many pupils are there in Muar?",
    "CPI for Indonesia in March 2015",
    "What was the CPI for spacecraft in March 2015?",
]


@pytest.mark.parametrize("question", ABSENT)
def test_what_is_absent_is_never_the_nearest(world: World, question: str) -> None:
    given = world.ask(question)
    assert given.answer is None
    assert given.confidence == 0.0
    assert given.failure_mode in ("insufficient_evidence", "no_results")


def test_an_absent_year_says_so_and_shows_what_there_is(world: World) -> None:
    given = world.ask("What was the poverty rate in Kedah in 2021?")
    assert given.failure_mode == "insufficient_evidence"
    assert [each.page_or_row for each in given.near_misses] == [1, 7]
    assert given.citations == ()


def test_several_rows_are_listed_and_each_is_cited(world: World) -> None:
    given = world.ask("What was the transport CPI in 2015?")
    assert given.answer is not None
    assert given.answer.count(";") == 3
    assert [each.page_or_row for each in given.citations] == [1, 2, 3, 4]
    for citation in given.citations:
        part = given.answer[citation.answer_start : citation.answer_end]
        assert part.split(" ")[0] in citation.snippet
    assert given.confidence < world.ask("transport CPI March 2015").confidence


def test_two_columns_joined_by_and(world: World) -> None:
    given = world.ask("transport and education CPI in March 2015")
    assert given.answer == "119.3 (transport, 2015-03-01); 109.0 (education, 2015-03-01)"


CALCULATED = [
    (
        "Which state had the highest poverty rate in 2022?",
        "19.7 (poverty, 2022-01-01, Sabah): highest of 6 rows",
        11,
        6,
    ),
    ("lowest median income in 2019", "4235 (income_median, 2019-01-01, Sabah): lowest of 6 rows", 5, 6),
    ("Negeri manakah mempunyai pendapatan purata tertinggi pada 2022?", "13325 (income_mean,", 9, 6),
    ("What was the sum of the population over all states in 2020?", "6,141,097 (sum of population over 2 rows)", 0, 2),
    ("What was the average transport CPI in 2015?", "110.275 (mean of transport over 4 rows)", 1, 4),
    ("How many districts are in Johor?", "2 (district, number of 2 rows)", 0, 2),
]


@pytest.mark.parametrize(("question", "begins", "first", "rows"), CALCULATED, ids=[each[0] for each in CALCULATED])
def test_a_calculation_cites_its_rows(world: World, question: str, begins: str, first: int, rows: int) -> None:
    given = world.ask(question)
    assert given.answer is not None, given
    assert given.answer.startswith(begins)
    assert given.citations[0].page_or_row == first
    assert len(given.citations) == rows


@pytest.mark.parametrize(
    "question",
    [
        "By how much did the poverty rate in Kedah change from 2019 to 2022?",
        "Which state has the highest poverty rate?",  # of which year?
        "Which state had the highest population in 2020 of men or women?",
        "What is the sum of the poverty rates in 2022?",
    ],
)
def test_what_is_no_sound_calculation_is_not_made(world: World, question: str) -> None:
    assert world.ask(question).answer is None


def test_the_home_country_needs_no_column(world: World) -> None:
    given = world.ask("What was Malaysia's CPI in December 2014?")
    assert given.answer is not None
    assert given.answer.startswith("110.1 (")


def test_another_country_needs_one(world: World) -> None:
    assert world.ask("What was Indonesia's CPI in December 2014?").failure_mode == "insufficient_evidence"
    alone = World({"data/cpi_monthly.csv": PRICES})
    assert alone.ask("What was Malaysia's CPI in December 2014?").failure_mode == "insufficient_evidence"


def test_a_filter_holds_for_rows(world: World) -> None:
    question = "What was the population of Johor in 2020?"
    assert world.ask(question, filter={"sex": "male"}).answer == "2,125,012 (population, 2020, Johor)"
    assert world.ask(question, filter={"sex": "nobody"}).answer is None


def test_columns_too_large_to_list(world: World) -> None:
    unlisted = World({"data/schools.csv": SCHOOLS, "data/cpi_monthly.csv": PRICES}, distinct=False)
    given = unlisted.ask("How many pupils are there in Kulim?")
    assert given.answer is not None
    assert given.answer.startswith("388 (")
    assert unlisted.ask("How many pupils are there in Batu?").answer is None
    assert unlisted.ask("How many pupils are there in Kulim Baru?").answer is None
    given = unlisted.ask("CPI for transport in March 2015")
    assert given.answer == "119.3 (transport, 2015-03-01)"
    assert unlisted.ask("CPI for transport in March 2016").answer is None


@pytest.mark.parametrize(
    "question",
    [
        "What does ef_search do?",
        "Who founded Johor?",
        "education",
        "Why is the sky blue in 2015?",
        "How do I write COPY?",
    ],
)
def test_other_questions_are_left_to_prose(world: World, question: str) -> None:
    given = world.ask(question)
    assert given.mode == "extractive"
    assert given.failure_mode == "no_results"


@pytest.mark.parametrize(
    ("text", "periods"),
    [
        ("in March 2015", [Period(2015, month=3)]),
        ("Ogos 2019 dan Disember 2020", [Period(2019, month=8), Period(2020, month=12)]),
        ("on 2015-03-09", [Period(2015, month=3, day=9)]),
        ("9 March 2015", [Period(2015, month=3, day=9)]),
        ("March 9, 2015", [Period(2015, month=3, day=9)]),
        ("09/03/2015", [Period(2015, month=3, day=9)]),
        ("Q2 2020", [Period(2020, quarter=2)]),
        ("2020Q2", [Period(2020, quarter=2)]),
        ("the third quarter of 2021", [Period(2021, quarter=3)]),
        ("suku tahun kedua 2021", [Period(2021, quarter=2)]),
        ("between 2010 and 2012", [Period(2010), Period(2011), Period(2012)]),
        ("2010 and 2012", [Period(2010), Period(2012)]),
        ("in 2015, for January", [Period(2015, month=1)]),
        ("it may rise in 2015", [Period(2015)]),
        ("2,015 things and 20150 others", []),
    ],
)
def test_periods(text: str, periods: Sequence[Period]) -> None:
    assert periods_in(text)[0] == list(periods)


def test_dates_of_cells() -> None:
    assert date_of("01/03/1982", "dd/mm/yyyy") == (1982, 3, 1)
    assert date_of("01/03/1982", "mm/dd/yyyy") == (1982, 1, 3)
    assert date_of("2020-Q3", "yyyy-Qq") == (2020, 7, 1)
    assert date_of("Q3 2020", "Qq yyyy") == (2020, 7, 1)
    assert date_of(2020, None) == (2020, 1, 1)
    several = {"2004-07-01": (2004, 7, 1), "12/03/1998": (1998, 3, 12), "15 Jan 2011": (2011, 1, 15)}
    several |= {"Jan 15, 2011": (2011, 1, 15), "Jan 2011": (2011, 1, 1), "Q3 2020": (2020, 7, 1)}
    assert {value: date_of(value, "several, dd/mm/yyyy") for value in several} == several
    assert date_of("12/03/1998", "several, mm/dd/yyyy") == (1998, 12, 3)


def test_a_period_is_not_held_by_a_coarser_row() -> None:
    assert Period(2015, month=1).holds((2015, 1, 1), "month")
    assert not Period(2015, month=1).holds((2015, 1, 1), "quarter")
    assert not Period(2015, quarter=1).holds((2015, 1, 1), "year")


def test_aliases_of_places_are_one() -> None:
    assert canonical("KL") == canonical("W.P. Kuala Lumpur") == canonical("Wilayah Persekutuan Kuala Lumpur")
    assert canonical("N. Sembilan") == canonical("Negeri Sembilan")
