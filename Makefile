# What people run in this project. `make` alone prints the list.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# Where `make install` puts the binaries: for everybody if root does it, else for the one who does.
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
ROUNDS ?= 50
SEEDS ?= 10000

# The version that the binaries tell: the nearest tag and what came after it. Stamped here, so Go's own stamping is off: it fails
# where the checkout belongs to another user.
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD := $(GO) build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)"

##@ Everyday

.PHONY: help
help: ## Print this list
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make TARGET [VARIABLE=value]" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/clic and bin/clic-master
	$(BUILD) -o bin/ ./shell/clic ./master/clic-master

.PHONY: demo
demo: ## Start a standalone master, run a real plan on it and show what happens
	scripts/demo.sh

.PHONY: fmt
fmt: ## Format all Go code
	"$$(scripts/tools.sh gofumpt)/gofumpt" -w .

.PHONY: check
check: ## The inner loop: formatting, vet, layers, short tests (under 2 minutes once built)
	scripts/verify.sh gofumpt
	$(GO) vet ./...
	$(GO) test -short ./...

##@ Everything

.PHONY: test
test: ## All there is to pass: set-up, verify, race tests, the main fuzz targets for a minute, the others for 10 s
test: setup
	scripts/verify.sh
	$(GO) test -race -timeout 20m ./...
	FUZZTIME=$${FUZZTIME:-60s} FUZZ='$(MAIN_FUZZ)' scripts/fuzz.sh
	FUZZTIME=$${FUZZTIME:-10s} FUZZ_NOT='$(MAIN_FUZZ)' scripts/fuzz.sh

# What strangers send: plans, expressions, Thrift frames, configuration.
MAIN_FUZZ := ^(dag/plan FuzzParse|dag/plan/expr FuzzExpr|master/rpc FuzzServer|master/rpc FuzzRelay|master FuzzConfig)$$

.PHONY: test-containers
test-containers: ## The store's tests against Redis in containers (needs a Docker engine; CLIC_REDIS_IMAGES=…)
	cd scripts/containers && $(GO) test -count=1 -timeout 20m ./...

.PHONY: setup
setup: ## Install the Debian packages that are missing here (nothing if all are there)
	scripts/setup.sh

.PHONY: verify
verify: ## Formatting, generated files, layers, licences, modules, scripts, golangci-lint
	scripts/verify.sh

.PHONY: fuzz
fuzz: ## Every fuzz target for a minute each (FUZZTIME=10m for longer, FUZZ=REGEXP for some)
	FUZZTIME=$${FUZZTIME:-60s} scripts/fuzz.sh

.PHONY: sim
sim: ## Masters, Redis, executors and clients in one simulated process, with faults at every boundary (SEEDS=10000)
	$(GO) test ./master/sim -run 'TestSim$$' -count=1 -v -timeout 120m -seeds $(SEEDS)

.PHONY: chaos
chaos: ## Kill the master again and again under a big plan, and look for anything lost (ROUNDS=50)
	CLIC_CHAOS_ROUNDS=$(ROUNDS) $(GO) test -tags chaos -run TestChaos -count=1 -v -timeout 60m ./master/chaos/...

.PHONY: bench
bench: ## Measure, one line per figure (on a quiet machine)
	scripts/bench.sh

.PHONY: cover
cover: ## Test coverage by function, and bin/cover.html
	mkdir -p bin
	$(GO) test -short -coverprofile bin/cover.out -coverpkg ./... ./...
	$(GO) tool cover -html bin/cover.out -o bin/cover.html
	$(GO) tool cover -func bin/cover.out | tail -1

##@ Other

.PHONY: generate
generate: ## Make all generated files anew: idl/gen, the state diagram
	scripts/generate.sh

.PHONY: install
install: build ## Install both binaries into PREFIX/bin (for root /usr/local/bin, else ~/.local/bin)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install bin/clic bin/clic-master "$(DESTDIR)$(PREFIX)/bin"

.PHONY: clean
clean: ## Remove what was built here; caches outside of the checkout stay
	rm -rf bin
