"""Timetables, orders, staff lists: from and to, verbs that name columns, times of day, bounds of periods."""

from __future__ import annotations

import pytest

from tests.unit.tables_in_memory import World

TRAINS = """
Train,Origin,Destination,Departs,Arrives,Platform,Days
EG 1,Weston,Ipley,07:05,09:27,3,Daily
EG 3,Weston,Ipley,14:05,16:28,3,Daily
EG 2,Ipley,Weston,09:27,11:33,1,Mon-Sat
SH 4,Gemford,Ipley,15:40,20:10,2,Daily
SH 5,Ipley,Gemford,05:00,08:45,-,Daily
"""
BUSES = """
Service,From,To,Dep. Time,Arr. Time,Fare
B1,Larkton,Merrow,9:15,10:40,£4.50
B2,Merrow,Larkton,17:10,18:35,£4.50
B3,Merrow,Larkton,8:00,9:25,£5.50
"""
FLIGHTS = """
Flight,Airline,Destination,Scheduled,Gate,Status
QR 853,Qatar Airways,Doha,20:45,C14,On time
AK 611,AirAsia,Georgeville,06:40,K12,Departed
TG 416,Thai Airways,Bangkok,12:05,C2,Cancelled
"""
ORDERS = """
Order No,Order Date,Customer,Product,Unit Price,Amount
S1,03/01/2024,Bright Mart,Drill,259.00,"RM 1,259.00"
S2,14/02/2024,Bright Mart (JB),Bulb,8.90,RM 89.00
S3,15/03/2024,Bright Mart,Bulb,8.90,RM 17.80
S4,20/03/2024,Sunrise,Drill,259.00,RM 518.00
S5,28/03/2024,Sunrise,Drill,259.00,RM 259.00
"""
STAFF = """
Emp ID,Name,Dept,Job Title,Monthly Salary (RM),Date Joined
E1,Nurul Huda,Finance,Accountant,"5,600",12-Mar-2015
E2,Ravi Kumar,Engineering,Engineer,"5,300",15-Jan-2020
E3,Ahmad Faizal,Operations,Driver,"2,850",11-Nov-2018
E4,Ahmad Faizal,Sales,Sales Manager,"8,900",02-Jan-2021
"""
SENSORS = """
timestamp,sensor,temp_c
2024-06-01 05:00,Cold Room A,2.18
2024-06-01 05:00,Cold Room B,4.38
2024-06-01 07:00,Cold Room A,3.38
"""
STATES = """
Negeri,Tahun,Penunjuk,Nilai,Unit
Johor,2021,Penduduk ('000),"4,100.5",'000
Johor,2021,Kadar pengangguran (%),2.8,%
Johor,2021,Pendapatan isi rumah penengah (RM),"7,085",RM
Johor,2021,Kelahiran hidup,n.a.,orang
Sabah,2021,Kadar pengangguran (%),8.0,%
Sabah,2021,Kelahiran hidup,"44,744",orang
"""
GOODS = """
SKU,Item,Category,Pack Size,Price (USD),Supplier,In Stock
G1,Basmati Rice,Grains,5 kg,$14.90,Dewan Foods,Yes
G2,Basmati Rice,Grains,10 kg,$27.50,Dewan Foods,No
T1,Tuna,Canned,185 g,$1.80,Sea Harvest,Yes
T2,Chick Peas,Canned,400 g,$1.25,Terra Verde,Yes
T3,Coconut Milk,Canned,400 ml,TBC,Terra Verde,No
"""
RESULTS = """
Date,Home Team,Away Team,Home Goals,Away Goals,Attendance,Venue
02 Sep 2023,Seaham,Norwell,4,3,"3,479",Harbour Ground
02 Sep 2023,Ashby,Seaham,4,3,"6,676",Ashby Road
07 Oct 2023,Norwell,Ashby,0,2,"9,782",North Stand
14 Oct 2023,Norwell,Seaham,0,0,n/a,North Stand
"""


@pytest.fixture(scope="module")
def world() -> World:
    return World(
        {
            "data/train_timetable.csv": TRAINS,
            "data/bus_times.csv": BUSES,
            "data/departures_board.csv": FLIGHTS,
            "data/sales_orders.csv": ORDERS,
            "data/staff_list.csv": STAFF,
            "data/sensor_log.csv": SENSORS,
            "data/perangkaan_negeri.csv": STATES,
            "data/catalogue.csv": GOODS,
            "data/league_results.csv": RESULTS,
        }
    )


RIGHT = [
    # from and to
    ("Which train goes to Gemford?", "SH 5 (Train"),
    ("When does the train from Gemford to Ipley depart?", "15:40 (Departs"),
    ("How many trains go to Ipley?", "3 (number of rows)"),
    ("Where does EG 2 leave from?", "Ipley (Origin"),
    ("Where does train SH 4 go?", "Ipley (Destination"),
    # verbs
    ("Which platform does EG 2 depart from?", "1 (Platform"),
    ("On which days does EG 2 run?", "Mon-Sat (Days"),
    ("When does the flight to Doha leave?", "20:45 (Scheduled"),
    ("What time is QR 853 scheduled to depart?", "20:45 (Scheduled"),
    ("When does the flight to Georgeville depart?", "06:40 (Scheduled"),  # no "Departed"
    ("Pukul berapakah penerbangan ke Bangkok bertolak?", "12:05 (Scheduled"),
    ("How much does Ravi Kumar earn?", "5,300 (Monthly"),
    ("Who earns the most?", "8,900 (Monthly Salary (RM), E4, Ahmad Faizal"),
    ("What does Ahmad Faizal in Sales do?", "Sales Manager (Job Title"),
    ("What does Sea Harvest supply?", "Tuna (Item"),
    ("How many orders did Sunrise place?", "2 (number of rows)"),
    ("Which bus goes from Larkton to Merrow?", "B1 (Service"),  # what is asked for is no fare
    ("What time does B2 leave Merrow?", "17:10 (Dep. Time"),
    ("Which bus leaves Merrow after 12:00?", "B2 (Service"),
    ("How many services go to Larkton?", "2 (number of rows)"),
    ("How much does B3 cost?", "£5.50 (Fare"),
    ("How many orders did Bright Mart submit?", "2 (number of rows)"),
    # times of day
    ("When does the 9:15 to Merrow arrive?", "10:40 (Arr. Time"),
    ("When does the 14:05 to Ipley arrive?", "16:28 (Arrives"),
    ("When does the 2:05 pm train to Ipley arrive?", "16:28 (Arrives"),
    ("When does the 09:27 to Weston arrive?", "11:33 (Arrives"),  # that of leaving, though another arrives then
    ("Which train arrives at 09:27?", "EG 1 (Train"),
    ("Which train to Ipley leaves after 15:00?", "SH 4 (Train"),
    ("When does the last train to Ipley leave?", "15:40 (Departs"),
    ("When does the last train to Ipley arrive?", "20:10 (Arrives"),
    ("What time is the first bus to Larkton?", "8:00 (Dep. Time"),
    # periods
    ("How many employees joined after 2018?", "2 (number of rows)"),
    ("Who joined before 2018?", "Nurul Huda (Name"),
    ("Which employees joined since 2021?", "Ahmad Faizal (Name"),
    ("How many orders were there before March 2024?", "2 (number of rows)"),
    ("How many orders were placed between 14/02/2024 and 20/03/2024?", "3 (number of rows)"),
    ("What was the total amount in March?", "794.8 (sum of Amount over 3 rows)"),
    ("What was the amount on 3 January?", "RM 1,259.00 (Amount"),
    ("What was the amount of the last order of Bright Mart?", "RM 17.80 (Amount"),
    # units, and no value, in long tables
    ("Berapakah penduduk Johor pada 2021?", "4,100.5 (Nilai, Johor, 2021, Penduduk ('000))"),
    ("Berapakah kadar pengangguran di Sabah pada tahun 2021?", "8.0 (Nilai"),
    ("What was the median household income in Johor in 2021?", "7,085 (Nilai"),
    # kinds of rows
    ("Which product has the highest unit price?", "259.00 (Unit Price"),
    ("What is the cheapest canned item?", "$1.25 (Price (USD), T2"),
    ("Which item is the most expensive?", "$27.50 (Price (USD), G2"),
    ("How many items are out of stock?", "2 (Item"),
    ("Which match had the highest attendance?", "9,782 (Attendance, 07 Oct 2023, Norwell, Ashby"),
    ("How many matches were played in October?", "2 (number of rows)"),
    ("What was the total attendance in September?", "10,155 (sum of Attendance over 2 rows)"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer"), RIGHT, ids=[each[0] for each in RIGHT])
def test_a_traveller_s_question_is_answered(world: World, question: str, answer: str) -> None:
    given = world.ask(question)
    assert given.answer is not None, given
    assert given.answer.startswith(answer)


@pytest.mark.parametrize(
    "question",
    [
        "Which flight comes from Doha?",  # it goes there
        "Which train comes from Harwood?",
        "When does QR 853 arrive in Doha?",  # only when it leaves is known
        "Which city does EG 1 leave from?",  # its destination is one, but not that
        "Which destination does EG 2 leave from?",
        "When does the last train to Harwood leave?",
        "Which train leaves before EG 3?",
        "When does the 08:05 to Ipley arrive?",
        "What was the temperature in Cold Room C at 05:00 on 1 June 2024?",
        "What was the temperature in cold room c at 05:00 on 1 June 2024?",
        "What is the price of coconut milk?",
        "Berapakah kelahiran hidup di Johor pada 2021?",
        "How many orders were there in May?",
        "What was the total number of orders in the year after 2023?",
        "What does Ravi Kumar earn in a year?",  # his salary is monthly
        "How many employees does Ravi Kumar have?",  # no number of ringgit
        "How many trains go?",
    ],
)
def test_what_a_timetable_does_not_say_is_not_told(world: World, question: str) -> None:
    given = world.ask(question)
    assert given.answer is None, given.answer


def test_a_name_in_brackets_is_no_unit(world: World) -> None:
    assert (world.ask("How many orders did Bright Mart place?").answer or "").startswith("2 ")
    assert (world.ask("What was the amount of Bright Mart (JB)?").answer or "").startswith("RM 89.00")


def test_what_somebody_does_needs_a_column_of_occupations() -> None:
    world = World({"staff.csv": "Name,Dept,Salary (RM)\nAli,Sales,100\nBen,Finance,200"})
    assert world.ask("What does Ali in Sales do?").answer is None
    assert world.ask("How many people does Ali lead?").answer is None
