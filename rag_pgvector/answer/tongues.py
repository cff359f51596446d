"""The grammar of German and Spanish questions in English words, one for one, so that one reading serves all.

Only what makes a question of words: who and when, the articles, the superlatives. What a question is about stays as it
is said, and is found in the table as it is written there, or through the glossary.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["HOW_MANY", "in_english"]

#: Stands for "wie viele" and "cuántos" in one word.
HOW_MANY = "howmany"


def _words(lines: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines.strip().splitlines():
        english, _, others = line.partition(": ")
        found |= dict.fromkeys(others.split(), english)
    return found


_GERMAN = _words(
    """
which: welche welcher welches welchem welchen
what: was
how: wie
many: viele vielen
much: viel
howmany: wieviele
who: wer wen wem wessen
when: wann
where: wo wohin
the: der die das den dem des ein eine einer einem einen eines am es sich dort jeweils denn eigentlich so
is: ist sind war waren wird werden wurde wurden gibt gab
have: hat haben hatte hatten
and: und sowie
or: oder
in: im in bei auf an um
of: von vom aus
from: ab seit
to: bis nach zu zum zur
for: fur
by: durch
with: mit
without: ohne
over: uber
per: pro je
not: nicht
no: kein keine keinen keiner
than: als
year: jahr jahre jahren jahres
month: monat
quarter: quartal
total: gesamt insgesamt
sum: summe
average: durchschnitt durchschnittlich durchschnittliche durchschnittlicher durchschnittlichen mittelwert
highest: hochste hochsten hochster hochstes
lowest: niedrigste niedrigsten niedrigster niedrigstes geringste geringsten tiefste tiefsten
largest: grosste grossten grosster grosstes
smallest: kleinste kleinsten kleinster kleinstes
most: meisten meiste
fewest: wenigsten
longest: langste langsten
shortest: kurzeste kurzesten
oldest: alteste altesten
youngest: jungste jungsten
heaviest: schwerste schwersten
lightest: leichteste leichtesten
fastest: schnellste schnellsten
priciest: teuerste teuersten
cheapest: billigste billigsten gunstigste gunstigsten
more: mehr
less: weniger
higher: hoher hohere hoheren
lower: niedriger niedrigere
older: alter
high: hoch
large: gross
old: alt
long: lang
heavy: schwer
expensive: teuer
far: weit
cost: kostet kosten kostete
amounted: betragt betrug
"""
)
_SPANISH = _words(
    """
which: cual cuales
how: cuanto cuanta como
howmany: cuantos cuantas
who: quien quienes
when: cuando
where: donde adonde
the: el la los las un una unos unas lo se su sus
is: es son fue fueron era eran esta estan hay hubo
have: tiene tienen tenia tenian tuvo tuvieron ha han
and: y e
or: o u
in: en
of: de del
from: desde
to: a al hasta
for: para
by: por
with: con
without: sin
not: no
year: ano anos
month: mes
quarter: trimestre
sum: suma
average: promedio media
highest: mayor mayores
lowest: menor menores
maximum: maximo maxima
minimum: minimo minima
fewest: menos
cost: cuesta cuestan costo
"""
)
#: "el más barato": what a superlative is of, and its English one.
_MOST = _words(
    """
highest: alto alta altos altas elevado elevada
lowest: bajo baja bajos bajas
largest: grande grandes
smallest: pequeno pequena pequenos pequenas
priciest: caro cara caros caras
cheapest: barato barata baratos baratas
oldest: viejo vieja antiguo antigua
youngest: joven jovenes
longest: largo larga largos largas
shortest: corto corta cortos cortas
heaviest: pesado pesada
lightest: ligero ligera
fastest: rapido rapida
"""
)
#: Words that only a question in that language begins with. "Was" is English as well.
_GERMAN_FIRST = frozenset(
    "welche welcher welches welchem welchen wie wieviele wer wen wem wessen wann wo wohin".split()
)
_AFTER_WAS = frozenset("ist sind war kostet kosten hat haben".split())
_SPANISH_FIRST = frozenset(
    "que cual cuales cuanto cuanta cuantos cuantas quien quienes cuando donde adonde como".split()
)
#: Where the word that asks may stand: "in welchem Jahr", "a qué hora".
_BEGINNING = 2


def in_english(found: Sequence[str]) -> list[str]:
    """The folded words of a question, those of German or Spanish grammar in English; as many as before."""
    first = set(found[:_BEGINNING])
    if first & _GERMAN_FIRST or (found[:1] == ["was"] and first & _AFTER_WAS):
        return [_GERMAN.get(word, word) for word in found]
    if not first & _SPANISH_FIRST:
        return list(found)
    told = [_SPANISH.get(word, word) for word in found]
    for place, word in enumerate(found):
        after = found[place + 1] if place + 1 < len(found) else ""
        if word == "que":
            told[place] = "which" if place < _BEGINNING else "that"
        elif word == "mas":
            told[place] = "more" if "que" in found[place:] or "o" in found[place:] else "most"
            if after in _MOST:
                told[place], told[place + 1] = _MOST[after], "the"
    return told
