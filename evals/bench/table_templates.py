"""Questions over ``table_worlds`` from templates, in English, Malay and Indonesian."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping

from rag_pgvector.evals.bench.table_worlds import Question

__all__ = ["templates"]

_MONTHS_EN = "January February March April May June July August September October November December".split()
_MONTHS_MS = "Januari Februari Mac April Mei Jun Julai Ogos September Oktober November Disember".split()


def templates(tables: Mapping[str, str]) -> list[Question]:
    """Questions about random cells, always the same ones, and about what stands beside them and is absent."""
    dice = random.Random(7)
    found: list[Question] = []

    def cells(source: str, count: int) -> list[dict[str, str]]:
        return dice.sample(list(csv.DictReader(io.StringIO(tables[source]))), count)

    source = "transport/vehicle_registrations.csv"
    for row in cells(source, 8):
        year, month = map(int, row["month"].split("-"))
        where = {name: row[name] for name in ("month", "vehicle_type", "fuel")}
        kind, fuel = row["vehicle_type"], row["fuel"]
        found += [
            Question(
                "template",
                f"How many {fuel} {kind} registrations were there in {_MONTHS_EN[month - 1]} {year}?",
                source,
                where,
                "registrations",
            ),
            Question("template", f"{kind} registrations, {fuel}, {year}-{month:02d}", source, where, "registrations"),
            Question(
                "absent_year", f"How many {fuel} {kind} registrations were there in {_MONTHS_EN[month - 1]} 2031?"
            ),
        ]
    source = "climate/weather_monthly.csv"
    for row in cells(source, 6):
        day, month, year = map(int, row["date"].split("/"))
        where = {"station": row["station"], "date": row["date"]}
        when = f"{_MONTHS_EN[month - 1][:3]} {year}"
        found += [
            Question(
                "template",
                f"What was the mean temperature at {row['station']} in {when}?",
                source,
                where,
                "mean_temp_c",
            ),
            Question("template", f"Rainfall in {row['station']}, {when}?", source, where, "rainfall_mm"),
            Question(
                "malay",
                f"Berapakah hujan di {row['station']} pada {_MONTHS_MS[month - 1]} {year}?",
                source,
                where,
                "rainfall_mm",
            ),
            Question("absent_entity", f"What was the rainfall at {row['station'].split()[0]} Quillon in {when}?"),
            Question("absent_entity", f"What was the mean temperature in Reykjavik in {when}?"),
            Question("absent_indicator", f"What was the air pressure at {row['station']} in {when}?"),
        ]
    source = "demografi/perangkaan_vital.csv"
    short = {
        "Negeri Sembilan": "N. Sembilan",
        "W.P. Kuala Lumpur": "KL",
        "Pulau Pinang": "Penang",
        "W.P. Labuan": "Labuan",
    }
    for row in cells(source, 10):
        state, said_year = row["negeri"], row["tahun"]
        where = {"negeri": state, "tahun": said_year}
        said = short.get(state, state)
        found += [
            Question(
                "malay", f"Berapakah bilangan kematian di {said} pada tahun {said_year}?", source, where, "kematian"
            ),
            Question("malay", f"Jumlah kelahiran hidup {state} {said_year}", source, where, "kelahiran_hidup"),
            Question(
                "template", f"How many marriages were there in {said} in {said_year}?", source, where, "perkahwinan"
            ),
            Question(
                "malay", f"Kadar kelahiran kasar bagi {said}, {said_year}?", source, where, "kadar_kelahiran_kasar"
            ),
            Question("absent_year", f"Berapakah bilangan kematian di {said} pada tahun 2009?"),
            Question("absent_indicator", f"Berapakah kadar jenayah di {said} pada tahun {said_year}?"),
        ]
    found += [
        Question("absent_entity", f"How many deaths were there in {place} in 2018?")
        for place in ("Singapore", "Bangkok", "atlantis")
    ]
    source = "trade/external_trade_quarterly.csv"
    ordinal = ["first", "second", "third", "fourth"]
    suku = ["pertama", "kedua", "ketiga", "keempat"]
    for row in cells(source, 6):
        q, year = int(row["quarter"][1]), int(row["quarter"][-4:])
        where = {name: row[name] for name in ("quarter", "flow", "series")}
        adjusted = "seasonally adjusted " if row["series"].endswith("sa") else ""
        if adjusted:
            found += [
                Question(
                    "template",
                    f"What was the {adjusted}value of {row['flow']} in the {ordinal[q - 1]} quarter of {year}?",
                    source,
                    where,
                    "value_rm_million",
                ),
                Question("template", f"{adjusted}{row['flow']} Q{q} {year}", source, where, "value_rm_million"),
            ]
        both = {name: row[name] for name in ("quarter", "flow")}
        malay = {"exports": "eksport", "imports": "import"}[row["flow"]]
        found += [
            Question(
                "tie", f"Berapakah nilai {malay} pada suku {suku[q - 1]} {year}?", source, both, "value_rm_million"
            ),
            Question("absent_year", f"What was the value of {row['flow']} in Q{q} 2013?"),
        ]
    source = "prices/market_prices.csv"
    towns = ["Ampang", "Chenor", "Felda Jaya", "Hulu Bernam", "Ipoh Barat"]
    for row in cells(source, 6):
        town = dice.choice(towns)
        where = {"item": row["item"], "year": row["year"]}
        found += [
            Question(
                "template",
                f"What was the price of {row['item'].lower()} in {town} in {row['year']}?",
                source,
                where,
                town,
            ),
            Question(
                "template",
                f"What did item code {row['item_code']} cost in {town} in {row['year']}?",
                source,
                where,
                town,
            ),
            Question("malay", f"Harga {row['item']} di {town} pada {row['year']}", source, where, town),
            Question("absent_entity", f"What was the price of {row['item'].lower()} in Vladivostok in {row['year']}?"),
            Question("absent_entity", f"What was the price of mangosteen in {town} in {row['year']}?"),
            Question("absent_year", f"What was the price of {row['item'].lower()} in {town} in 2012?"),
        ]
    source = "prices/producer_prices.csv"
    for row in cells(source, 6):
        year, month, _ = map(int, row["date"].split("-"))
        where = {"date": row["date"], "division": row["division"]}
        found += [
            Question(
                "template",
                f"What was the producer price index for {row['division']} in {_MONTHS_EN[month - 1]} {year}?",
                source,
                where,
                "index",
            ),
            Question(
                "absent_indicator",
                f"What was the producer price index for aerospace in {_MONTHS_EN[month - 1]} {year}?",
            ),
            Question(
                "absent_year",
                f"What was the producer price index for {row['division']} in {_MONTHS_EN[month - 1]} 2005?",
            ),
        ]
    source = "pendidikan/angka_partisipasi_sekolah.csv"
    for row in cells(source, 6):
        column = dice.choice(["2018", "2019", "2020", "2021"])
        where = {"provinsi": row["provinsi"], "indikator": row["indikator"]}
        found += [
            Question(
                "malay", f"Berapa {row['indikator']} di {row['provinsi']} pada tahun {column}?", source, where, column
            ),
            Question("absent_year", f"Berapa {row['indikator']} di {row['provinsi']} pada tahun 2024?"),
            Question("absent_entity", f"Berapa {row['indikator']} di Sulawesi Utara pada tahun {column}?"),
        ]
    source = "labour/labour_force_monthly.csv"
    for row in cells(source, 5):
        year, month, _ = map(int, row["date"].split("-"))
        where = {"date": row["date"]}
        found += [
            Question(
                "template",
                f"What was the unemployment rate in {_MONTHS_EN[month - 1]} {year}?",
                source,
                where,
                "u_rate",
            ),
            Question(
                "template",
                f"How many people were employed in {_MONTHS_EN[month - 1]} {year}?",
                source,
                where,
                "lf_employed",
            ),
            Question(
                "malay",
                f"Berapakah kadar penyertaan tenaga buruh pada {_MONTHS_MS[month - 1]} {year}?",
                source,
                where,
                "p_rate",
            ),
            Question("absent_indicator", f"What was the youth unemployment rate in {_MONTHS_EN[month - 1]} {year}?"),
        ]
    source = "health/hospital_districts.csv"
    for row in cells(source, 6):
        where = {"district": row["district"], "year": row["year"]}
        found += [
            Question(
                "template",
                f"How many doctors were there in {row['district']} in {row['year']}?",
                source,
                where,
                "doctors",
            ),
            Question(
                "template",
                f"What was the occupancy rate in {row['district']} district in {row['year']}?",
                source,
                where,
                "occupancy_rate",
            ),
            Question(
                "template",
                f"How many beds were occupied in {row['district']} in {row['year']}?",
                source,
                where,
                "beds_occupied",
            ),
            Question("absent_year", f"How many nurses were there in {row['district']} in 2017?"),
            Question("absent_entity", f"How many nurses were there in Zurich in {row['year']}?"),
        ]
    source = "census/mukim_2020.csv"
    for row in cells(source, 6):
        name = row["mukim"].split(" ", 1)[1]
        where = {"mukim": row["mukim"]}
        found += [
            Question(
                "template", f"What was the total population of {name} in 2020?", source, where, "population_total"
            ),
            Question("template", f"How many people aged 15 to 64 lived in {name} in 2020?", source, where, "age_15_64"),
            Question("malay", f"Berapakah purata saiz isi rumah di mukim {name}?", source, where, "household_size_avg"),
            Question("absent_year", f"What was the total population of {name} in 2000?"),
            Question("absent_entity", f"What was the total population of {name.split()[0]} Mentari in 2020?"),
        ]
    source = "money/exchange_rates.csv"
    for row in cells(source, 4):
        year, month, day = map(int, row["date"].split("-"))
        where = {"date": row["date"]}
        found += [
            Question(
                "template",
                f"What was the exchange rate for USD on {day} {_MONTHS_EN[month - 1]} {year}?",
                source,
                where,
                "usd",
            ),
            Question("template", f"EUR exchange rate {day:02d}/{month:02d}/{year}", source, where, "eur"),
            Question("absent_entity", f"What was the exchange rate for CHF on {day} {_MONTHS_EN[month - 1]} {year}?"),
        ]
    source = "economy/household_survey_2019.csv"
    for row in cells(source, 6):
        where = {"area_type": row["area_type"], "area": row["area"]}
        place = row["area"]
        found += [
            Question(
                "template", f"What was the median household income in {place} in 2019?", source, where, "income_median"
            ),
            Question(
                "malay",
                f"Berapakah purata perbelanjaan isi rumah di {place} pada 2019?",
                source,
                where,
                "expenditure_mean",
            ),
            Question("absent_year", f"What was the median household income in {place} in 2023?"),
            Question("absent_indicator", f"What was the literacy rate in {place} in 2019?"),
            Question("absent_indicator", f"What was the rural poverty rate in {place} in 2019?"),
        ]
    return found
