"""Questions for who holds an office, or did what makes an institution: what names neither is no answer.

"Who is the caretaker?" finds the line that names the chair and the treasurer, and "who funded the study?" what was
studied: they share all other words, and have names. So the office must be named where the answer is, or above it, and
money must be spoken of where it is asked who gave it. Only offices and acts that are seldom told in other words; those
that are known are listed.
"""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import fold

__all__ = ["Told", "office_asked_for"]

_LEADS = (
    r"head|lead|led\b|leader|chief|director|manag|run\b|runs\b|ran\b|boss|supervis|superintend|in charge|responsible|"
    r"president|chair|ketua|kepala|pengurus|pengarah|direktur|manajer|pemimpin|penyelia|pimpin"
)
#: Words for an office, and what tells of it: beginnings of words, folded.
_OFFICES = (
    (
        "caretaker|janitor|concierge|warden|housekeeper|penjaga",
        r"caretak|janitor|concierge|warden|housekeep|look\w* after|porter|superintend|jaga",
    ),
    ("treasurer|bendahari|bendahara", "treasur|financ|account|bendahar"),
    ("secretary|clerk|setiausaha|sekretaris", "secretar|clerk|setiausaha|sekretaris|minutes"),
    ("chair|chairman|chairwoman|chairperson|pengerusi", r"chair|presid|head|lead|led\b|pengerusi|ketua"),
    (
        "principal|headteacher|headmaster|headmistress|pengetua|rector|dean",
        "principal|head|rector|dean|provost|pengetua|guru besar|kepala sekolah",
    ),
    ("owner|proprietor|pemilik", "own|propriet|belong|bought|sold|landlord|freehold|milik|punya"),
    ("founder|pengasas|pendiri", "found|establish|start|set up|creat|began|begun|asas|diri|tubuh"),
    ("nurse|matron|midwife|jururawat|perawat", "nurs|matron|midwi|sister|rawat"),
    ("editor|publisher|penyunting", "edit|publish|sunting|terbit"),
    ("director|manager|leader|boss|supervisor|head|pengarah|pengurus|direktur|manajer|ketua|kepala", _LEADS),
)
_PEOPLE = re.compile(
    r"^\W*(?:who(?:'s| is| was| are| were)(?: now| currently)?(?: the| our| your| its| an?)?|siapa(?:kah)?) "
    rf"(?:[\w'-]+ ){{0,2}}({'|'.join(offices for offices, _ in _OFFICES)})s?(?:nya)?(?![\w'-])"
)
_FUNDED = re.compile(
    r"^\W*(?:who|which \w+|by whom|siapa(?:kah)?)\b(?: \w+)?? "
    r"(?:(?:fund|financ|sponsor)\w*|paid for|pays for|(?:yang )?(?:membiayai|menaja|mendanai))\b"
    r"|^\W*who (?:was|is|were|are) .* (?:funded|financed|sponsored|paid for) by\b"
)
_MONEY = (
    r"fund|financ|sponsor|grant|support|pay|paid|donat|subsid|award|money|bill|expense|cost|borne|bear|charg|met by|"
    r"biaya|taja|dana|geran|hibah|sumbang"
)
_FOUNDED = re.compile(
    r"^\W*(?:who|when|by whom|in (?:what|which) year|siapa(?:kah)?|bila(?:kah)?|kapan)\b.* "
    r"(?:founded|established|ditubuhkan|diasaskan|didirikan|menubuhkan|mengasaskan|mendirikan)\b"
)
_BEGAN = (
    r"found|establish|set up|start|creat|form|launch|open|incept|begin|began|begun|since|birth|born|origin|incorporat|"
    r"introduc|build|built|institut|tubuh|asas|diri|sejak|mula|buka"
)


class Told:
    """What must be told where the answer is."""

    def __init__(self, words: str) -> None:
        self._words = re.compile(rf"(?<!\w)(?:me|di|ber|pe|ter)?(?:{words})")

    def by(self, text: str) -> bool:
        """Whether a text, with what stands above it, tells it."""
        return self._words.search(fold(text)) is not None


def office_asked_for(question: str) -> Told | None:
    """What an answer must tell of the office or act that a question asks for; None for other questions."""
    read = fold(question)
    if _FUNDED.search(read):
        return Told(_MONEY)
    if _FOUNDED.search(read):
        return Told(_BEGAN)
    found = _PEOPLE.search(read)
    if found is None:
        return None
    return Told(next(told for offices, told in _OFFICES if found[1] in offices.split("|")))
