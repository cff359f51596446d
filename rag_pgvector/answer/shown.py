"""A grounded answer for people: as plain text, and as HTML for a notebook.

Everything that comes from a document or a model is escaped, what would steer a reader's eye (control characters,
changes of direction, zero width) becomes visible, amounts of dollars are no formula, and nothing is loaded from
anywhere.
"""

from __future__ import annotations

from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.markup import NO_MATH, escaped

__all__ = ["WHY_NO_ANSWER", "answer_html", "answer_text"]

STYLE = """<style>
.rag-pgvector{max-width:60em;font:14px/1.5 system-ui,sans-serif}
.rag-pgvector .answer{font-size:1.1em;margin:.2em 0;white-space:pre-wrap}
.rag-pgvector .dim{opacity:.7;font-size:.85em;margin:.1em 0}
.rag-pgvector blockquote{margin:.5em 0;padding:.1em .8em;border-left:3px solid #8886}
.rag-pgvector blockquote p{margin:.1em 0;white-space:pre-wrap;overflow-wrap:anywhere}
.rag-pgvector mark{background:#ffe58a;color:#000;border-radius:2px}
.rag-pgvector .bar{position:relative;width:16em;height:.6em;background:#8883;border-radius:3px}
.rag-pgvector .bar span{position:absolute;inset:0 auto 0 0;border-radius:3px}
.rag-pgvector .held{background:#2e9d5b}.rag-pgvector .missed{background:#c9802c}
.rag-pgvector .bar i{position:absolute;top:-2px;bottom:-2px;width:2px;background:currentColor}
</style>"""

WHY_NO_ANSWER = {
    "no_results": "nothing was found to read",
    "low_confidence": "the best candidate stays below the threshold",
    "insufficient_evidence": "the evidence lacks what the question asks for",
    "conflicting_evidence": "the sources contradict each other",
    "unverified_citation": "a quotation stands nowhere in the sources",
    "ungrounded_answer": "the sources do not support the answer",
    "invalid_query": "the question holds no words",
    "filter_empty": "no chunk satisfies the filter",
    "llm_error": "the language model failed",
    "timeout": "there was not enough time",
    "retrieval_error": "the search failed",
}


def answer_text(answer: GroundedAnswer) -> str:
    """The answer with its quotations and sources, or the reason why there is none."""
    if answer.answer is None:
        mode = str(answer.failure_mode)
        return f"No answer ({mode}): {WHY_NO_ANSWER[mode]}."
    sources = [f'[{at}] {_place(each)}: "{each.snippet}"' for at, each in enumerate(answer.citations, 1)]
    return "\n".join((answer.answer, "", "Sources, verbatim:", *sources, f"Confidence: {answer.confidence:.2f}"))


def answer_html(answer: GroundedAnswer) -> str:
    """The answer, each citation highlighted in its context, and the confidence as a bar with its threshold."""
    parts = [STYLE, f'<div class="rag-pgvector {NO_MATH}">']
    if answer.asked_as is not None:
        parts.append(f'<p class="dim">read as: {escaped(answer.asked_as)}</p>')
    if answer.answer is not None:
        parts.append(f'<p class="answer"><bdi>{_marked(answer)}</bdi></p>')
    else:
        mode = str(answer.failure_mode)
        parts.append(f'<p class="answer">No answer: {escaped(WHY_NO_ANSWER[mode])} <code>{escaped(mode)}</code></p>')
    parts.append(_bar(answer))
    parts += [_quoted(at, each) for at, each in enumerate(answer.citations, 1)]
    if answer.near_misses:
        misses = "".join(_quoted(at, each) for at, each in enumerate(answer.near_misses, 1))
        parts.append(f"<details><summary>what came closest</summary>{misses}</details>")
    for rejected in answer.rejected_citations:
        parts.append(f'<p class="dim">refused quotations: {escaped(rejected.reason)} ({rejected.count})</p>')
    parts += [f'<p class="dim">note: {escaped(warning)}</p>' for warning in answer.warnings]
    parts.append("</div>")
    return "".join(parts)


def _marked(answer: GroundedAnswer) -> str:
    """The answer with what was asked for in bold."""
    text = answer.answer or ""
    start, end = answer.span_start, answer.span_end
    if start is None or end is None:
        return escaped(text)
    return f"{escaped(text[:start])}<b>{escaped(text[start:end])}</b>{escaped(text[end:])}"


def _bar(answer: GroundedAnswer) -> str:
    width, line = round(answer.confidence * 100), round(answer.threshold * 100)
    kind = "held" if answer.failure_mode is None else "missed"
    label = f"confidence {answer.confidence:.2f}, threshold {answer.threshold:.2f}"
    return (
        f'<div class="bar" role="img" aria-label="{label}">'
        f'<span class="{kind}" style="width:{width}%"></span><i style="left:{line}%"></i></div>'
        f'<p class="dim">confidence {answer.confidence:.2f} ({escaped(answer.confidence_kind)}), '
        f"threshold {answer.threshold:.2f}, {escaped(answer.mode)}</p>"
    )


def _quoted(number: int, citation: Citation) -> str:
    return (
        f'<blockquote><p class="dim">{number}. {escaped(_place(citation))}</p>'
        f"<p><bdi>{escaped(citation.before)}<mark>{escaped(citation.snippet)}</mark>{escaped(citation.after)}</bdi></p>"
        "</blockquote>"
    )


def _place(citation: Citation) -> str:
    if citation.page_or_row is None:
        return citation.source
    end = citation.page_or_row_end
    upto = "" if end is None or end == citation.page_or_row else f" to {end}"
    return f"{citation.source}, {'row' if citation.columns else 'page or row'} {citation.page_or_row}{upto}"
