# Each verb does its own set-up in .venv. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA := $(or $(RAG_PGVECTOR_DATA),../shared/data)
NEEDED := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
USED := $(VENV)/.used-$(NEEDED)
STAMP := $(VENV)/.installed-$(NEEDED)

export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
VERBS := $(shell sed -nE 's/^([a-z][a-z-]+):.*/\1/p' $(firstword $(MAKEFILE_LIST)))
.PHONY: $(VERBS)

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

INSTALL = $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

# what a user of the package has
$(USED): pyproject.toml constraints.txt
	$(INSTALL) '.[all]'
	@rm -f $(VENV)/.used-* && touch $@

# and what tests and benchmarks need besides
$(STAMP): pyproject.toml constraints.txt
	$(INSTALL) '.[dev]'
	@rm -f $(VENV)/.used-* $(VENV)/.installed-* && touch $(USED) $@

install: $(STAMP) ## make .venv with everything in it

demo: $(USED) ## embedded Postgres, bundled data, answers with citations
	@$(BIN)/rag-pgvector demo

test: $(STAMP) ## the whole test suite
	@scripts/install_test_tools.sh
	$(BIN)/python -m pytest -n 2

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

notebooks: $(STAMP) ## execute the notebooks from top to bottom
	$(BIN)/jupyter execute notebooks/*.ipynb

eval: $(STAMP) ## the project's own golden sets: numbers, reports, compared with the baselines
	$(BIN)/python -m rag_pgvector.evals.own --report build/eval

bench: $(filter bench-%,$(VERBS)) ## all benchmarks

bench-keyword: $(STAMP) ## BM25: latency, disk, writes, quality beside bm25s
	$(BIN)/python -m rag_pgvector.evals.bench.keyword --json $(if $(wildcard $(DATA)),--data $(DATA)) --rows 100000 --rows 1000000

bench-store: $(STAMP) ## add and search against langchain-postgres, LlamaIndex and raw psycopg
	$(BIN)/python -m rag_pgvector.evals.bench.store --json

bench-tenants: $(STAMP) ## search among 200 tenants against the peers' way
	$(BIN)/python -m rag_pgvector.evals.bench.tenants --json

bench-micro: $(STAMP) ## the measurements behind single choices: small writes, TOAST, an add without its graph
	$(BIN)/python -m rag_pgvector.evals.bench.micro --json

bench-search: $(STAMP) ## recall against latency under filters, against both peers
	$(BIN)/python -m rag_pgvector.evals.bench.search --json $(if $(wildcard $(DATA)),--data $(DATA))

bench-kinds: $(STAMP) ## what each kind of vector index costs and finds
	$(BIN)/python -m rag_pgvector.evals.bench.kinds --json $(if $(wildcard $(DATA)),--data $(DATA))

bench-ingest: $(STAMP) ## ingestion against the model's own speed and the frameworks' usual paths
	$(BIN)/python -m rag_pgvector.evals.bench.ingest --json $(if $(wildcard $(DATA)),--data $(DATA))

bench-chunking: $(STAMP) ## how well chunks fit what questions need, beside both frameworks' splitters
	$(BIN)/python -m rag_pgvector.evals.bench.chunking --json

bench-hybrid: $(STAMP) ## dense, keyword and hybrid search against the peers' hybrids, on sets in BEIR's layout
	$(BIN)/python -m rag_pgvector.evals.bench.hybrid --json $(if $(wildcard $(DATA)),--data $(DATA))

bench-evals: $(STAMP) ## search and answers of ours and the peers through one harness, on every set of RAG_PGVECTOR_DATA
	$(BIN)/python -m rag_pgvector.evals.bench.evals --data $(DATA) --limit 300 --out .benchmarks/evals --json

bench-answers: $(STAMP) ## answers from prose: confidence, calibration, abstention, beside the peers' similarity; and from tables
	$(BIN)/python -m rag_pgvector.evals.bench.answers --json --data $(DATA) --cache .benchmarks/answers

bench-scale: $(STAMP) ## 10,000, 100,000 and 1,000,000 chunks: build, disk, latency, queries a second
	$(BIN)/python -m rag_pgvector.evals.bench.scale --resume --json

prove-isolation: $(STAMP) ## 20,000 random operations of tenants; then the tests without each defence
	@scripts/install_test_tools.sh
	RAG_PGVECTOR_LONG=1 $(BIN)/python -m pytest tests/isolation/test_stateful.py tests/isolation/test_concurrency.py -s
	$(BIN)/python scripts/prove_isolation.py

peer-suite: $(STAMP) ## langchain-postgres's own tests against rag_pgvector.langchain
	$(BIN)/python scripts/peer_suite.py v2
	$(BIN)/python scripts/peer_suite.py v1

prove-ingest: $(STAMP) ## kill -9 at every exchange of an ingest with the server; then the ingest again
	RAG_PGVECTOR_LONG=1 $(BIN)/python -m pytest tests/faults/test_ingest_kill.py -s --timeout 1800

prove-keywords: $(STAMP) ## keyword search in a thousand random sets of open transactions against BM25 worked out in Python
	RAG_PGVECTOR_LONG=1 $(BIN)/python -m pytest tests/integration/test_keyword_transactions.py -s

clean: ## remove .venv and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
