"""Rankings of groups, the first and the last of some rows, pieces of a thing: computed, or refused where they are not
meant, or make no sense."""

from __future__ import annotations

import pytest

from tests.unit.tables_in_memory import World

VISITS = """
Visit ID,Visit Date,Patient,Age,Doctor,Department,Fee,Waiting Time (min)
V1,05/01/2024,Amin Yusof,67,Dr. Rahman,General,RM 60.00,12
V2,06/01/2024,Chua Beng,54,Dr. Rahman,General,RM 35.00,
V3,06/01/2024,Divya Menon,8,Dr. Osman,Dental,"RM 1,150.00",30
V4,02/02/2024,Amin Yusof,67,Dr. Osman,Dental,RM 120.00,44
V5,14/02/2024,Divya Menon,8,Dr. Rahman,General,RM 60.00,5
V6,01/03/2024,Amin Yusof,67,Dr. Rahman,General,RM 45.00,9
"""
STOCK = """
Stock Code,Item,Category,Warehouse,Qty On Hand,Unit Cost,Stock Value,Supplier,Last Restocked
K1,Hex Bolt M8,Fasteners,Prai,"12,500",$0.12,"$1,500.00",Kencana,23/05/2025
K2,Hex Bolt M8,Fasteners,Senai,"1,500",$0.12,$180.00,Kencana,01/01/2025
K3,Table Saw,Power Tools,Senai,1,"$1,240.00","$1,240.00",Oakline,11/04/2025
K4,Jigsaw,Power Tools,Prai,3,$119.00,$357.00,Kencana,12/04/2025
K5,Claw Hammer,Hand Tools,Prai,40,$14.50,$580.00,Oakline,13/04/2025
"""
ORDERS = """
Order ID,Order Date,Customer,Region,Product,Units,Sales (RM),Status
O1,03/01/2023,Alpha,North,Cordless Drill,2,518,Delivered
O2,09/02/2023,Beta,South,Cordless Drill,1,259,Cancelled
O3,11/02/2023,Alpha,North,Helmet,4,128,Delivered
O4,04/01/2024,Gamma,South,Hammer Drill,3,1230,Delivered
"""
LINES = """
Invoice No,Date,Customer,Item,Qty,Invoice Total
A1,13/01/2023,Alpha,Lamp,2,90
A1,13/01/2023,Alpha,Desk,1,90
A2,14/01/2023,Beta,Lamp,1,30
A2,14/01/2023,Beta,Bin,1,30
A3,15/01/2023,Alpha,Bin,2,40
A3,15/01/2023,Alpha,Lamp,1,40
"""
BIRTHS = """
State,Year,Sex,Births,Population
Johor,2020,both,100,4000
Johor,2020,male,52,2050
Kedah,2020,both,80,2100
Kedah,2020,male,40,1050
Johor,2021,both,90,4100
Johor,2021,male,47,2100
Kedah,2021,both,120,2150
Kedah,2021,male,61,1080
"""
RAIN = """
Date,Station,Rainfall (mm),Temperature (C)
2023-01-01,Muda,12.0,31
2023-01-02,Muda,0.0,32
2023-02-01,Muda,30.5,30
2023-01-01,Besi,5.0,30
2023-01-02,Besi,7.5,29
2024-01-01,Besi,40.0,28
"""
REVENUE = """
Region,Product,Revenue
East,Lamp,100
East,Desk,900
West,Lamp,300
West,Desk,180
East,Total,1000
West,Total,480
Total,Total,1480
"""
VISITORS = """
Month,Country,Tourists
2023-01,Japan,100
2023-01,Korea,300
2023-02,Japan,250
2023-02,Korea,20
"""
FUEL = """
Ref,Date,Vehicle,Year Built,Driver,Litres,Odometer (km)
F1,04/01/2024,BKR 902,2014,Suresh,68.3,"115,010"
F2,12/01/2024,WYT 6055,2019,Rosli,73.9,"61,563"
F3,19/02/2024,BKR 902,2014,Suresh,31.0,"115,499"
F4,21/02/2024,WYT 6055,2019,Rosli,50.1,"62,524"
"""
MARKS = """
Student,Subject,Marks,Grade
Aina,Math,80,A
Aina,Science,60,B
Ben,Math,70,B
Ben,Science,90,A
"""


@pytest.fixture(scope="module")
def world() -> World:
    return World(
        {
            "clinic_visits.csv": VISITS,
            "warehouse_stock.csv": STOCK,
            "shop_orders.csv": ORDERS,
            "invoices.csv": LINES,
            "births.csv": BIRTHS,
            "rain.csv": RAIN,
            "revenue.csv": REVENUE,
            "arrivals.csv": VISITORS,
            "fuel_log.csv": FUEL,
            "marks.csv": MARKS,
        }
    )


RIGHT = [
    # sums by group
    ("Which doctor has the highest total fees?", "Dr. Osman: 1,270 (sum of Fee over 2 rows): highest of 2"),
    ("Which doctor has the lowest total fees?", "Dr. Rahman: 200 (sum of Fee over 4 rows): lowest of 2"),
    ("Who has the highest total marks?", "Ben: 160 (sum of Marks over 2 rows)"),
    ("Which warehouse has the highest total stock value?", "Prai: 2,437 (sum of Stock Value over 3 rows)"),
    ("Which category has the most stock on hand?", "Fasteners: 14,000 (sum of Qty On Hand over 2 rows)"),
    ("Which region has the highest total sales?", "South: 1489 (sum of Sales (RM) over 2 rows)"),
    ("Which product has the highest total revenue?", "Desk: 1080 (sum of Revenue over 2 rows)"),
    ("Kawasan manakah mempunyai jumlah jualan tertinggi?", "South: 1489"),
    ("What is the region with the most units?", "North: 6 (sum of Units over 2 rows)"),
    ("Which station had the most rainfall?", "Besi: 52.5 (sum of Rainfall (mm) over 3 rows)"),
    ("Which country had the highest total tourists?", "Japan: 350 (sum of Tourists over 2 rows)"),
    # by months and years
    ("Which month had the most tourists?", "January 2023: 400 (sum of Tourists over 2 rows)"),
    ("Which month of 2023 had the most rainfall?", "February 2023: 30.5 (sum of"),
    ("Which year had the most rainfall?", "2023: 55 (sum of Rainfall (mm) over 5 rows)"),
    ("Which month of 2023 had the highest sales?", "January 2023: 518 (sum of Sales (RM) over 1 rows)"),
    # means by group
    ("Which doctor has the highest average fee?", "Dr. Osman: 635 (mean of Fee over 2 rows): highest of 2"),
    ("Which station had the lowest average temperature?", "Besi: 29 (mean of Temperature (C) over 3 rows)"),
    # numbers of rows
    ("Which month had the most visits?", "January 2024: 3 (number of rows)"),
    ("Which doctor had the most visits?", "Dr. Rahman: 4 (number of rows)"),
    ("Which patient visited the clinic most often?", "Amin Yusof: 3 (number of rows)"),
    ("Which customer placed the most orders?", "Alpha: 2 (number of rows)"),
    ("Which customer had the most invoices?", "Alpha: 2 (number of Invoice No)"),
    ("Which region had the most orders?", "North: 2 (number of rows); South: 2"),
    # adjectives
    ("Who is the oldest patient?", "67 (Age, Amin Yusof): highest of 6 rows"),
    ("What is the most expensive visit?", "RM 1,150.00 (Fee, V3"),
    ("What is the cheapest visit?", "RM 35.00 (Fee, V2"),
    ("Which is the newest vehicle?", "WYT 6055 (Vehicle, 12/01/2024, 2019)"),  # not the one that was refuelled last
    ("Which is the oldest vehicle?", "2014 (Year Built, BKR 902): lowest of 4 rows"),
    # the first and the last of some rows
    ("When was the last visit of Divya Menon?", "14/02/2024 (Visit Date"),
    ("When did Divya Menon first visit?", "06/01/2024 (Visit Date"),
    ("Bilakah lawatan terakhir Divya Menon?", "14/02/2024 (Visit Date"),
    ("What was the fee at the most recent visit of Divya Menon?", "RM 60.00 (Fee"),
    ("Which doctor saw Chua Beng at the last visit?", "Dr. Rahman (Doctor"),
    ("Which item was restocked most recently?", "Hex Bolt M8 (Item"),
    ("Which power tool was restocked first?", "Table Saw (Item"),
    ("How much were the sales of the last order of Alpha?", "128 (Sales (RM)"),
    # pieces
    ("How many hex bolts M8 are on hand?", "14,000 (sum of Qty On Hand over 2 rows)"),
    ("How many jigsaws are there in Prai?", "3 (Qty On Hand"),
    ("How many cordless drills were ordered?", "3 (sum of Units over 2 rows)"),
    ("How many drills were ordered in 2023?", "3 (sum of Units over 2 rows)"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer"), RIGHT, ids=[each[0] for each in RIGHT])
def test_what_comes_out_on_top(world: World, question: str, answer: str) -> None:
    given = world.ask(question)
    assert given.answer is not None, given
    assert given.answer.startswith(answer)


@pytest.mark.parametrize(
    "question",
    [
        "Which doctor has the highest total age?",
        "Which warehouse has the highest total unit cost?",
        "Which vehicle has the highest total odometer?",
        "Which station had the highest total temperature?",
        "Which student has the highest total grade?",  # of letters, and the marks are not asked for
        "Which customer has the highest total invoice total?",  # each line says it again
        "Which state had the highest total population?",  # of several years
        "Which state had the most births?",  # of one year or of all
        "Which month had the most rainfall?",  # January of two years
        "Which day had the most rainfall?",
        "Which doctor saw the most patients?",  # some came twice
        "Which region sold the most?",
        "Which region ordered the most?",  # orders or pieces
        "Which month had the highest sales?",  # January of two years
        "Which month had the highest fee?",  # of one visit, or of all
        "Which doctor has the highest fee?",
        "Which state had the highest average population?",
        "Which supplier has the most prices?",
        "Berapakah jumlah pesanan terakhir Alpha?",  # its number is no total
        "Which warehouse has the most stock?",  # pieces or money
        "Which nurse had the most visits?",
        "Which doctor had the fewest visits in March 2024?",  # of one there is no row
        "Which doctor had the most visits in 2022?",
        "When was the last visit of Amin Osman?",
        "What was the last prescription of Amin Yusof?",
        "Which doctor had the highest total fees last month?",
        "How many drills were sold?",  # one order is cancelled
        "How many drills are in stock?",
        "How many jigsaws were sold?",
        "How many claw hammers are there in Senai?",
    ],
)
def test_what_has_two_readings_or_none_is_not_answered(world: World, question: str) -> None:
    given = world.ask(question)
    assert given.answer is None, given.answer


def test_all_rows_of_the_first_group_are_cited_and_the_rest_is_told_of() -> None:
    rows = [f"R{n},{'North' if n % 3 else 'South'},{n}" for n in range(1, 91)]
    given = World({"orders.csv": "\n".join(["Order ID,Region,Units", *rows])}).ask("Which region had the most units?")
    assert (given.answer or "").startswith("North: 2700 (sum of Units over 60 rows): highest of 2")
    assert len(given.citations) == 50
    assert all("Region: North" in citation.snippet for citation in given.citations)
    assert given.warnings == ("90 rows were counted, of which the first 50 are cited",)


def test_rows_without_a_group_or_a_figure_are_left_out_and_told_of() -> None:
    table = "Order ID,Region,Units\nO1,North,5\nO2,North,\nO3,South,3\nO4,N/A,9\nO5,South,1"
    given = World({"orders.csv": table}).ask("Which region had the most units?")
    assert (given.answer or "").startswith("North: 5 (sum of Units over 1 rows): highest of 2")
    assert given.warnings == (
        "1 of 5 rows have no Region",
        "1 of 4 rows have no Units and are left out",
    )


@pytest.mark.parametrize(
    ("name", "table", "question", "answer"),
    [
        ("lots.csv", "Lot,Make,Bids\nL1,Honda,4\nL2,BMW,9", "Which lot received the most bids?", "9 (Bids, L2, BMW)"),
        (
            "bookings.csv",
            "Booking No,Guest,Amount Paid\nB1,Ann,€90.00\nB2,Bob,€1090.00\nB3,Ann,€60.00",
            "What was the most expensive booking?",
            "€1090.00 (Amount Paid, B2, Bob)",
        ),
        (
            "insurance_claims.csv",
            "Claim No,Policyholder,Claim Type,Claim Amount\nC1,Ann,Fire,60\nC2,Cy,Fire,700\nC3,Bob,Fire,100",
            "Who made the highest claim?",
            "700 (Claim Amount, C2, Cy)",
        ),
        (
            "insurance_claims.csv",
            "Claim No,Policyholder,Adjuster,Claim Amount\nC1,Ann,Lim,60\nC2,Cy,Devi,700\nC3,Bob,Lim,100",
            "Which adjuster handled the most claims?",
            "Lim: 2 (number of rows)",
        ),
        (
            "insurance_claims.csv",
            "Claim No,Branch,Claim Amount\nC1,Miri,60\nC2,Juru,700\nC3,Miri,100",
            "Cawangan manakah mempunyai bilangan tuntutan tertinggi?",
            "Miri: 2 (number of rows)",
        ),
        (
            "orders.csv",
            "Order ID,Customer,Amount\nO1,Ann,60\nO2,Ann,70\nO3,Bob,100",
            "Which customer has the highest order total?",  # of one order
            "100 (Amount, O3, Bob): highest of 3 rows",
        ),
        (
            "visits.csv",
            "\n".join(["Visit ID,Fee", *(f"V{n},35" for n in range(20)), "V20,90"]),
            "What was the lowest fee?",
            "35 (Fee, in 20 rows): lowest of 21 rows",
        ),
    ],
)
def test_the_highest_of_the_rows(name: str, table: str, question: str, answer: str) -> None:
    assert (World({name: table}).ask(question).answer or "").startswith(answer)


def test_a_street_is_no_first_of_several() -> None:
    table = "Date,Street,Rent\n13/01/2024,First Avenue,500\n13/01/2025,First Avenue,550\n14/01/2024,Oak Road,400"
    given = World({"rents.csv": table}).ask("What was the rent at First Avenue?").answer or ""
    assert "500" in given
    assert "550" in given


def test_a_group_that_is_the_total_of_the_others_is_none() -> None:
    table = "Region,Product,Units\nNorth,A,5\nNorth,B,2\nSouth,A,3\nSouth,B,1\nAnywhere,A,8\nAnywhere,B,3"
    assert World({"units.csv": table}).ask("Which region had the most units?").answer is None


REFUSED = {
    # of what is refused: the table, and a question that the rest of it would answer
    "a figure of another column, on each of its lines": (
        "invoice_lines.csv",
        "Line,Invoice,Date,Region,Charge\n1,A,13/01/2023,North,90\n2,A,13/01/2023,North,90\n3,B,14/01/2023,South,30\n"
        "4,B,14/01/2023,South,30\n5,C,15/01/2023,North,40\n6,C,15/01/2023,North,40",
        "Which region has the highest total charge?",
    ),
    "a mean of a figure of another column": (
        "class_lists.csv",
        "No,Pupil,Course,Height\n1,Ann,Art,150\n2,Ann,Art,150\n3,Bob,Art,160\n4,Bob,Music,160\n5,Cy,Music,170\n6,Cy,Art,170",
        "Which course has the highest average height?",
    ),
    "the fewest, where one may have none": (
        "repairs.csv",
        "Repair ID,Date,Garage\n1,13/01/2024,East\n2,14/01/2024,East\n3,15/01/2024,West\n4,16/02/2024,North",
        "Which garage had the fewest repairs in January 2024?",
    ),
    "the fewest, where a month may have none": (
        "repairs.csv",
        "Repair ID,Date,Garage\n1,13/01/2024,East\n2,14/01/2024,East\n3,15/03/2024,West",
        "Which month had the fewest repairs?",
    ),
    "several units": (
        "harvest.csv",
        "No,Farm,Crop,Unit,Yield\n1,Hill,Rice,t,5\n2,Hill,Eggs,pcs,900\n3,Dale,Rice,t,7\n4,Dale,Milk,l,80",
        "Which farm had the highest total yield?",
    ),
    "a whole in an empty cell": (
        "harvest.csv",
        "Farm,Crop,Yield\nHill,Rice,5\nHill,Oats,4\nHill,,9\nDale,Rice,2\nDale,Oats,8\nDale,,10",
        "Which farm had the highest total yield?",
    ),
    "a count of what only has a price": (
        "product_catalogue.csv",
        "SKU,Item,Supplier,Price (USD)\nK1,Rice,Dewan,14.9\nK2,Oats,Nordic,4.2\nK3,Tea,Dewan,5.75",
        "Which supplier has the most products?",
    ),
    "what there is at a time, on several days": (
        "wards.csv",
        "Date,Hospital,Beds\n13/01/2024,East,50\n14/01/2024,East,50\n13/01/2024,West,70\n14/01/2024,West,71",
        "Which hospital had the highest total beds?",
    ),
    "a number of guests as the age of one": (
        "bookings.csv",
        "Booking No,Name,Guests\nB1,Ann,2\nB2,Bob,3",
        "Which guest is the oldest?",
    ),
    "scores as a number of reviews": (
        "stays.csv",
        "Stay ID,Hotel,Review Score\nS1,Inn,5\nS2,Inn,1\nS3,Lodge,4",
        "Which hotel has the most reviews?",
    ),
    "a score as a number of reviews": (
        "hotels.csv",
        "Hotel,City,Review Score\nInn,Ipoh,4.1\nLodge,Ipoh,4.6",
        "Which hotel has the most reviews?",
    ),
    "a sum of ratings": (
        "stays.csv",
        "Stay ID,Hotel,Review Score\nS1,Inn,5\nS2,Inn,1\nS3,Lodge,4",
        "Which hotel has the highest total review score?",
    ),
    "the latest by one of two dates": (
        "claims.csv",
        "Claim ID,Submitted,Settled,Amount\nC1,13/01/2024,19/03/2024,40\nC2,14/02/2024,28/02/2024,60",
        "What was the amount of the most recent claim?",
    ),
    "the last bus, where one leaves after midnight": (
        "buses.csv",
        "Service,To,Leaves\nB1,Merrow,09:10\nB2,Merrow,23:40\nB3,Merrow,00:15",
        "When does the last bus to Merrow leave?",
    ),
    "pieces of several units": (
        "orders.csv",
        "Order ID,Date,Item,Unit,Quantity\nO1,13/01/2024,Eggs,dozen,4\nO2,14/01/2024,Eggs,pcs,6",
        "How many eggs were ordered?",
    ),
    "the initials of a name": (
        "catalogue.csv",
        "SKU,Item,Supplier,Price\nK1,Pepper,Rempah Co,3\nK2,Rice,Dewan Foods,9\nK3,Cumin,Rempah Co,2",
        "Which customer ordered the cheapest?",
    ),
    "stocks of several days": (
        "stock_counts.csv",
        "Date,Item,Quantity\n13/01/2024,Bolt,50\n14/01/2024,Bolt,40\n13/01/2024,Nut,7",
        "How many bolts are in stock?",
    ),
    "a number of orders, where orders have totals": (
        "purchases.csv",
        "Order ID,Date,Status,Order Total\nO1,13/01/2024,Open,40\nO2,14/01/2024,Closed,60",
        "How many orders are there in all of the open ones?",
    ),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_would_be_added_up_or_counted_by_mistake(refused: str) -> None:
    name, table, question = REFUSED[refused]
    given = World({name: table}).ask(question)
    assert given.answer is None, given.answer
