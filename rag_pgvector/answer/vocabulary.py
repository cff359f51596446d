"""Words that mean the same in questions and in the names and values of tables, in English, Malay and Indonesian.

Everything is folded (lower case, no accents) and without punctuation: "W.P. Kuala Lumpur" is "w p kuala lumpur".
"""

from __future__ import annotations

import re
from functools import lru_cache

from rag_pgvector.answer.lexical import fold, stem

__all__ = ["ABOUT", "AGGREGATES", "CALCULATIONS", "LATEST", "MONTHS", "NEUTRAL", "canonical", "concept", "words"]

#: Each line: the phrase that stands for all of them, then the others. Names of places, persons' sexes and so on, which
#: occur as values.
_ALIASES = """
kuala lumpur: kl, wpkl, w p kuala lumpur, wp kuala lumpur, wilayah persekutuan kuala lumpur
putrajaya: w p putrajaya, wp putrajaya, wilayah persekutuan putrajaya, federal territory of putrajaya
labuan: w p labuan, wp labuan, wilayah persekutuan labuan, federal territory of labuan
negeri sembilan: n sembilan, n9, negri sembilan, nsembilan
pulau pinang: penang, p pinang, pinang
melaka: malacca
johor: johore
terengganu: trengganu
male: males, men, man, lelaki, laki laki, pria
female: females, women, woman, perempuan, wanita
"""

#: The same for indicators, which occur as names of columns and tables.
_CONCEPTS = """
cpi: consumer price index, consumer prices, consumer price, indeks harga pengguna, ihp, indeks harga konsumen
gdp: gross domestic product, keluaran dalam negeri kasar, kdnk, produk domestik bruto, pdb
gni: gross national income, pendapatan negara kasar
ppi: producer price index, producer prices, indeks harga pengeluar
mean: average, avg, purata, rata rata
median: penengah, pertengahan
income: pendapatan, earnings
salary: wage, gaji, upah
expenditure: spending, perbelanjaan, pengeluaran isi rumah
poverty: kemiskinan, miskin, poor
population: penduduk, inhabitants, residents, populasi, people, orang
unemployment: pengangguran, jobless, unemployed, penganggur
employment: employed, pekerjaan, guna tenaga, bekerja
labour: labor, buruh, tenaga buruh
participation: penyertaan, partisipasi
inflation: inflasi
growth: pertumbuhan
food: makanan, foods
beverage: beverages, minuman, drinks
transport: pengangkutan, transportation, transportasi
health: kesihatan, kesehatan, healthcare
education: pendidikan
housing: perumahan
utilities: utiliti, utility
communication: communications, komunikasi, perhubungan
recreation: rekreasi
culture: budaya, kebudayaan, cultural
clothing: pakaian, apparel
footwear: kasut, shoes
furnishings: perabot, kelengkapan, furniture, hiasan
alcohol: alkohol, alcoholic
tobacco: tembakau
hospitality: restaurants, hotels, restoran, hotel, penginapan
misc: miscellaneous, pelbagai
overall: total, headline, all items, semua, keseluruhan, jumlah, general, semua item, total all
economy: ekonomi, economic
force: tenaga
agriculture: pertanian, agri
manufacturing: pembuatan, perkilangan
services: perkhidmatan
construction: pembinaan
mining: perlombongan, quarrying
exports: export, eksport, ekspor
imports: import, impor
birth: births, kelahiran
death: deaths, kematian
marriage: marriages, perkahwinan
household: households, isi rumah, rumah tangga
state: negeri, states, provinsi, province
district: daerah, districts
country: negara
city: bandar, kota
year: tahun
month: bulan
quarter: suku tahun, suku, kuartal
date: tarikh, tanggal
sex: jantina, gender
age: umur, usia
ethnicity: etnik, kaum, race, ethnic
area: keluasan, luas
price: harga, prices, cost, costs, costing
tax: cukai, pajak
school: sekolah, schools
student: murid, pelajar, students
teacher: guru, teachers
hospital: hospitals, rumah sakit
doctor: doktor, doctors
crime: jenayah, crimes
electricity: elektrik, listrik
water: air
rainfall: hujan, curah hujan
temperature: suhu
percentage: percent, pct, peratus, peratusan, persen, persentase
rate: kadar
"""

#: Values and names that stand for the whole: meant where a question does not say which part.
AGGREGATES = frozenset("overall total all both semua jumlah keseluruhan national nasional".split()) | {
    "all items",
    "all ages",
    "all sexes",
    "all states",
    "both sexes",
    "semua item",
    "kedua dua",
}

#: Words of a question, or of a column's name, that need no counterpart: they say that a figure is meant, or its unit.
NEUTRAL = frozenset(
    """
    value figure number statistic data index level rate percentage percent amount record report accord dataset table
    official month year quarter period date annual yearly monthly quarterly count size unit rm ringgit myr usd
    dollar sen indeks nilai angka kadar peratus bilangan jadual rekod laporan menurut overall time point points km2
    kg sq per live lived living stand stood
    """.split()
)

#: Words that ask for a calculation over rows, which a look-up is not.
CALCULATIONS = frozenset(
    """
    highest lowest largest smallest biggest maximum minimum max most least top bottom best worst sum rank ranking
    compare comparison compared difference increase increased decrease decreased change changed trend ratio higher
    lower greater fewer rise rose fall fell grew double times correlation tertinggi terendah terbesar terkecil
    paling banding perbandingan beza perbezaan naik turun meningkat menurun
    """.split()
)

#: Abbreviations in names of tables, and what they are about.
ABOUT: dict[str, frozenset[str]] = {
    "hies": frozenset({"household", "income", "expenditure"}),
    "lfs": frozenset({"labour", "force", "employment"}),
    "cpi": frozenset({"price"}),
    "ppi": frozenset({"price"}),
    "gdp": frozenset({"economy"}),
}

LATEST = frozenset("latest newest current currently recent recently terkini semasa terbaru".split())

MONTHS: dict[str, int] = {
    name: number
    for number, names in enumerate(
        (
            "january jan januari",
            "february feb februari pebruari",
            "march mar mac maret",
            "april apr",
            "may mei",
            "june jun juni",
            "july jul julai juli",
            "august aug ogos agustus ogo",
            "september sep sept",
            "october oct oktober okt",
            "november nov",
            "december dec disember desember dis des",
        ),
        start=1,
    )
    for name in names.split()
}

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _table(lines: str) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for line in lines.strip().splitlines():
        head, _, others = line.partition(": ")
        for phrase in [head, *others.split(", ")]:
            found[tuple(phrase.split())] = head
    return found


_ALIAS_OF = _table(_ALIASES)
_CONCEPT_OF = _table(_CONCEPTS)
#: Words that any phrase above begins or goes on with are only looked up as far as the longest phrase reaches.
_LONGEST = max(map(len, [*_ALIAS_OF, *_CONCEPT_OF]))


def words(text: str) -> list[str]:
    """The folded words of a text; snake_case and camelCase fall apart."""
    return _WORD.findall(fold(_CAMEL.sub(" ", text).replace("'s ", " ").replace("’s ", " ")))


@lru_cache(maxsize=131_072)
def canonical(text: str) -> tuple[str, ...]:
    """The words of a value, aliases replaced: "W.P. Kuala Lumpur" and "KL" are one."""
    return tuple(word for phrase, _ in replaced(words(text), _ALIAS_OF) for word in phrase.split())


def replaced(sequence: list[str], table: dict[tuple[str, ...], str] | None = None) -> list[tuple[str, int]]:
    """The words with every known phrase replaced by what stands for it; with how many words each took."""
    known = _ALIAS_OF if table is None else table
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(sequence):
        for length in range(min(_LONGEST, len(sequence) - at), 0, -1):
            if head := known.get(tuple(sequence[at : at + length])):
                break
        else:
            head, length = sequence[at], 1
        found.append((head, length))
        at += length
    return found


def concept(sequence: list[str]) -> list[tuple[str, int]]:
    """The words as indicators: known phrases replaced, the rest stemmed; with how many words each took."""
    return [
        (head if length > 1 or (sequence_word,) in _CONCEPT_OF else stem(head), length)
        for head, length, sequence_word in _with_first(sequence)
    ]


def _with_first(sequence: list[str]) -> list[tuple[str, int, str]]:
    at = 0
    found: list[tuple[str, int, str]] = []
    for head, length in replaced(sequence, _CONCEPT_OF):
        found.append((head, length, sequence[at]))
        at += length
    return found
