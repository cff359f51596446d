"""Questions that name the kind of thing they ask for: what has no such thing is no answer to them.

"Which port ...?" is answered by a number, "which environment variable ...?" by a word in capitals, "which exception
...?" by a name that says so. Only kinds whose form leaves no doubt. What the question itself names does not count.
"""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import fold

__all__ = ["Sought", "sought_by"]

_ASKS = r"\b(?:what|which)(?:'s| is| are| was)?(?: the| a| an)?(?: [\w\-]+){0,2}? "
_NUMBER = re.compile(r"(?<![\w.])[+\-−]?\d[\d.,_…]*|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)\b", re.IGNORECASE)
_KINDS = (
    (re.compile(_ASKS + r"(?:ports?|uids?|gids?|(?:user|group|process) ids?|port numbers?|(?:exit|status|error) codes?)\b", re.IGNORECASE), _NUMBER),
    (re.compile(_ASKS + r"(?:environment|env) variables?\b", re.IGNORECASE), re.compile(r"(?<!\w)\$?[A-Za-z]*[A-Z]{2,}[A-Z0-9]*(?:_\w+)*\b|\$\w+|\b[a-z]+(?:_[a-z0-9]+)+\b")),
    (re.compile(_ASKS + r"(?:exceptions?|errors?) (?:class )?(?:do|does|is|are|will|should|can|did|was)\b", re.IGNORECASE), re.compile(r"\b[\w.]*(?:Error|Exception|Warning|Fault|Exit|Interrupt|Timeout)\w*|\bE[A-Z]{3,}\b|[\"“`'][^\"”`'\n]{3,}[\"”`']|\b\d{3,5}\b")),
    (re.compile(_ASKS + r"(?:(?:command[ -]line )?(?:flags?|switch(?:es)?))\b|" + _ASKS + r"command[ -]line options?\b", re.IGNORECASE), re.compile(r"(?<![\w\-])--?[A-Za-z][\w\-]*|(?<!\w)/[A-Z?]\b|`[^`\n]+`|\b\w+_\w+\b")),
)


class Sought:
    """The form of what a question asks for."""

    def __init__(self, question: str, form: re.Pattern[str]) -> None:
        self._asked = fold(question)
        self._form = form

    def told_by(self, text: str) -> bool:
        """Whether a text has one that the question does not name."""
        return any(fold(match.group()) not in self._asked for match in self._form.finditer(text))


def sought_by(question: str) -> Sought | None:
    """What a question asks for, None where it names no kind."""
    return next((Sought(question, form) for asks, form in _KINDS if asks.search(question)), None)
