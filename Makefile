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
build: ## Build bin/clic, bin/clic-master and bin/clic-stage
	$(BUILD) -o bin/ ./shell/clic ./master/clic-master
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./shell/clic-stage

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
test: ## Set-up, verify, race tests, the main fuzz targets for a minute, the others for 5 s (test-cluster, test-hdfs and test-spark have those on the real ones)
test: setup
	scripts/verify.sh
	$(GO) test -race -timeout 20m ./...
	FUZZTIME=$${FUZZTIME:-60s} FUZZ='$(MAIN_FUZZ)' scripts/fuzz.sh
	FUZZTIME=$${FUZZTIME:-5s} FUZZ_NOT='$(MAIN_FUZZ)' scripts/fuzz.sh

# What strangers send: plans, expressions, Thrift frames, configuration.
MAIN_FUZZ := ^(dag/plan FuzzParse|dag/plan/expr FuzzExpr|master/rpc FuzzServer|master/rpc FuzzRelay|master FuzzConfig)$$

.PHONY: test-containers
test-containers: ## The store's tests against Redis in containers (needs a Docker engine; CLIC_REDIS_IMAGES=…)
	cd scripts/containers && $(GO) test -count=1 -timeout 20m ./...

.PHONY: test-cluster
test-cluster: ## The tests that need a Kubernetes cluster, on one of this machine (PACKAGES=./executors/kube for some)
	scripts/cluster-test.sh $(PACKAGES)

.PHONY: cluster-up
cluster-up: ## A real Kubernetes of one node on this machine: built once, up in seconds (scripts/cluster.sh help)
	scripts/cluster.sh up

.PHONY: cluster-down
cluster-down: ## End that cluster and remove every trace of it
	scripts/cluster.sh down

.PHONY: test-hdfs
test-hdfs: ## The tests that need an HDFS, on real ones of this machine, which they start (PACKAGES=./master/dfs/hdfs for some)
	scripts/hdfs-test.sh $(PACKAGES)

.PHONY: hdfs-up
hdfs-up: ## A real HDFS on this machine: a namenode, two datanodes, HttpFS (scripts/hdfs.sh for more)
	scripts/hdfs.sh up

.PHONY: hdfs-down
hdfs-down: ## End that HDFS and remove every trace of it
	scripts/hdfs.sh down

.PHONY: test-spark
test-spark: ## The tests of Spark, on the real one: as processes of this machine, and in the cluster for tests
	scripts/spark-test.sh

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
install: build ## Install the binaries into PREFIX/bin (for root /usr/local/bin, else ~/.local/bin)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install bin/clic bin/clic-master bin/clic-stage "$(DESTDIR)$(PREFIX)/bin"

# Where the programs of the image go, the archive that it becomes, and its name.
IMAGE_FILES ?= build/image
IMAGE ?= build/clic.tar
IMAGE_TAG ?= clic:$(VERSION)

# The programs as both recipes of the image build them: static, with the time zones in them.
.PHONY: image-files
image-files:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags timetzdata -ldflags "-s -w -X main.version=$(VERSION)" \
		-o $(IMAGE_FILES)/ ./shell/clic ./shell/clic-stage ./master/clic-master

.PHONY: image
image: image-files ## Make build/clic.tar, the image of deploy/Dockerfile, without a Docker engine (IMAGE_TAG=NAME:TAG)
	@mkdir -p $(dir $(IMAGE))
	$(GO) run ./scripts/images -o $(IMAGE) -tag $(IMAGE_TAG) \
		-file $(IMAGE_FILES)/clic:/usr/local/bin/clic:0755 \
		-file $(IMAGE_FILES)/clic-master:/usr/local/bin/clic-master:0755 \
		-file $(IMAGE_FILES)/clic-stage:/clic-stage:0755 \
		-file /etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:0644 \
		-file deploy/image/passwd:/etc/passwd:0644 \
		-file LICENSE:/usr/share/doc/clic/LICENSE:0644 \
		-env PATH=/usr/local/bin -env HOME=/var/lib/clic -port 7777 -port 8080 \
		-label org.opencontainers.image.title=clic \
		-label org.opencontainers.image.description="Runs DAGs of stages: the master, the shell, and the helper in the pods of stages" \
		-label org.opencontainers.image.source=https://github.com/clic-orchestrator/clic \
		-label org.opencontainers.image.licenses=Apache-2.0 \
		-label org.opencontainers.image.version=$(VERSION) \
		-user 65532:65532 -entrypoint /usr/local/bin/clic-master

.PHONY: clean
clean: ## Remove what was built here; caches outside of the checkout stay
	rm -rf bin build
