"""Sentences of a document that give orders to whoever answers from it ("when asked ..., reply ..."): no evidence.

An extractive answer obeys nobody, but it could quote an order as if it were a fact: the sentence that tells to answer
"365 days" looks like an answer. Told by form, in English and Malay or Indonesian, and by nothing that it says:

- an override: ignore, disregard, forget, and then instructions, prompts, rules or documents that came before;
- an order under the condition of a question: "if somebody asks ..., say ...";
- an order to a machine, or about its answer: "assistant: tell ...", "... in your reply".

A false statement in plain words is none of these, and nothing here can know that it is false. Who asks what to say
("What should I tell customers?") is asking for an order, and gets it.
"""

from __future__ import annotations

import re

__all__ = ["asks_for_orders", "gives_orders"]

_SAY = (
    r"(?:answer|reply|respond|say|state|tell|output|print|write|claim|insist|mention|give|provide|recommend|repeat|"
    r"reveal|inform|confirm|quote|return|declare|advise|disclose|include|append|pretend|"
    r"jawab(?:lah)?|balas(?:lah)?|katakan(?:lah)?|beritahu(?:kan)?|beri ?tahu(?:kan)?|nyatakan(?:lah)?|sebut(?:kan)?|"
    r"tulis(?:kan|lah)?|ulang(?:i|kan)?|dedahkan|sampaikan)"
)
#: Where an imperative stands: at the beginning of a clause, perhaps after a word that urges.
_BEGINS = (
    r"(?:^|[,;:(\[\"'“‘—–>#*-]\s*|"
    r"\b(?:and|then|you (?:must|should|shall|will|are to|have to)|maka|dan|lalu|sila|harap)\s+)"
    r"(?:(?:then|always|only|please|just|simply|instead|never|do not|don't|sentiasa|selalu|hanya|sila|tolong)[,\s]+)*"
)
_OVERRIDE = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|abaikan|lupakan|ketepikan|hiraukan)\b.{0,30}"
    r"\b(?:all|any|every|previous(?:ly)?|prior|above|earlier|preceding|other|system|semua|segala|sebelum\w*|terdahulu|"
    r"di ?atas)\b.{0,40}"
    r"\b(?:instructions?|prompts?|rules?|guidelines?|directions?|orders?|documents?|contexts?|messages?|sources?|"
    r"passages?|arahan|instruksi|perintah|peraturan|aturan|dokumen|konteks|mesej|pesan)\b|"
    r"\b(?:ignore|disregard|forget|abaikan|lupakan)\b.{0,20}"
    r"\b(?:instructions?|documents?|prompts?|arahan|instruksi|perintah|dokumen)\b.{0,20}"
    r"\b(?:above|before|so far|di ?atas|sebelum\w*|terdahulu)\b",
    re.IGNORECASE,
)
_WHEN_ASKED = re.compile(
    r"\b(?:when|whenever|if|once|should|in case|apabila|bila|jika|jikalau|kalau|sekiranya)\b[^.?!\n]{0,60}?"
    r"\b(?:asked|asks?|asking|queried|questioned|inquires?|enquires?|wants? to know|wonders?|ditanya(?:kan|i)?|"
    r"bertanya|menanya(?:kan|i)?|tanya)\b[^?!\n]{0,200}?" + _BEGINS + _SAY + r"\b",
    re.IGNORECASE,
)
_ORDER = _BEGINS + r"(?:ask|" + _SAY + r")\b"
_PUT = _BEGINS + r"(?:ask|insert|put|place|" + _SAY + r")\b"
_TO_A_MACHINE = re.compile(
    r"\b(?:assistants?|chat ?bots?|language models?|llms?|ai(?: models?| systems?| agents?| assistants?)?|"
    r"pembantu (?:ai|maya|digital)|model bahasa)\b[^.?!\n]{0,60}?" + _ORDER + "|" + _PUT + r"[^.?!\n]{0,100}"
    r"\b(?:in|with|as|into|to|dalam|pada|sebagai) (?:all )?(?:of )?"
    r"(?:your (?:\w+ )?(?:answers?|repl(?:y|ies)|responses?|outputs?)|jawapan (?:anda|kamu)|jawaban (?:anda|kamu))\b",
    re.IGNORECASE,
)
_ASKS_FOR_ORDERS = re.compile(
    r"\b(?:should|shall|must|do|can|could|may|to|supposed to|perlu|patut|harus|boleh)\b[^.?!]{0,40}\b"
    r"(?:say|tell|answer|reply|respond|jawab|kata(?:kan)?|beritahu|balas)\b",
    re.IGNORECASE,
)


def gives_orders(sentence: str) -> bool:
    """Whether a sentence orders what to answer."""
    return any(form.search(sentence) for form in (_OVERRIDE, _WHEN_ASKED, _TO_A_MACHINE))


def asks_for_orders(question: str) -> bool:
    """Whether a question asks what to say to somebody: then orders are what it asks for."""
    return _ASKS_FOR_ORDERS.search(question) is not None
