"""What ``doctor`` has to say of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to know (``warning``) or to mend (``error``): what it is, why it matters, what to do.

    ``collection`` is the one concerned, or ``None`` for the whole database.
    """

    level: Literal["error", "warning"]
    check: str
    what: str
    why: str
    remedy: str
    collection: str | None = None
