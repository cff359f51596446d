"""Questions for what something is or does, and sentences that say it: "What is HNSW?", "HNSW is an index ..."."""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import STOPWORDS, terms

__all__ = ["Term", "term_asked_for"]

#: The thing is what a group names; "apakah ... itu" and "siapakah" are Malay's and Indonesian's "what is" and "who is".
_ASKS = re.compile(
    r"^\W*(?:(?:what|who)(?:'s| is| are| was| were) (?:an? |the )?(?P<is>[^,?]+?)"
    r"|what (?:does|do) (?P<does>[^,?]+?) (?:mean|stand for|refer to)|what (?:does|do) (?P<do>[^,?]+?) do"
    r"|what is meant by (?P<meant>[^,?]+?)"
    r"|define (?P<define>[^,?]+?)"
    r"|apa(?:kah)?(?: itu| yang di ?maksud(?:kan)?(?: dengan| oleh)?| arti| maksud| definisi| pengertian)"
    r"(?: dari| daripada)? (?P<maksud>[^,?]+?)"
    r"|(?:apa|siapa)(?:kah)? (?P<apa>[^,?]+?)(?: itu)?)\W*$",
    re.IGNORECASE,
)
#: "The capital of France" is no thing to define: what is asked for is the capital.
_RELATED = re.compile(
    r"\b(?:of|in|on|at|for|to|from|by|with|between|that|which|who|dari|di|ke|pada|oleh|untuk|yang|dalam|dengan)\b",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"\b(?:(?:is|are|was|were)(?= (?:an?|the|any|one|defined|known)\b)|are|refers? to|means?|denotes?|stands? for"
    r"|adalah|ialah|merupakan|yaitu|yakni|berarti|bermaksud|bererti|diartikan|didefinisikan|ditakrifkan)\b",
    re.IGNORECASE,
)
#: What says it of a setting, a function or a device, beside these.
_DOES = re.compile(
    _SAYS.pattern
    + r"|\b(?:adds|allows|changes|checks|controls|converts|counts|creates|decides|determines|disables|enables|gives"
    r"|keeps|lets|limits|lists|makes|measures|prints|reads|removes|returns|runs|sends|sets|shows|specifies|starts|stops"
    r"|stores|tells|turns|writes)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]{0,200}\)|\[[^\]]{0,20}\]")
#: Content words of a thing that can be defined, others beside them before the verb, and code points that are read.
_LONGEST, _BESIDE, _READ = 3, 2, 500


class Term:
    """A thing that a question asks to be told what it is, or what it does."""

    def __init__(self, words: frozenset[str], says: re.Pattern[str]) -> None:
        self._words = words
        self._says = says

    def defined_by(self, text: str) -> bool:
        """Whether a sentence's subject is the thing and little else, and its verb says what that is."""
        plain = _ASIDE.sub("", text[:_READ])
        if (says := self._says.search(plain)) is None:
            return False
        subject = set(terms(plain[: says.start()])) - STOPWORDS
        return self._words <= subject and len(subject) <= len(self._words) + _BESIDE


def term_asked_for(question: str) -> Term | None:
    """The thing, None where the question asks for something else about it."""
    if (asked := _ASKS.match(question)) is None:
        return None
    named = next(group for group in asked.groups() if group)
    words = frozenset(terms(named)) - STOPWORDS
    if _RELATED.search(named) or not 0 < len(words) <= _LONGEST:
        return None
    return Term(words, _DOES if asked["do"] else _SAYS)
