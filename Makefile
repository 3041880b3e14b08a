# `make` lists the targets. Everything runs in .venv, which a target that needs it creates from uv.lock.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
# Options of the demo: make demo ARGS="--events 20000 --seed 7"
ARGS ?=
# Each process has its own Kafka and PostgreSQL, which all tests of a file share.
# One more than cores, up to four: tests wait for a third of their time.
# Files run in the order of their folders: short ones come last, so that no long file runs alone at the end.
PROCESSES := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores + 1 : 4)))
SIDE_BY_SIDE := --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
# The folder that sbom writes to.
DIST ?= dist
# What the names of images begin with, and where their source is: make images IMAGES=registry.example.com/nerava- SOURCE=https://...
IMAGES ?= nerava-
SOURCE ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check pythons coverage long simulate mutants oldest matrix containers bench docs recording stack up down schemas settings house audit sbom images clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from uv.lock, and nothing else

$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@if command -v uv >/dev/null; then uv sync --frozen --compile-bytecode --python "$$(command -v $(PYTHON))"; \
	else $(PYTHON) -m venv .venv-uv && .venv-uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) && \
	  .venv-uv/bin/uv sync --frozen --compile-bytecode --python "$$(command -v $(PYTHON))"; fi
	@touch $@

demo: $(READY) ## play a day of traffic from PostgreSQL to HubSpot, and account for every event
	@$(BIN)/python -m sandbox demo $(ARGS)

test: $(READY) ## run the tests, on a real Kafka and a real PostgreSQL; the longest are in make long
	@$(BIN)/pytest $(SIDE_BY_SIDE)

lint: $(READY) ## format, lint, types and import contracts
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/shellcheck --external-sources scripts/*.sh docker/*.sh .ci/run
	@$(BIN)/hadolint docker/*.Dockerfile
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m upkeep house --quiet

check: lint ## lint, and the fast tests; needs no service
	@$(BIN)/pytest $(SIDE_BY_SIDE) tests/unit tests/contract

coverage: $(READY) ## say which lines of the code that moves events the unit and contract tests do not reach
	@$(BIN)/pytest $(SIDE_BY_SIDE) tests/unit tests/contract --cov

pythons: $(READY) ## run the unit tests on each promised Python, 3.11 to 3.14, that this machine has
	@$(BIN)/python -m upkeep pythons

long: export NERAVA_TEST_EXAMPLES := all
long: $(READY) ## run the tests that CI has no time for: kill things in the middle, and account for every event
	@$(BIN)/pytest tests/chaos -m "chaos or not chaos" --durations 0 --durations-min 5; failed=$$?; \
	$(BIN)/pytest --ignore tests/chaos -m chaos --durations 0 --durations-min 5 && exit $$failed

simulate: $(READY) ## crash and restart everything on virtual time, by seed (make simulate ARGS="--seeds 10000 --first 5000")
	@$(BIN)/python -m tests.simulation --seeds 1000 $(ARGS)

mutants: $(READY) ## show that the simulation finds each mutation of the code (make mutants ARGS="lease-off --seeds 200")
	@$(BIN)/python -m tests.simulation.mutants $(ARGS)

oldest: export NERAVA_SANDBOX_POSTGRES := oldest
oldest: export NERAVA_SANDBOX_KAFKA := oldest
oldest: $(READY) ## run the producer's tests that ask most of the servers, and one end to end, on the oldest promised ones
	@$(BIN)/pytest $(SIDE_BY_SIDE) -m "not chaos and not slow" tests/end_to_end/test_modes.py tests/integration/backend \
	  $(wildcard tests/integration/outbox/test_track_*.py) $(patsubst %,tests/integration/%.py,outbox/test_migration outbox/test_outbox \
	  outbox/test_pooler relay/test_relay relay/test_relay_lock relay/test_relay_pooler relay/test_refusals relay/test_record_contract \
	  relay/test_topics intake/test_intake intake/test_intake_idempotency)

matrix: $(READY) ## run the whole path on each promised version of the servers (make matrix ARGS="--postgres 14 --pooler transaction --kafka oldest")
	@$(BIN)/python -m upkeep matrix $(ARGS)

containers: $(READY) ## build the images and test them in containers; needs a Docker engine, or root on Debian (make containers ARGS=long)
	@$(BIN)/python -m upkeep containers $(ARGS)

bench: $(READY) ## measure beside a peer or a known ceiling (make bench ARGS="drain relaying")
	@$(BIN)/python -m bench $(ARGS)

docs: $(READY) ## build the documents as a site in dist/docs, and fail at a broken link
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

recording: $(READY) ## play the demo, and write what the terminal showed to docs/pictures/demo.svg
	@$(BIN)/python -m upkeep recording

stack: $(READY) ## start Kafka, PostgreSQL and the HubSpot simulator, until Ctrl-C
	@$(BIN)/python -m sandbox up

up: ## the same in containers, with both services (make up ARGS="--profile monitoring --scale consumer=3")
	@docker/up.sh $(ARGS)

down: ## stop the containers of all profiles; their data stays (make down ARGS=--volumes removes it too)
	@docker compose --profile "*" down --remove-orphans $(ARGS)

schemas: $(READY) ## write schemas/published, for readers in any language; refuses what would break one
	@$(BIN)/python -m schemas

settings: $(READY) ## write docs/settings.md, .env.example and the schema of the chart's values from the settings' classes
	@$(BIN)/python -m upkeep settings

house: $(READY) ## measure how the code is laid out (make house ARGS=PATH for another checkout)
	@$(BIN)/python -m upkeep house $(ARGS)

audit: $(READY) ## look up known vulnerabilities of everything in uv.lock (offline: make audit ARGS=path/to/all.zip)
	@$(BIN)/python -m upkeep advisories $(ARGS)

sbom: $(READY) ## list what each image is made of, from uv.lock, as CycloneDX in dist/
	@mkdir -p "$(DIST)"
	@for service in producer consumer console simulator; do \
	  case $$service in simulator) of="--only-group simulator";; \
	    *) of="--no-dev --package nerava-lifecycle-services --extra $$service";; esac; \
	  $(BIN)/uv export --quiet --frozen $$of --format cyclonedx1.5 \
	    --preview-features sbom-export --output-file "$(DIST)/sbom-$$service.json" >/dev/null && \
	  echo "$(DIST)/sbom-$$service.json" || exit 1; \
	done

images: sbom ## build the four images, labelled with version and commit, and list what they are made of
	@version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); \
	revision=$$(git describe --always --dirty --abbrev=40 --exclude '*'); \
	for service in producer consumer console simulator; do \
	  image="$(IMAGES)$$service:$$version"; \
	  docker build --quiet --file docker/$$service.Dockerfile --tag "$$image" --build-arg VERSION="$$version" \
	    --build-arg REVISION="$$revision" --build-arg CREATED="$$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
	    $(if $(SOURCE),--label org.opencontainers.image.source="$(SOURCE)") . >/dev/null && \
	  echo "$$image of $$revision" || exit 1; \
	done

clean: ## remove the environment and what the sandbox left
	@rm -rf .venv .venv-* .sandbox .pytest_cache .coverage .mypy_cache .ruff_cache .hypothesis
