"""Questions that name the kind of thing they ask for: what has no such thing is no answer to them.

"Which port ...?" is answered by a number, "which environment variable ...?" by a word in capitals, "which exception
...?" by a name that says so, "what is the phone number ...?" by digits enough for one, "how much does it cost?" by a
number that is no date, "how many ...?" by a number or a word that counts, "when did it happen?" by anything that tells
a time. Only kinds whose form leaves no doubt. What the question itself names does not count.
"""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import fold, terms
from rag_pgvector.answer.values import NUMERALS, amounts
from rag_pgvector.answer.vocabulary import MONTHS

__all__ = ["Sought", "sought_by"]

_ASKS = r"\b(?:what|which)(?:'s| is| are| was)?(?: the| a| an)?(?: [\w\-]+){0,2}? "
_NUMBER = re.compile(
    r"(?<![\w.])[+\-−]?\d[\d.,_…]*|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)\b", re.IGNORECASE
)
_VARIABLE = re.compile(r"(?<!\w)\$?[A-Za-z]*[A-Z]{2,}[A-Z0-9]*(?:_\w+)*\b|\$\w+|\b[a-z]+(?:_[a-z0-9]+)+\b")
_EXCEPTION = re.compile(
    r"\b[\w.]*(?:Error|Exception|Warning|Fault|Exit|Interrupt|Timeout)\w*|\bE[A-Z]{3,}\b"
    r"|[\"“`'][^\"”`'\n]{3,}[\"”`']|\b\d{3,5}\b"
)
_OPTION = re.compile(r"(?<![\w\-])--?[A-Za-z][\w\-]*|(?<!\w)/[A-Z?]\b|`[^`\n]+`|\b\w+_\w+\b")
_PHONE = re.compile(  # no date, and no years from one to another
    r"(?<![\w./\-])(?!\d{1,2}[./\-]\d{1,2}[./\-]\d{2,4}\b|\d{4}-\d\d-\d\d\b|(?:19|20)\d\d *[\-\u2013] *(?:19|20)\d\d\b)"
    r"[+(]?\d(?:[ \-.()/\u2010-\u2013]{0,2}\d){4,}(?!\w)"
)
_EMAIL = re.compile(r"[\w.+\-]+ ?(?:@|\(at\)|\[at\]) ?[\w\-]+(?:\.[\w\-]+)+")
_WEBSITE = re.compile(r"\bhttps?://|\bwww\.|\b[a-z0-9\-]+(?:\.[a-z0-9\-]+)*\.[a-z]{2,}\b(?!\()")
#: What something costs is told by a number that is no date, or by a word that says that it costs nothing.
_PRICE = re.compile(
    r"^\W*(?:how much (?:do|does|did|is|are|was|were|will|would|must|should)\b.*\b(?:costs?|pay|paid|charged?|fined)\b"
    r"|what (?:do|does|did|will|would)\b.*\bcost\W*$"
    r"|what(?:'s| is| are| was| were) the (?:[\w\-]+ ){0,2}?(?:prices?|fees?|fares?)\b)",
    re.IGNORECASE,
)
_FREE = re.compile(
    r"\b(?:free|nothing|gratis|percuma|no (?:extra |additional )?(?:charge|cost|fee)s?|without charge|includ\w+|"
    r"refund\w*|double|twice|depends?|varies|vary)\b",
    re.IGNORECASE,
)
#: What happened at a time: who asks when something is to be done is told a condition as well.
_WHEN = re.compile(
    r"^\W*(?:since )?when (?:did|was|were|had)\b|^\W*(?:sejak )?kapan(?:kah)?\b(?! (?:saja|pun)\b)"
    r"(?!.*\b(?:harus|perlu|boleh|bisa|dapat|sebaiknya|seharusnya|akan)\b)",
    re.IGNORECASE,
)
#: A number, or a word that places something in time, by itself or beside something else.
_TIME = re.compile(
    rf"\d(?:[\d.,]*\d)?|\b(?:{'|'.join(sorted(MONTHS))}"
    r"|centur(?:y|ies)|decades?|years?|months?|weeks?|days?|nights?|hours?|minutes?|eras?|ages?|aged|period|reign"
    r"|morning|noon|afternoon|evening|midnight|dawn|dusk|spring|summer|autumn|winter"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|yesterday|today|tonight|tomorrow|now|currently|recently|later|earlier"
    r"|early|late|ago|never|always|immediately|once|before|after|afterwards?|during|while|when|until|till|since|upon"
    r"|following|prior|antiquity|medieval|prehistor\w+|renaissance|birth|death|childhood"
    r"|abad|dekad|dasawarsa|tahun|bulan|minggu|hari|malam|pagi|siang|petang|sore|jam|pukul|saat|ketika|waktu|masa|zaman"
    r"|sejak|semenjak|sebelum|setelah|sesudah|selepas|selama|semasa|sewaktu|hingga|sampai|kini|sekarang|kemarin"
    r"|semalam|besok|esok|lalu|kemudian|awal|akhir|pertengahan|isnin|selasa|rabu|khamis|kamis|jumaat|jumat|sabtu|ahad"
    r"|senin)\b",
    re.IGNORECASE,
)
#: A number, or a word that counts. Malay and Indonesian join it to what it counts ("keempat", "sepasang").
_COUNT = re.compile(
    r"\d(?:[\d.,]*\d)?|\b(?:no|none|nobody|nothing|zero|single|sole|only|both|pair|couple|several|few|many|all|every|each|half|twice"
    r"|once|double|triple|dual|unlimited|dozens?|tidak|tiada|tak|tunggal|ganda|sepasang|sebuah|seorang|seekor|semua|setiap"
    r"|banyak|beberapa|separuh|setengah|belas|puluh|sepuluh|sebelas|seratus|seribu|sejuta"
    rf"|(?:ke)?(?:satu|dua|tiga|empat|lima|enam|tujuh|lapan|delapan|sembilan)|{NUMERALS})\b",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(r"\bhow many\b|\bberapa(?:kah)?\b", re.IGNORECASE)
#: What is asked for, and its form. A port is one of ships, too, a flag one of nations, and an error anybody's.
_KINDS = tuple(
    (re.compile(_ASKS + asks, re.IGNORECASE), form)
    for asks, form in (
        (r"(?:uids?|gids?|(?:user|group|process) ids?|port numbers?|(?:exit|status|error) codes?)\b", _NUMBER),
        (
            r"(?:tcp |udp )ports?\b|" + _ASKS + r"ports?\b.*\b(?:listens?|listening|binds?|bound|tcp|udp|https?)\b",
            _NUMBER,
        ),
        (r"(?:environment|env) variables?\b", _VARIABLE),
        (r"(?:exceptions?|errors?)\b.*\b(?:raises?|raised|throws?|thrown)\b", _EXCEPTION),
        (r"command[ -]line (?:options?|flags?|switch(?:es)?|arguments?)\b", _OPTION),
        (
            r"(?:flags?|switch(?:es)?) (?:(?:do|can|should|must) I|turns?|makes?|sets?|enables?|disables?|forces?)\b",
            _OPTION,
        ),
        (r"(?:(?:tele)?phone|fax|mobile|hotline) numbers?\b|\bno(?:mbo|mo)?r?\.? (?:telefon|telepon|faks)\b", _PHONE),
        (r"e-?mail address(?:es)?\b|\balamat (?:e-?mel|e-?mail|surel)\b", _EMAIL),
        (r"(?:website|web ?site|web address|url)(?= (?:of|for|to|where)\b|\W*$)|\balamat laman web\b", _WEBSITE),
    )
)


class Sought:
    """The form of what a question asks for.

    Attributes:
        around: Whether the sentence after, and the headings, may tell it: a time or a count is often said apart.
    """

    def __init__(self, question: str, form: re.Pattern[str] | None) -> None:
        self._asked = fold(question)
        self._form = form
        self.around = form in (_TIME, _COUNT)

    def told_by(self, text: str) -> bool:
        """Whether a text has one that the question does not name."""
        if self._form is None:
            asked = set(terms(self._asked))
            return any(not set(each.key.split()) <= asked for each in amounts(text)) or bool(_FREE.search(text))
        return any(not self._names(fold(match.group())) for match in self._form.finditer(text))

    def _names(self, found: str) -> bool:
        return re.search(rf"(?<!\w){re.escape(found)}(?!\w)", self._asked) is not None


def sought_by(question: str) -> Sought | None:
    """What a question asks for, None where it names no kind."""
    if _PRICE.search(question):
        return Sought(question, None)
    if _WHEN.search(question):
        return Sought(question, _TIME)
    if _HOW_MANY.search(question):
        return Sought(question, _COUNT)
    return next((Sought(question, form) for asks, form in _KINDS if asks.search(question)), None)
