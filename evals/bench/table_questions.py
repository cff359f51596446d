# ruff: noqa: E501  # one question a line
"""Questions over ``table_worlds``: paraphrases, calculations and what is absent, by hand; and those of templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_pgvector.evals.bench.table_templates import templates
from rag_pgvector.evals.bench.table_worlds import Question

__all__ = ["questions"]


def _by_hand() -> list[Question]:
    vehicles, weather = "transport/vehicle_registrations.csv", "climate/weather_monthly.csv"
    vital, trade = "demografi/perangkaan_vital.csv", "trade/external_trade_quarterly.csv"
    market, jobs = "prices/market_prices.csv", "codes/occupations.csv"
    ppi, school = "prices/producer_prices.csv", "pendidikan/angka_partisipasi_sekolah.csv"
    labour, health = "labour/labour_force_monthly.csv", "health/hospital_districts.csv"
    mukim, survey = "census/mukim_2020.csv", "economy/household_survey_2019.csv"
    money = "money/exchange_rates.csv"
    p = "paraphrase"
    asked: Sequence[tuple[str, str, str, dict[str, str], str]] = [
        (p, "How many new electric cars were registered in May 2022?", vehicles, {"month": "2022-05", "vehicle_type": "car", "fuel": "electric"}, "registrations"),
        (p, "How many diesel buses got registered in December 2021?", vehicles, {"month": "2021-12", "vehicle_type": "bus", "fuel": "diesel"}, "registrations"),
        (p, "How much rain fell at Cape Onda in July 2021?", weather, {"station": "Cape Onda", "date": "01/07/2021"}, "rainfall_mm"),
        (p, "How hot was it on average at Vesper Bay in August 2022?", weather, {"station": "Vesper Bay", "date": "01/08/2022"}, "mean_temp_c"),
        (p, "How humid was it at Lake Harrow in January 2021?", weather, {"station": "Lake Harrow", "date": "01/01/2021"}, "humidity_pct"),
        (p, "What was the strongest wind measured at Mount Teral in March 2022?", weather, {"station": "Mount Teral", "date": "01/03/2022"}, "max_wind_kmh"),
        (p, "How many people died in Penang in 2019?", vital, {"tahun": "2019", "negeri": "Pulau Pinang"}, "kematian"),
        (p, "How many babies were born alive in Kuala Lumpur in 2017?", vital, {"tahun": "2017", "negeri": "W.P. Kuala Lumpur"}, "kelahiran_hidup"),
        (p, "Berapa ramai yang meninggal dunia di Melaka pada tahun 2020?", vital, {"tahun": "2020", "negeri": "Melaka"}, "kematian"),
        (p, "How many couples divorced in Sabah in 2016?", vital, {"tahun": "2016", "negeri": "Sabah"}, "perceraian"),
        (p, "Berapa banyak pasangan berkahwin di Negeri Sembilan pada 2018?", vital, {"tahun": "2018", "negeri": "Negeri Sembilan"}, "perkahwinan"),
        (p, "How much did the country export in the third quarter of 2020, seasonally adjusted?", trade, {"quarter": "Q3 2020", "flow": "exports", "series": "abs_sa"}, "value_rm_million"),
        (p, "What were seasonally adjusted imports worth in 2021 Q1?", trade, {"quarter": "Q1 2021", "flow": "imports", "series": "abs_sa"}, "value_rm_million"),
        (p, "How much was a kilo of red chilli in Gemas in 2019?", market, {"item": "Red chilli", "year": "2019"}, "Gemas"),
        (p, "How much did imported beef cost in Jasin in 2020?", market, {"item": "Beef, imported", "year": "2020"}, "Jasin"),
        (p, "Berapakah harga cooking oil di Endau tahun 2018?", market, {"item": "Cooking oil", "year": "2018"}, "Endau"),
        (p, "How expensive was a whole coconut in Bagan in 2018?", market, {"item": "Whole coconut", "year": "2018"}, "Bagan"),
        ("code", "What is the unit group code for physicists?", jobs, {"title_en": "Physicists"}, "unit_group"),
        ("code", "Which four-digit code do taxi and van drivers have?", jobs, {"title_en": "Taxi and van drivers"}, "unit_group"),
        ("code", "What does code 0310 stand for?", jobs, {"unit_group": "0310"}, "title_en"),
        ("code", "Kod 7512 mewakili pekerjaan apa?", jobs, {"unit_group": "7512"}, "title_ms"),
        ("code", "Apakah kod empat digit bagi pelayan?", jobs, {"title_ms": "Pelayan"}, "unit_group"),
        ("code", "What is the two-digit code of waiters?", jobs, {"title_en": "Waiters"}, "sub_major"),
        ("code", "What is the mukim code of Titi Gajah?", mukim, {"mukim": "M.010 Titi Gajah"}, "kod_mukim"),
        (p, "How high were producer prices for mining in February 2021?", ppi, {"date": "2021-02-01", "division": "mining"}, "index"),
        (p, "Producer price index of electricity and gas, Sept 2022", ppi, {"date": "2022-09-01", "division": "electricity & gas"}, "index"),
        (p, "Indeks harga pengeluar bagi perlombongan pada Jun 2022?", ppi, {"date": "2022-06-01", "division": "mining"}, "index"),
        (p, "What was the overall PPI in November 2021?", ppi, {"date": "2021-11-01", "division": "overall"}, "index"),
        (p, "What was the literacy figure, angka melek huruf, for Bali in 2020?", school, {"provinsi": "Bali", "indikator": "angka melek huruf"}, "2020"),
        (p, "Berapa persen angka putus sekolah di Jawa Timur tahun 2019?", school, {"provinsi": "Jawa Timur", "indikator": "angka putus sekolah"}, "2019"),
        (p, "What share of the labour force was jobless in June 2022?", labour, {"date": "2022-06-01"}, "u_rate"),
        (p, "How large was the labour force in October 2021?", labour, {"date": "2021-10-01"}, "lf"),
        (p, "How many people were unemployed in April 2021?", labour, {"date": "2021-04-01"}, "lf_unemployed"),
        (p, "Berapakah kadar pengangguran pada Disember 2022?", labour, {"date": "2022-12-01"}, "u_rate"),
        (p, "How many physicians worked in Dengkil in 2015?", health, {"district": "Dengkil", "year": "2015"}, "doctors"),
        (p, "What was the total number of hospital beds in the district of Gemas in 2020?", health, {"district": "Gemas", "year": "2020"}, "beds_total"),
        (p, "Berapa orang jururawat di Endau pada 2015?", health, {"district": "Endau", "year": "2015"}, "nurses"),
        (p, "According to the 2020 census, how many women lived in Bukit Lada?", mukim, {"mukim": "M.002 Bukit Lada"}, "sex_female"),
        (p, "How many households are there in the mukim of Sungai Tinggi?", mukim, {"mukim": "M.009 Sungai Tinggi"}, "households"),
        (p, "What percentage of Kampung Raja has piped water?", mukim, {"mukim": "M.005 Kampung Raja"}, "piped_water_pct"),
        (p, "How many residents of Rantau Panjang are 65 or above?", mukim, {"mukim": "M.008 Rantau Panjang"}, "age_65_above"),
        (p, "What share of Batu Tiga has internet?", mukim, {"mukim": "M.012 Batu Tiga"}, "internet_pct"),
        (p, "What did the average household in Pahang earn in 2019?", survey, {"area_type": "state", "area": "Pahang"}, "income_mean"),
        (p, "How much did households in the district of Chenor spend on average in 2019?", survey, {"area": "Chenor"}, "expenditure_mean"),
        (p, "Berapakah pekali Gini di Perlis pada tahun 2019?", survey, {"area": "Perlis"}, "gini"),
        (p, "How widespread was poverty in Kelantan in 2019?", survey, {"area": "Kelantan"}, "poverty_rate"),
        (p, "How many ringgit did a US dollar (USD) cost on 3 May 2021?", money, {"date": "2021-05-03"}, "usd"),
        ("tie", "How many electric registrations were there in January 2022?", vehicles, {"month": "2022-01", "fuel": "electric"}, "registrations"),
        ("tie", "What were the hospital beds, total, in Ampang?", health, {"district": "Ampang"}, "beds_total"),
        ("tie", "USD exchange rate in March 2021", money, {}, "usd"),
    ]  # fmt: skip
    found = [Question(*each) for each in asked if each[1] != "USD exchange rate in March 2021"]
    calculated = [
        ("Which state had the most deaths in 2020?", vital, {"tahun": "2020"}, "kematian", "max"),
        (
            "What was the highest rainfall at Cape Onda in 2021?",
            weather,
            {"station": "Cape Onda"},
            "rainfall_mm",
            "max 2021",
        ),
        ("What is the sum of deaths over all states in 2019?", vital, {"tahun": "2019"}, "kematian", "sum"),
        ("Which mukim has the smallest total population?", mukim, {}, "population_total", "min"),
        (
            "What was the average of the producer price index for mining in 2022?",
            ppi,
            {"division": "mining"},
            "index",
            "mean 2022",
        ),
        ("How many mukim are there in Kedah?", mukim, {"negeri": "Kedah"}, "mukim", "count"),
        ("Negeri manakah mencatat kematian tertinggi pada tahun 2018?", vital, {"tahun": "2018"}, "kematian", "max"),
    ]
    found += [
        Question("calculation", text, source, where, column, how) for text, source, where, column, how in calculated
    ]
    absent = [
        ("absent_entity", "How much was a kilo of durian in Gemas in 2019?"),
        ("absent_entity", "What was the population of Durian Tunggal in 2020?"),
        ("absent_entity", "What does code 9999 stand for?"),
        ("absent_entity", "What is the four-digit code for dentists?"),
        ("absent_entity", "How many people died in Brunei in 2019?"),
        ("absent_entity", "How many electric tractors were registered in May 2022?"),
        ("absent_entity", "How many hydrogen cars were registered in May 2022?"),
        ("absent_entity", "Berapakah pekali Gini di Jakarta pada tahun 2019?"),
        ("absent_entity", "Berapa angka melek huruf di Papua Nugini tahun 2020?"),
        ("absent_entity", "Indeks harga pengeluar bagi perikanan pada Jun 2022?"),
        ("absent_indicator", "How much snow fell at Cape Onda in July 2021?"),
        ("absent_indicator", "How many dentists were there in Gemas in 2020?"),
        ("absent_indicator", "How many stillbirths were there in Kedah in 2018?"),
        ("absent_indicator", "What was the median household wealth in Pahang in 2019?"),
        ("absent_indicator", "What was the urban poverty rate in Kelantan in 2019?"),
        ("absent_indicator", "How many women were unemployed in April 2021?"),
        ("absent_indicator", "What share of Batu Tiga has electricity?"),
        ("absent_indicator", "What was the minimum temperature at Vesper Bay in August 2022?"),
        ("absent_indicator", "How many Chinese people lived in Bukit Lada in 2020?"),
        ("absent_indicator", "Berapakah kadar inflasi pada Disember 2022?"),
        ("absent_indicator", "What was the median rent in Perlis in 2019?"),
        ("absent_indicator", "How many hospital admissions were there in Gemas in 2020?"),
        ("absent_year", "How many physicians worked in Dengkil in 2016?"),
        ("absent_year", "How much did the country export in the third quarter of 2022?"),
        ("absent_year", "What was the unemployment rate in June 2030?"),
        ("absent_year", "What was the USD exchange rate on 9 May 2021?"),
        ("absent_year", "How much rain fell at Cape Onda on 15 July 2021?"),
        ("absent_year", "Berapa ramai yang meninggal dunia di Melaka pada tahun 2022?"),
        ("document", "How many living quarters does the labour force survey visit?"),
        ("document", "What is the default of pool_size?"),
        ("document", "When do backups run?"),
        ("document", "How often are the weights of the consumer price index revised?"),
        ("document", "What ends queries that run too long?"),
    ]
    return found + [Question(kind, text) for kind, text in absent]


def questions(tables: Mapping[str, str]) -> list[Question]:
    """All questions, each text once."""
    seen: dict[str, Question] = {}
    for each in [*_by_hand(), *templates(tables)]:
        seen.setdefault(each.text, each)
    return list(seen.values())
