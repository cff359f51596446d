# ruff: noqa: E501, RUF005  # one question, or one table row, a line
"""Invented tables in the shapes that statistics offices publish, for ``answers_tables``. The figures mean nothing.

Wide and long, English, Malay and Indonesian headers, thousands separators, dates written five ways, indicators in columns, in values
and in column names, codes, abbreviations. All are made from one seed, so that every run asks about the same cells.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["DOCUMENTS", "Question", "tables"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the cells that answer it.

    Attributes:
        kind: "template", "malay", "paraphrase", "tie", "code", "calculation", "absent_year", "absent_entity",
            "absent_indicator" or "document".
        source: File that holds the answer; empty for what is absent.
        where: What the rows hold.
        column: What is asked for; for a calculation, what is calculated over.
        answer: The expected text where it is not the cell itself.
    """

    kind: str
    text: str
    source: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    column: str = ""
    answer: str = ""

    def rows(self, tables: Mapping[str, str]) -> list[tuple[int, str]]:
        """The 0-based rows that answer, with the cell of each."""
        if not self.source:
            return []
        records = csv.DictReader(io.StringIO(tables[self.source]))
        return [
            (place, record[self.column])
            for place, record in enumerate(records)
            if all(record[name] == value for name, value in self.where.items())
        ]


_STATES = ["Johor", "Kedah", "Kelantan", "Melaka", "Negeri Sembilan", "Pahang", "Pulau Pinang", "Perak", "Perlis"]
_STATES += ["Selangor", "Terengganu", "Sabah", "Sarawak", "W.P. Kuala Lumpur", "W.P. Labuan", "W.P. Putrajaya"]
_PROVINCES = ["Aceh", "Bali", "Banten", "Jawa Barat", "Jawa Tengah", "Jawa Timur", "Kalimantan Timur", "Papua"]
_STATIONS = ["Port Mersin", "Lake Harrow", "Cape Onda", "Mount Teral", "Vesper Bay"]
_TOWNS = ["Ampang", "Bagan", "Chenor", "Dengkil", "Endau", "Felda Jaya", "Gemas", "Hulu Bernam", "Ipoh Barat", "Jasin"]
_ITEMS = [
    "Rice, local, medium grade",
    "Chicken eggs grade A",
    "Whole coconut",
    "Red chilli",
    "Beef, imported",
    "Cooking oil",
]
_JOBS = [
    ("2", "21", "2111", "Physicists", "Ahli fizik"),
    ("2", "22", "2221", "Nursing professionals", "Profesional kejururawatan"),
    ("2", "23", "2341", "Primary school teachers", "Guru sekolah rendah"),
    ("5", "51", "5131", "Waiters", "Pelayan"),
    ("7", "75", "7512", "Bakers, pastry-cooks and confectioners", "Pembuat roti dan pastri"),
    ("0", "03", "0310", "Armed forces, other ranks", "Angkatan tentera, pangkat lain"),
    ("8", "83", "8322", "Taxi and van drivers", "Pemandu teksi dan van"),
]

#: Prose beside the tables: questions about it are not the tables'.
DOCUMENTS = {
    "methods.md": """# How the figures are made

The labour force survey visits 80,000 living quarters every quarter. Interviewers use tablets since 2017.

The consumer price index weighs goods by the household budget survey. Weights are revised every five years.

Registrations of vehicles are taken from the road transport department's system on the fifth working day of a month.
""",
    "server.md": """# Server settings

The option `pool_size` sets how many connections a worker opens. The default is 10.

Set `statement_timeout` to end queries that run too long. Backups run at 02:00 every night and are kept for 30 days.
""",
}


def _csv(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue()


def tables() -> dict[str, str]:
    """File name to CSV text."""
    dice = random.Random(20261126)

    def some(low: float, high: float, digits: int = 0) -> float | int:
        value = dice.uniform(low, high)
        return round(value, digits) if digits else round(value)

    def thousands(low: int, high: int) -> str:
        return f"{dice.randint(low, high):,}"

    months = [(year, month) for year in (2021, 2022) for month in range(1, 13)]
    found: dict[str, str] = {}
    found["transport/vehicle_registrations.csv"] = _csv(
        ["month", "vehicle_type", "fuel", "registrations"],
        [
            [f"{y}-{m:02d}", kind, fuel, thousands(300, 90_000)]
            for y, m in months
            for kind in ("car", "motorcycle", "bus", "lorry")
            for fuel in (("petrol", "electric") if kind in ("car", "motorcycle") else ("diesel",))
        ],
    )
    found["climate/weather_monthly.csv"] = _csv(
        ["station", "date", "mean_temp_c", "rainfall_mm", "humidity_pct", "max_wind_kmh"],
        [
            [station, f"01/{m:02d}/{y}", some(18, 33, 1), some(0, 600, 1), some(55, 95), some(20, 120)]
            for station in _STATIONS
            for y, m in months
        ],
    )
    found["demografi/perangkaan_vital.csv"] = _csv(
        ["tahun", "negeri", "kelahiran_hidup", "kematian", "perkahwinan", "perceraian", "kadar_kelahiran_kasar"],
        [
            [year, state, thousands(900, 99_000), thousands(300, 39_000), thousands(100, 20_000), thousands(100, 6_000)]
            + [some(9, 20, 1)]
            for year in range(2016, 2022)
            for state in _STATES
        ],
    )
    found["trade/external_trade_quarterly.csv"] = _csv(
        ["quarter", "flow", "series", "value_rm_million"],
        [
            [f"Q{q} {year}", flow, series, some(100_000, 400_000)]
            for year in (2019, 2020, 2021)
            for q in (1, 2, 3, 4)
            for flow in ("exports", "imports")
            for series in ("abs", "abs_sa")
        ],
    )
    found["prices/market_prices.csv"] = _csv(
        ["item_code", "item", "unit", "year", *_TOWNS],
        [
            [str(4100 + 7 * at), item, unit, year, *[some(1, 60, 2) for _ in _TOWNS]]
            for at, (item, unit) in enumerate(
                zip(_ITEMS, ["10 kg", "30 units", "1 unit", "1 kg", "1 kg", "5 litre"], strict=True)
            )
            for year in (2018, 2019, 2020)
        ],
    )
    found["codes/occupations.csv"] = _csv(["major", "sub_major", "unit_group", "title_en", "title_ms"], _JOBS)
    found["prices/producer_prices.csv"] = _csv(
        ["date", "division", "index", "change_mom"],
        [
            [f"{y}-{m:02d}-01", division, some(80, 140, 1), some(-3, 3, 1)]
            for y, m in months
            for division in ("overall", "agriculture", "mining", "manufacturing", "electricity & gas", "water supply")
        ],
    )
    found["pendidikan/angka_partisipasi_sekolah.csv"] = _csv(
        ["provinsi", "indikator", "2018", "2019", "2020", "2021"],
        [
            [province, indicator, *[some(40, 99, 2) for _ in range(4)]]
            for province in _PROVINCES
            for indicator in ("angka partisipasi murni", "angka putus sekolah", "angka melek huruf")
        ],
    )
    found["labour/labour_force_monthly.csv"] = _csv(
        ["date", "lf", "lf_employed", "lf_unemployed", "lf_outside", "p_rate", "u_rate"],
        [
            [f"{y}-{m:02d}-01", some(15_000, 17_000, 1), some(14_000, 15_000, 1), some(400, 800, 1)]
            + [some(6_000, 8_000, 1), some(60, 72, 1), some(3, 6, 1)]
            for y, m in months
        ],
    )
    found["health/hospital_districts.csv"] = _csv(
        [
            "state",
            "district",
            "year",
            "hospitals",
            "beds_total",
            "beds_occupied",
            "doctors",
            "nurses",
            "occupancy_rate",
        ],
        [
            [state, town, year, some(1, 9), thousands(100, 4_000), thousands(90, 3_000), some(20, 900), some(50, 1_500)]
            + [f"{some(40, 99, 1)} %"]
            for at, town in enumerate(_TOWNS)
            for state in [_STATES[at % 5]]
            for year in (2015, 2020)
        ],
    )
    found["census/mukim_2020.csv"] = _csv(
        [
            "negeri",
            "kod_negeri",
            "mukim",
            "kod_mukim",
            "population_total",
            "sex_male",
            "sex_female",
            "age_0_14",
            "age_15_64",
        ]
        + ["age_65_above", "households", "household_size_avg", "piped_water_pct", "internet_pct"],
        [
            [state, f"{at:02d}", f"M.{place:03d} {name}", f"M.{place:03d}", some(4_000, 90_000), some(2_000, 40_000)]
            + [some(2_000, 40_000), some(900, 9_000), some(2_000, 50_000), some(200, 6_000), some(900, 20_000)]
            + [some(2, 6, 1), some(60, 100, 1), some(30, 100, 1)]
            for place, name in enumerate(
                ["Alor Pasir", "Bukit Lada", "Changkat Jong", "Durian Sebatang", "Kampung Raja", "Lubok Merbau"]
                + ["Pengkalan Nyireh", "Rantau Panjang", "Sungai Tinggi", "Titi Gajah", "Ulu Jempol", "Batu Tiga"],
                start=1,
            )
            for at, state in [(place % 4, _STATES[place % 4])]
        ],
    )
    found["money/exchange_rates.csv"] = _csv(
        ["date", "usd", "sgd", "eur", "jpy_100"],
        [
            [f"{y}-{m:02d}-{d:02d}", some(4, 5, 4), some(3, 4, 4), some(4, 6, 4), some(3, 4, 4)]
            for y, m in months[:6]
            for d in (1, 2, 3)
        ],
    )
    found["economy/household_survey_2019.csv"] = _csv(
        ["area_type", "area", "income_median", "income_mean", "expenditure_mean", "gini", "poverty_rate"],
        [
            [kind, area, some(3_000, 9_000), some(4_000, 12_000), some(2_000, 7_000), some(0, 1, 3), some(0, 20, 1)]
            for kind, areas in (("state", _STATES), ("district", _TOWNS))
            for area in areas
        ],
    )
    return found
