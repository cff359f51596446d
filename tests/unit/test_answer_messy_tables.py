"""Tables as strangers bring them: microdata, missing values, units and codes in names, empty cells, near namesakes."""

from __future__ import annotations

import pytest

from tests.unit.tables_in_memory import World

COUNTRIES = """
country,continent,year,lifeExp,pop,gdpPercap
"Korea, Rep.",Asia,2007,78.6,49044790,23348.1
"Korea, Dem. Rep.",Asia,2007,67.3,23301725,1593.1
Malaysia,Asia,2007,74.2,24821286,12451.7
Japan,Asia,2007,82.6,127467972,31656.1
Kenya,Africa,2002,50.9,31386842,1287.5
Kenya,Africa,2007,54.1,35610177,1463.2
Niger,Africa,2007,56.9,12894865,619.7
Nigeria,Africa,2007,46.9,135031164,2014.0
"""
CARS = """
model,mpg,hp,am,wt
Fiat 128,32.4,66,1,2.2
Fiat X1-9,27.3,66,1,1.935
Maserati Bora,15.0,335,1,3.57
"""
BIRDS = """
species,island,sex,body_mass_g,flipper_length_mm
Gentoo,Biscoe,male,5700,230
Gentoo,Biscoe,male,5300,222
Gentoo,Biscoe,female,NA,NA
Adelie,Dream,male,3900,190
Adelie,Dream,female,3400,185
Adelie,Dream,female,3300,NA
"""
RAW_BIRDS = """
Individual,Species,Body Mass (g)
N1,Gentoo penguin (Pygoscelis papua),5700
N2,Adelie Penguin (Pygoscelis adeliae),3900
"""
EMPLOYEES = """
Employee ID,Full Name,Dept.,Start Date,Salary (USD),Manager
001,"O'Brien, Siobhan",Engineering,03/14/2019,"$95,000",007
002,"Muller, Jurgen",Sales,11/02/2020,"$61,500",005
003,"Li, Xiaolong",Engineering,07/23/2021,"$88,250",007
005,"Smith, Pat",Sales,05/30/2016,"$105,000",
006,"Smith, Sam",Support,09/09/2022,"$48,900",005
"""
DAMS = """
reservoir,capacity_mcm,level_pct,built
Alder Lake,12.5,87.3,1931
Birch Dam,240,54.0,1968
Cedar Weir,3.1,99.9,1988
Doe Run,77.7,NA,1954
"""
SMOKING = """
Location,smoking_yes_cancer_yes,smoking_yes_cancer_no,smoking_no_cancer_yes,smoking_no_cancer_no
Harbin,402,308,121,215
Beijing,126,100,35,61
"""
STOCKS = """
symbol,date,price
IBM,Jan 1 2005,86.39
IBM,Feb 1 2005,85.78
MSFT,Jan 1 2005,24.11
"""
STATES = """
state,UrbanPop,murders
Alabama,58,13.2
Texas,80,12.7
"""
QUARTERS = """
year,quarter,realgdp,unemp
1983,1,5253.8,10.4
1983,2,5372.3,10.1
1984,1,5590.5,7.9
"""
POWER = """
year,source,net_generation
2017-01-01,Fossil Fuels,29329
2017-01-01,Nuclear Energy,5214
2017-01-01,Renewables,21933
"""
TOTALS = """
state,district,population
,,30
Johor,,20
Johor,Muar,12
Johor,Kluang,8
"""


@pytest.fixture(scope="module")
def world() -> World:
    return World(
        {
            "data/gapminder.csv": COUNTRIES,
            "data/mtcars.csv": CARS,
            "data/penguins.csv": BIRDS,
            "data/penguins-raw.csv": RAW_BIRDS,
            "data/employees.csv": EMPLOYEES,
            "data/reservoirs.csv": DAMS,
            "data/smoking_china.csv": SMOKING,
            "data/stocks.csv": STOCKS,
            "data/states.csv": STATES,
            "data/macro.csv": QUARTERS,
            "data/electricity.csv": POWER,
        }
    )


RIGHT = [
    ("What was the life expectancy in Japan in 2007?", "82.6 (lifeExp, Japan, 2007)"),
    ("What was the GDP per capita of Niger in 2007?", "619.7 (gdpPercap, Niger, 2007)"),
    ("Which country had the highest life expectancy in 2007?", "82.6 (lifeExp, Japan, Asia, 2007): highest of 7 rows"),
    ("pop of Korea in 2007", "49044790 (pop, Korea, Rep., 2007); 23301725 (pop, Korea, Dem. Rep., 2007)"),
    ("highest pop in 2007", "135031164 (pop, Nigeria, Africa, 2007): highest of 7 rows"),  # home is one of many
    ("smoking_no_cancer_no in Beijing", "61 (smoking_no_cancer_no, Beijing)"),
    ("urban population of Alabama", "58 (UrbanPop, Alabama)"),
    ("mpg of the Fiat", "32.4 (mpg, Fiat 128); 27.3 (mpg, Fiat X1-9)"),
    ("mpg of the Fiat 128", "32.4 (mpg, Fiat 128)"),
    ("What is the weight of the Maserati Bora?", "3.57 (wt, Maserati Bora)"),
    ("What is the mean body mass of Gentoo penguins?", "5500 (mean of body_mass_g over 2 rows)"),
    ("What is the maximum flipper length of Adelie penguins?", "190 (flipper_length_mm, Adelie, "),
    ("How many penguins were sampled on Dream island?", "3 (number of rows)"),
    ("Which island has the largest mean body mass?", "Biscoe: 5500 (mean of body_mass_g over 2 rows): highest of 2"),
    ("How many male Gentoo penguins are there?", "2 (number of rows)"),
    ("salary of Smith", "$105,000 (Salary (USD), Smith, Pat, Sales, 05/30/2016); $48,900 ("),
    ("What is the highest salary in Sales?", "$105,000 (Salary (USD), Smith, Pat, Sales, "),
    ("What is the average salary in Engineering?", "91,625 (mean of Salary (USD) over 2 rows)"),
    ("How many people are in Engineering?", "2 (number of rows)"),
    ("Who works in Support?", "Smith, Sam (Full Name, Support, 09/09/2022)"),
    ("When was Birch Dam built?", "1968 (built, Birch Dam)"),
    ("total capacity of the reservoirs", "333.3 (sum of capacity_mcm over 4 rows)"),
    ("average level of the reservoirs", "80.4 (mean of level_pct over 3 rows)"),
    ("How many reservoirs are there?", "4 (reservoir, number of 4 rows)"),
    ("What was the price of IBM stock in February 2005?", "85.78 (price, IBM, Feb 1 2005)"),
    ("average price of IBM in 2005", "86.085 (mean of price over 2 rows)"),
    ("real GDP 1983 Q2", "5372.3 (realgdp, 1983, 2)"),
    ("unemployment in 1983", "10.4 (unemp, 1983, 1); 10.1 (unemp, 1983, 2)"),
    ("total net generation in 2017", "56476 (sum of net_generation over 3 rows)"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer"), RIGHT, ids=[each[0] for each in RIGHT])
def test_a_stranger_s_question_is_answered(world: World, question: str, answer: str) -> None:
    given = world.ask(question)
    assert given.answer is not None, given
    assert given.answer.startswith(answer)


@pytest.mark.parametrize(
    "question",
    [
        "What is Alabama's population?",  # a part of it is another thing
        "How many employees are managers?",
        "What is the average mercury?",  # not the mean of "am"
        "Which committee has the largest capital?",
        "What is the mean body mass of Chinstrap penguins?",
        "How big is Cedar Weir?",  # its level is no size
        "Who earns the most per mpg?",
        "Who has the highest mpg?",  # no person
        "Where is the Birch Dam level?",
        "How many people smoke in Harbin?",  # two of four columns would be chance
        "How many employees started in 2019 and left?",
        "total pop of Kenya",  # what there is at a time is not added up over years
        "What is the level of Doe Run?",
    ],
)
def test_what_the_table_does_not_say_is_not_told(world: World, question: str) -> None:
    given = world.ask(question)
    assert given.answer is None, given.answer


def test_rows_without_a_value_are_told_of(world: World) -> None:
    given = world.ask("average level of the reservoirs")
    assert given.warnings == ("1 of 4 rows have no level_pct and are left out",)
    assert len(given.citations) == 3


def test_an_empty_cell_is_the_whole_of_what_says_the_same_otherwise() -> None:
    world = World({"data/people.csv": TOTALS})
    given = world.ask("population in Johor")
    assert given.answer is not None
    assert given.answer.startswith("20 (population, Johor")


def test_the_number_of_inhabitants_is_no_sum_of_prices() -> None:
    """A district is a column of the prices; "jumlah penduduk" (total inhabitants) of it added up its prices."""
    prices = "item,year,Lumut,Batu\nFish,2020,15.5,16\nCoffee,2020,16.5,17\n"
    assert World({"data/prices_district.csv": prices}).ask("Jumlah penduduk daerah Lumut pada 2020?").answer is None
    people = "district,year,population\nLumut,2020,9100\nBatu,2020,8100\n"
    both = World({"data/prices_district.csv": prices, "data/census.csv": people})
    assert str(both.ask("Jumlah penduduk daerah Lumut pada 2020?").answer).startswith("9100")


# ------------------------------------------------------------------------ what a stranger's tables brought (2026-11)

ORDERS = """
Order ID,Order Date,Customer,Product,Units,Unit Price,Status
SO-1001,2024-01-15,Brightwater Ltd,Desk Lamp,12,$24.50,Shipped
SO-1003,2024-02-02,Brightwater Ltd,Office Chair,2,$189.00,Cancelled
SO-1004,2024-02-11,Nimbus GmbH,Monitor Arm,7,$79.90,Shipped
SO-1005,2024-03-05,Kestrel & Co,Desk Lamp,30,$22.00,Pending
"""
LESSONS = """
Day,Period,Class,Subject,Room
Monday,1,7A,Mathematics,12
Monday,2,7A,Biology,Lab 2
Monday,1,8B,History,Lab 1
"""
MATCHES = """
Date,Home Team,Away Team,Home Goals,Away Goals,Attendance
12/08/2023,Redfield Rovers,Castle United,2,1,"18,204"
19/08/2023,Port Albion,Redfield Rovers,0,0,"9,870"
26/08/2023,Castle United,Port Albion,3,2,"22,015"
"""
WEATHER = """
timestamp,station,temp_c,wind_kmh
2024-06-01 06:00,Harbour,18.4,12.0
2024-06-01 12:00,Harbour,24.9,18.5
"""
RIVERS = """
river,country,length_km,discharge_m3s,source_elevation_m
Vltava,Czechia,430,150,1172
Glomma,Norway,621,720,690
Tagus,Spain,1007,500,1593
"""
BEDS = """
Hospital,Beds,Occupied,Occupancy,Head
St Brigid,420,389,92.6,Ines Tamm
Fairholme,150,149,99.3,Bo Karlsen
"""
UMSATZ = """
Monat,Filiale,Umsatz
Januar 2024,Köln,8210
Februar 2024,Köln,7998
"""
INDICES = "year,transport_index,food_index\n2015,100,101.5\n2016,102.4,103.1"
CLINICS = """
Clinic,Opened,Visits
Kampung Baru,12/03/1998,"41,203"
Sri Aman,2004-07-01,"18,550"
Bukit Hijau,15 Jan 2011,"9,871"
"""
BOTH = "240 (capacity_mcm, Birch Dam): highest of 4 rows; 99.9 (level_pct, Cedar Weir): highest of 3 rows"
SEASONS = """
season,champion
Season 2022,Castle United
Season 2023,Port Albion
"""


@pytest.mark.parametrize(
    ("table", "question", "answer"),
    [
        (CLINICS, "When did Sri Aman open?", "2004-07-01 (Opened, Sri Aman)"),
        (CLINICS, "Which clinic opened in January 2011?", "Bukit Hijau (Clinic, 15 Jan 2011)"),
        (CLINICS, "How many clinics opened after 2000?", "2 (Clinic, number of 2 rows)"),
        (CLINICS, "Which clinic opened in 2005?", None),
        (INDICES, "Which value had the transport index in 2016?", "102.4 (transport_index, 2016)"),
        (CLINICS, "Which clinic opened first?", "Kampung Baru (Clinic, 12/03/1998)"),
        (CLINICS, "Which clinic opened last?", "Bukit Hijau (Clinic, 15 Jan 2011)"),
        (CLINICS, "Which clinic has the earliest opening date?", "Kampung Baru (Clinic, 12/03/1998)"),
        (CLINICS, "Which clinic finished last?", None),
        (ORDERS, "What is the status of order SO-1003?", "Cancelled (Status, SO-1003, 2024-02-02)"),
        (ORDERS, "What was the unit price of order SO-1005?", "$22.00 (Unit Price, SO-1005, 2024-03-05)"),
        (ORDERS, "Which order is pending?", "SO-1005 (Order ID, 2024-03-05, Pending)"),
        (ORDERS, "What is the order date of SO-1004?", "2024-02-11 (Order Date, SO-1004)"),
        (ORDERS, "How many units did Nimbus GmbH order?", "7 (Units, 2024-02-11, Nimbus GmbH)"),
        (ORDERS, "How many orders were cancelled?", "1 (number of rows)"),
        (LESSONS, "What subject does 7A have on Monday in period 2?", "Biology (Subject, Monday, 2, 7A)"),
        (LESSONS, "Which subject is in Lab 1?", "History (Subject, Lab 1)"),
        (MATCHES, "What was the attendance of Castle United?", None),
        (MATCHES, "What were the home goals of Port Albion?", "0 (Home Goals, 19/08/2023, Port Albion)"),
        (MATCHES, "What were the home goals of Redfield Rovers and Port Albion?", None),
        (
            WEATHER,
            "What was the temperature at Harbour on 2024-06-01 at 12:00?",
            "24.9 (temp_c, 2024-06-01 12:00, Harbour)",
        ),
        (WEATHER, "What was the wind at Harbour on 2024-06-01 at 15:00?", None),
        (RIVERS, "Which river is the longest?", "1007 (length_km, Tagus, Spain): highest of 3 rows"),
        (RIVERS, "What is the shortest river?", "430 (length_km, Vltava, Czechia): lowest of 3 rows"),
        (RIVERS, "Which river is the cheapest?", None),
        (RIVERS, "What is the source elevation of the Tagus in metres?", "1593 (source_elevation_m, Tagus)"),
        (RIVERS, "What is the source elevation of the Tagus in feet?", None),
        (
            BEDS,
            "Which hospital has the highest occupancy?",
            "99.3 (Occupancy, Fairholme, Bo Karlsen): highest of 2 rows",
        ),
        (BEDS, "Who is the head of Fairholme?", "Bo Karlsen (Head, Fairholme)"),
        (UMSATZ, "What was the Umsatz of Köln in Februar 2024?", "7998 (Umsatz, Februar 2024, Köln)"),
        (SEASONS, "Who was the champion in Season 2023?", None),
        (SEASONS, "What is the champion of Season 2023?", "Port Albion (champion, Season 2023)"),
        (
            DAMS,
            "Which reservoir has the highest level and capacity?",
            "240 (capacity_mcm, Birch Dam): highest of 4 rows; 99.9 (level_pct, Cedar Weir): highest of 3 rows",
        ),
        (
            DAMS,
            "What are the level and capacity of Birch Dam?",
            "240 (capacity_mcm, Birch Dam); 54.0 (level_pct, Birch Dam)",
        ),
    ],
)
def test_tables_of_a_stranger(table: str, question: str, answer: str | None) -> None:
    assert World({"table.csv": table}).ask(question).answer == answer


SHOP = "item,price,colour\nTea,3.5,green\nCoffee,7.2,black\n"
OTHER_SHOP = "item,price,colour\nTea,2.9,green\nCoffee,8.0,black\nTea,3.0,black\n"


def test_two_tables_with_one_column_are_both_told_of() -> None:
    """Neither is picked: the sources say which is which, or a warning names what could not be counted."""
    two = World({"shop_a.csv": SHOP, "shop_c.csv": SHOP.replace("7.2", "9.1")})
    given = two.ask("What is the highest price?")
    each = "7.2 (price, Coffee, black): highest of 2 rows in shop_a.csv"
    assert given.answer == f"{each}; 9.1 (price, Coffee, black): highest of 2 rows in shop_c.csv"
    assert given.warnings[0] == "several tables hold what was asked for"
    first, last = given.citations[0], given.citations[-1]
    assert (first.answer_start, first.answer_end) == (0, len(each))
    assert (last.source, last.answer_end) == ("shop_c.csv", len(given.answer))

    uneven = World({"shop_a.csv": SHOP, "shop_b.csv": OTHER_SHOP})
    tea = uneven.ask("What is the price of tea?")
    assert (tea.answer, tea.warnings) == ("3.5 (price, Tea)", ("several rows have it in shop_b.csv, too",))
    given = uneven.ask("What is the average price?")
    assert given.answer == "5.35 (mean of price over 2 rows)"
    assert given.warnings == ("not counted, though it has a column of that name: shop_b.csv",)
    assert uneven.ask("What is the average price in shop b?").answer is None
