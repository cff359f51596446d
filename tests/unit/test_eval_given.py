"""Systems of every kind behind one protocol: functions, LangChain's and LlamaIndex' own classes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever as NodeRetriever
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.answers import evaluate_answers, judge
from rag_pgvector.evals.formats import RetrievalSet
from rag_pgvector.evals.given import Given, GivenCitation, as_answerer, as_search, given_of
from rag_pgvector.evals.questions import GoldenQuestion, Span
from rag_pgvector.evals.retrieval import evaluate

TEXTS = {"kite": "The wau bulan is from Kelantan.", "top": "Gasing are tops."}
GOLDEN = RetrievalSet(
    name="kites", documents=(), queries={"1": "kite"}, qrels={"1": {"kite": 1}}, qrels_file="", absent=0
)


class Retriever(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(id=id_, page_content=text, metadata={"file": f"{id_}.md"}) for id_, text in TEXTS.items()]


class Nodes(NodeRetriever):  # type: ignore[misc]
    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=TextNode(id_=id_, text=text, metadata={"file": f"{id_}.md"}), score=1.0)
            for id_, text in TEXTS.items()
        ]


def store() -> InMemoryVectorStore:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document(id=i, page_content=t, metadata={"file": f"{i}.md"}) for i, t in TEXTS.items()])
    return store


@pytest.mark.parametrize(
    "system",
    [
        Retriever(),
        Nodes(),
        store(),
        store().as_retriever(),
        lambda question, k: ["kite", "top"],
        lambda question, k: Retriever().invoke(question),
    ],
    ids=["LangChain", "LlamaIndex", "store", "store's retriever", "ids", "documents"],
)
def test_every_search_is_measured_by_the_same_code(system: Any) -> None:
    found = evaluate(system, GOLDEN, metrics=["R@2", "Success@2"], k=2)
    assert found.metrics == {"R@2": 1.0, "Success@2": 1.0}
    assert set(found.rankings["1"]) == {"kite", "top"}


@pytest.mark.parametrize("system", [Retriever(), Nodes(), store()])
def test_documents_are_called_as_the_judgements_call_them(system: Any) -> None:
    assert set(as_search(system, by="file")("kite", 2)) == {"kite.md", "top.md"}
    assert as_search(system, by=lambda found: "x")("kite", 2) == ["x"]


class Engine(BaseQueryEngine):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        super().__init__(callback_manager=CallbackManager())
        self.text = text

    def _query(self, query_bundle: QueryBundle) -> Response:
        return Response(self.text, source_nodes=Nodes().retrieve("x"))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        return self._query(query_bundle)

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}


QUESTION = GoldenQuestion("1", "Where from?", True, "Kelantan", (), "kite", None, "document")


@pytest.mark.parametrize(
    ("system", "sources"),
    [
        (RunnableLambda(lambda q: "It is from Kelantan."), []),
        (RunnableLambda(lambda q: AIMessage("It is from Kelantan.")), []),
        (RunnableLambda(lambda q: {"answer": "From Kelantan.", "context": Retriever().invoke("x")}), ["kite", "top"]),
        (lambda q: {"result": "From Kelantan.", "source_documents": Retriever().invoke("x")}, ["kite", "top"]),
        (Engine("It is from Kelantan."), ["kite", "top"]),
        (lambda q: Given("Kelantan", (GivenCitation("kite", "x"),)), ["kite"]),
    ],
)
def test_every_answer_is_judged_by_the_same_code(system: Any, sources: list[str]) -> None:
    (asked,) = evaluate_answers(system, [QUESTION]).asked
    assert (asked.right, asked.outcome) == (True, "right")
    assert [each.split(":")[0] for each in asked.citations] == sources
    assert asked.values["citation_source_recall"] == float("kite" in sources)


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I do not know the answer to that question based on the documents.",
        "The provided context does not contain any information about it.",
        "Empty Response",
        "Saya tidak tahu.",
        "",
        " ",
        "N/A",
    ],
)
def test_texts_that_are_no_answer(text: str) -> None:
    assert as_answerer(Engine(text))("?").answer is None
    assert as_answerer(lambda q: text)("?").answer is None


@pytest.mark.parametrize("text", ["Nobody knows.", "None of them, but Kelantan.", "I do not like it; Kelantan."])
def test_texts_that_are_an_answer(text: str) -> None:
    assert given_of(text).answer == text


def test_our_own_engines_keep_their_confidence() -> None:
    answer = GroundedAnswer(answer=None, confidence=0.2, failure_mode="low_confidence")
    for found in (answer, Response("I don't know.", metadata={"answer": answer.model_dump(mode="json")})):
        given = given_of(found)
        assert (given.answer, given.confidence, given.failure_mode) == (None, 0.2, "low_confidence")


@pytest.mark.parametrize("system", [object(), 3, None])
def test_what_is_no_system_is_refused(system: Any) -> None:
    with pytest.raises(ConfigError, match="is no search"):
        as_search(system)
    with pytest.raises(ConfigError, match="answers nothing"):
        as_answerer(system)
    with pytest.raises(ConfigError, match="not understood"):
        given_of(object())


def question(answerable: bool = True, **more: Any) -> GoldenQuestion:
    return GoldenQuestion("1", "?", answerable, "6" if answerable else "", (), "a.md", 3, "table", **more)


def test_what_an_abstention_is_worth() -> None:
    nothing = Given(None, failure_mode="low_confidence")
    missed, rightly = judge(question(), nothing), judge(question(answerable=False), nothing)
    assert (missed.right, missed.values["right"], missed.values["false_abstention"]) == (False, 0.0, 1.0)
    assert (missed.values["token_f1"], missed.values["citation_place"]) == (0.0, None)
    assert (rightly.right, rightly.values["abstention_recall"], rightly.values["right"]) == (True, 1.0, None)
    invented = judge(question(answerable=False), Given("6"))
    assert (invented.outcome, invented.values["right_if_answered"]) == ("wrong", 0.0)


def test_citations_are_compared_with_place_span_and_evidence() -> None:
    golden = question(span=Span("a.md", 10, 20), evidence=("the rate was 6",))
    cited = (
        GivenCitation("x/a.md", "the rate was 6", 3, 10, 25, verbatim=True, known=True),
        GivenCitation("b.md", "no", 3, 0, 10, verbatim=False, known=True),
    )
    values = judge(golden, Given("6", cited)).values
    assert values["citation_source_precision"] == values["citation_verbatim"] == 0.5
    assert values["citation_source_recall"] == values["citation_place"] == values["citation_id_valid"] == 1.0
    assert values["citation_span_f1"] == pytest.approx(2 * 10 / 25)
    assert values["citation_span_iou"] == pytest.approx(10 / 15)
    assert values["citation_word_f1"] == pytest.approx(2 * 3 / (3 + 4))
    assert judge(question(), Given("6", (GivenCitation("a.md", "6", 4),))).values["citation_place"] == 0.0


def test_confidence_counts_what_was_withheld() -> None:
    answers = {
        "a": Given("6", confidence=0.9),
        "b": Given(None, confidence=0.4, failure_mode="low_confidence", withheld="6"),
        "c": Given(None, confidence=0.3, failure_mode="low_confidence", withheld="7"),
        "d": Given(None, confidence=0.0, failure_mode="no_results"),
    }
    golden = [GoldenQuestion(id_, id_, True, "6", (), None, None, "x") for id_ in answers]
    found = evaluate_answers(lambda question: answers[question], golden)
    assert (found.confidence["n"], found.confidence["base_rate"], found.confidence["auroc"]) == (4, 0.5, 1.0)
    assert found.confidence["risk_coverage"][1] == [0.5, 0.0]
    assert found.metrics["right"] == 0.25
    assert found.confusion == {"x": {"low_confidence": 2, "no_results": 1, "right": 1}}
