"""How people ask of tables: who did it, what of two is ahead, what is not yet done; in English, German and Spanish."""

from __future__ import annotations

import pytest

from rag_pgvector.answer.asked import read_asked
from rag_pgvector.answer.periods import Period, periods_in
from rag_pgvector.answer.tongues import in_english
from tests.unit.tables_in_memory import World

PARCELS = """
Parcel No,Order Date,Client,Goods,Carrier,Weight (kg),Insured
PX-71,2022-03-04,Ada Brown,Kettle,Swift Vans,2.4,yes
PX-72,2022-03-09,Ben Adeyemi,Bookcase,Blue Freight,31.0,no
PX-73,2022-04-01,Ada Brown,Mirror,Blue Freight,8.5,no
PX-74,2022-04-02,Cleo Marsh,Toaster,Swift Vans,1.9,yes
"""
NOVELS = """
title,author,translator,copies
The Glass Orchard,Ines Vidal,Per Lund,3
Night Ferry,Tom Achebe,Ida Krog,5
"""
BUOYS = """
buoy,logged,wave_height_m,fish_landed
North,2023-06-01 06:00,1.2,40
North,2023-06-01 18:00,2.9,10
Reef,2023-06-01 06:00,1.8,25
Reef,2023-06-01 18:00,2.1,30
"""
GRANTS = """
Faculty,Purpose,Recipient,Total (EUR)
IT,Servers,Node Works,"40,100.00"
IT,Licences,Codeline,"9,400.50"
Arts,Stage,Lumen,"12,000.00"
"""
RAIN = """
Village,Month,Rain (mm),Rainy days
Elm,Nov 2021,60.5,9
Elm,Dec 2021,71.0,12
Elm,Jan 2022,80.0,14
Elm,Feb 2022,44.0,7
Oak,Jan 2022,99.0,15
"""
MUSEUM = """
Gallery,2018,2019
East Hall,"84,210","91,455"
West Hall,"120,300","118,750"
"""
CLERKS = """
Name,Post,Works remotely,Floor
Kim Vos,Engineer,true,2
Lea Roth,Engineer,false,3
Max Ode,Engineer,true,2
Nia Pell,Designer,true,1
"""
TICKETS = """
Ticket,Opened On,Reporter,State
TK-1,2024-01-03,Al Wood,Resolved
TK-2,2024-01-04,Bo Lim,Resolved
TK-3,2024-01-09,Al Wood,Waiting
"""
LAMPS = """
Order No,Goods,Qty
A1,Lamp,2
A2,Lamp,5
A3,Chair,1
"""
PRICED = """
Order No,Item,Qty,Unit Price
A1,Chair,2,4.25
A2,Lamp,5,9.50
"""
POWER = """
Block,Jan,Feb,Mar
Block A,1200,1150,1100
Block B,860,845,870
"""
DELAYS = """
Line,Shift,Delay (min)
L1,Day,35
L1,Night,5
L2,Day,0
"""
CUP = """
Team,Played,Pts
Moor United,10,21
Fen City,10,17
"""
KLASSE = """
Schüler,Klasse,Mathematik,Fehltage
Lena Vogt,7a,1.7,2
Emre Kaya,7b,2.3,11
Ole Brand,7b,3.0,4
"""
OBST = """
Obst,Preis (€),Lieferant
Äpfel,2.40,Hof Adler
Birnen,3.10,Gut Lind
"""
TIENDAS = """
Tienda,Ciudad,Empleados,Ventas 2022 (€),Gerente
Tienda Luz,Toledo,18,512300,Rosa Gil
Tienda Sal,Lugo,11,298450,Juan Paz
"""


@pytest.mark.parametrize(
    ("table", "question", "answer"),
    [
        # Who does what.
        (NOVELS, "Who wrote Night Ferry?", "Tom Achebe (author, Night Ferry)"),
        (NOVELS, "Who published Night Ferry?", None),
        (NOVELS, "Who wrote The Glass Garden?", None),
        (PARCELS, "Who ordered the mirror?", "Ada Brown (Client, 2022-04-01, Mirror)"),
        (PARCELS, "Who packed the mirror?", None),
        (PARCELS, "When was parcel PX-74 shipped?", None),
        (PARCELS, "When was the order for the toaster placed?", "2022-04-02 (Order Date, Toaster)"),
        (PARCELS, "Which carrier moved the mirror?", None),
        # Columns of yes and no.
        (PARCELS, "How many parcels are not insured?", "2 (number of rows)"),
        (PARCELS, "How many parcels are insured?", "2 (number of rows)"),
        (PARCELS, "How many parcels are not damaged?", None),
        (CLERKS, "How many engineers work remotely?", "2 (number of rows)"),
        (CLERKS, "How many engineers do not work remotely?", "1 (number of rows)"),
        (CLERKS, "How many engineers work abroad?", None),
        (CLERKS, "How many plumbers work remotely?", None),
        # A word for a state is not the deed, and what was ordered is not counted by orders.
        (TICKETS, "When was ticket TK-2 opened?", "2024-01-04 (Opened On, TK-2)"),
        (TICKETS, "When was ticket TK-2 resolved?", None),
        (TICKETS, "Who resolved ticket TK-2?", None),
        (TICKETS, "Who is the reporter of the resolved ticket TK-2?", "Bo Lim (Reporter, TK-2, 2024-01-04, Resolved)"),
        (TICKETS, "How many tickets are resolved?", "2 (number of rows)"),
        (NOVELS, "Who owns Night Ferry?", None),
        (NOVELS, "When was Night Ferry published?", None),
        (LAMPS, "How many lamps were ordered?", "7 (sum of Qty over 2 rows)"),
        (LAMPS, "How many orders are there for lamps?", "2 (number of rows)"),
        (NOVELS, "Which titles did Ines Vidal write?", "The Glass Orchard (title, Ines Vidal)"),
        # Months as columns, abbreviations, minutes.
        (POWER, "What was the block B in March?", "870 (Mar, Block B)"),
        (POWER, "What was the block B in May?", None),
        (POWER, "Which block was the highest in February?", "1150 (Feb, Block A): highest of 2 rows"),
        (DELAYS, "What was the total delay of line L1?", "40 (sum of Delay (min) over 2 rows)"),
        (DELAYS, "How many points has line L1?", None),
        (CUP, "How many points does Moor United have?", "21 (Pts, Moor United)"),
        (CUP, "How many red cards does Moor United have?", None),
        (PRICED, "What is the unit price of order A2?", "9.50 (Unit Price, A2)"),
        (PRICED, "What is the total price of order A2?", None),
        (PRICED, "Barang manakah yang paling mahal?", "9.50 (Unit Price, A2, Lamp): highest of 2 rows"),
        (PRICED, "Barang manakah yang paling laris?", None),
        # The sum of a part, or of all lines.
        (GRANTS, "What is the total in EUR of the IT faculty?", "49,500.5 (sum of Total (EUR) over 2 rows)"),
        (GRANTS, "What is the sum of Total (EUR) over all faculties?", "61,500.5 (sum of Total (EUR) over 3 rows)"),
        (GRANTS, "What is the total in EUR of the Law faculty?", None),
        # Several readings of each.
        (
            BUOYS,
            "Which buoy recorded the highest wave height?",
            "2.9 (wave_height_m, North, 2023-06-01 18:00): highest of 4 rows",
        ),
        (
            BUOYS,
            "What was the highest wave height recorded on 1 June 2023?",
            "2.9 (wave_height_m, North, 2023-06-01 18:00): highest of 4 rows",
        ),
        # May be asked of the whole day's catch, which is another buoy's.
        (BUOYS, "Which buoy has the highest fish landed?", None),
        # From month to month, over the new year.
        (
            RAIN,
            "What was the total rain in Elm from November 2021 to January 2022?",
            "211.5 (sum of Rain (mm) over 3 rows)",
        ),
        (RAIN, "What was the total rain in Elm from November 2021 to May 2022?", None),
        # Which of two.
        (
            MUSEUM,
            "Which had more visitors in 2019, the East Hall or the West Hall?",
            None,  # nothing says that they are visitors
        ),
        (
            MUSEUM,
            "Which gallery was higher in 2019, East Hall or West Hall?",
            "118,750 (2019, West Hall): highest of 2 rows",
        ),
        (
            MUSEUM,
            "Which gallery was lower in 2018, East Hall or West Hall?",
            "84,210 (2018, East Hall): lowest of 2 rows",
        ),
        (MUSEUM, "Which gallery was higher in 2019, East Hall or North Hall?", None),
        (MUSEUM, "Which gallery had more than the East Hall in 2019?", None),
        (MUSEUM, "Galeri manakah lebih tinggi daripada East Hall pada 2019?", None),
        (MUSEUM, "What was the East Hall between 2017 and 2019?", None),
        (POWER, "What was the block B from January to March?", None),
        # German.
        (KLASSE, "Wie viele Fehltage hat Emre Kaya?", "11 (Fehltage, Emre Kaya)"),
        (KLASSE, "Wer hat die meisten Fehltage?", "11 (Fehltage, Emre Kaya, 7b): highest of 3 rows"),
        (KLASSE, "In welcher Klasse ist Ole Brand?", "7b (Klasse, Ole Brand)"),
        (KLASSE, "Wie viele Fehltage hat Emre Kara?", None),
        (KLASSE, "Welche Note hat Ole Brand in Chemie?", None),
        (OBST, "Was kosten Birnen?", "3.10 (Preis (€), Birnen)"),
        (OBST, "Wie hoch ist der Preis der Äpfel?", "2.40 (Preis (€), Äpfel)"),
        (OBST, "Welches Obst ist am teuersten?", "3.10 (Preis (€), Birnen, Gut Lind): highest of 2 rows"),
        (OBST, "Wer liefert Äpfel?", "Hof Adler (Lieferant, Äpfel)"),
        (OBST, "Wer liefert Kirschen?", None),
        (OBST, "What is the price of Äpfel?", "2.40 (Preis (€), Äpfel)"),
        # Spanish.
        (TIENDAS, "¿Cuántos empleados tiene la Tienda Sal?", "11 (Empleados, Tienda Sal)"),
        (TIENDAS, "¿Quién es el gerente de la tienda de Lugo?", "Juan Paz (Gerente, Lugo)"),
        (
            TIENDAS,
            "¿Qué tienda tiene más empleados?",
            "18 (Empleados, Tienda Luz, Toledo, Rosa Gil): highest of 2 rows",
        ),
        (TIENDAS, "¿Cuáles fueron las ventas de la Tienda Luz en 2022?", "512300 (Ventas 2022 (€), Tienda Luz)"),
        (TIENDAS, "¿Cuáles fueron las ventas de la Tienda Luz en 2021?", None),
        (TIENDAS, "¿Quién es el gerente de la tienda de Soria?", None),
    ],
)
def test_questions_as_people_put_them(table: str, question: str, answer: str | None) -> None:
    assert World({"table.csv": table}).ask(question).answer == answer


def test_a_buyer_is_no_supplier_however_near_the_words_are() -> None:
    world = World({"table.csv": OBST.replace("Lieferant", "Pembekal")}, same=[{"pembeli", "pembekal"}])
    assert world.ask("Siapakah pembekal Birnen?").answer == "Gut Lind (Pembekal, Birnen)"
    assert world.ask("Siapakah pembeli Birnen?").answer is None


def test_what_a_table_is_called_says_what_it_counts() -> None:
    world = World({"visitors_by_gallery.csv": MUSEUM})
    given = world.ask("How many people visited the East Hall in 2019?")
    assert given.answer == "91,455 (2019, East Hall)"
    given = world.ask("Which had more visitors in 2019, the East Hall or the West Hall?")
    assert given.answer == "118,750 (2019, West Hall): highest of 2 rows"
    assert world.ask("How many people cleaned the East Hall in 2019?").answer is None


@pytest.mark.parametrize(
    ("text", "months"),
    [
        ("from November 2021 to January 2022", [(2021, 11), (2021, 12), (2022, 1)]),
        ("Januari hingga Mac 2022", [(2022, 1), (2022, 2), (2022, 3)]),
        ("von Januar bis März 2022", [(2022, 1), (2022, 2), (2022, 3)]),
        ("entre enero y marzo de 2022", [(2022, 1), (2022, 2), (2022, 3)]),
        ("in January and March 2022", [(2022, 1), (2022, 3)]),
        ("from March to January 2022", [(2022, 1), (2022, 3)]),
    ],
)
def test_months_from_one_to_another(text: str, months: list[tuple[int, int]]) -> None:
    found, _ = periods_in(text)
    assert sorted(found, key=lambda each: (each.year, each.month or 0)) == [Period(y, month=m) for y, m in months]


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("im zweiten Quartal 2021", Period(2021, quarter=2)),
        ("en el segundo trimestre de 2021", Period(2021, quarter=2)),
        ("am 15. März 2022", Period(2022, month=3, day=15)),
        ("el 15 de marzo de 2022", Period(2022, month=3, day=15)),
    ],
)
def test_periods_in_german_and_spanish(text: str, period: Period) -> None:
    assert periods_in(text)[0] == [period]


@pytest.mark.parametrize(
    "question",
    ["Was Paris hot in the war?", "Who will die?", "What has an alter ego?", "Berapakah harga la la en el?"],
)
def test_words_of_another_language_are_left_alone(question: str) -> None:
    """ "Was", "war", "die" and "el" are grammar only where the question asks in that language."""
    words = question.lower().strip("?").split()
    assert in_english(words) == words


def test_initials_are_no_function_words() -> None:
    asked = read_asked("What is the budget of the IT department?")
    assert asked.words.index("it") in asked.content
    shouted = read_asked("IS IT HOT")
    assert shouted.words.index("it") not in shouted.content
