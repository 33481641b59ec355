# Everything one does with Tutti, from a bare machine on. The work is done by the program `lab`
# (tests/lab); this file builds it and calls it.
# On a cluster of your own: its kubeconfig context, a registry it pulls from, and the apps' DNS zone
# (without one the links lead to your own machine, to which a port is forwarded).
CONTEXT  ?=
REGISTRY ?=
ZONE     ?=
# Of the lab: how many nodes. Of `make logs`: whose. Of `make test`: also what has passed before.
NODES    ?=
OF       ?=
AGAIN    ?=

# Where programs that take minutes to build are kept; the lab uses the same folder.
export TUTTI_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tutti
# rustup's folder is not on PATH in every shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET     := $(or $(CARGO_TARGET_DIR),target)
LAB        := $(TARGET)/debug/lab
# The lab's helm, and the API server that charts are rendered for.
HELM_VERSION := $(shell sed -n 's/^const HELM_VERSION: &str = "\(.*\)";/\1/p' tests/lab/src/programs.rs)
HELM       := $(TUTTI_CACHE)/helm@$(HELM_VERSION)/helm
RENDER     := $(HELM) template --namespace tutti-system --kube-version 1.35
CARGO_DENY := $(TUTTI_CACHE)/cargo-deny@0.20.2/bin/cargo-deny
# For tests that need no lab.
ONCE       := $(if $(AGAIN),,--config "target.'cfg(unix)'.runner = '$(CURDIR)/scripts/unless-passed'")
CLUSTER    := $(and $(CONTEXT),--context $(CONTEXT)) $(and $(REGISTRY),--registry $(REGISTRY))
ZONED      := $(and $(ZONE),--zone $(ZONE))

.DEFAULT_GOAL := help
.PHONY: help up down stop status env logs images test test-long lint fmt bench generate tools lab binaries lint-generated lint-plan lint-deny

help:
	@echo "Tutti. From a bare machine: make up"
	@awk -F ':.*## ' '/^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "On a cluster of your own: make up CONTEXT=<kubeconfig context> REGISTRY=<host/path> [ZONE=<DNS zone>]"

##@ Run it
up: lab ## Start a Kubernetes, install Tutti and a first WordPress; ends with the link
	$(if $(CONTEXT)$(REGISTRY),$(LAB) check $(CLUSTER) $(ZONED),$(LAB) up $(and $(NODES),--nodes $(NODES)))
	@$(MAKE) --no-print-directory binaries
	$(LAB) images $(CLUSTER)
	$(LAB) install $(CLUSTER) $(ZONED)

down: lab ## End the lab and remove its data; the cache stays
	$(LAB) down $(CLUSTER)

stop: lab ## End the lab but keep its data; `make up` resumes
	$(LAB) stop $(CLUSTER)

status: lab ## What runs, where, and how much memory it takes
	@$(LAB) status

env: lab ## Shell lines for the lab's kubectl and helm: eval "$(make -s env)"
	@$(LAB) env

logs: lab ## Logs of the operator, or of OF=gateway, OF=idm, OF=<app instance>
	@$(LAB) logs $(and $(CONTEXT),--context $(CONTEXT)) $(OF)

images: lab binaries ## Build and push all images: operator, gateway, databases, apps
	$(LAB) images $(CLUSTER)

##@ Change it
# Every test program is named once: what needs nothing first, then what makes its own server, then
# the stories on the lab, at last those that want it for themselves. Tests that wait more than they work
# run beside each other; faults and stories together would keep two cores so busy that what has to happen
# within seconds does not. What needs no lab and has passed before is not run again until something of it changes.
test: lab ## Every test but the long ones, the quick ones first; starts the lab when it is needed
	cargo test $(ONCE) --lib --bins --test plan --test schema --test gateway --test tokens --test acl
	cargo test $(ONCE) --package tiltfile
	$(MAKE) up CONTEXT= REGISTRY= ZONE=
	RUST_TEST_THREADS=10 cargo test $(ONCE) --no-fail-fast --test api_server --test service --test faults --test alerts
	lines=$$($(LAB) env) && eval "$$lines" && RUST_TEST_THREADS=6 cargo test --no-fail-fast --test journeys --test z_alone --test 'zz*'
	@echo "make test: all tests passed"

test-long: test ## Also the tests that take long: more of each fault, and worse weather
	TUTTI_LONG=1 cargo test --test plan -- domain::worlds
	TUTTI_LONG=1 cargo test --test tokens -- mutations
	TUTTI_LONG=1 cargo test --package faults --no-fail-fast -- --include-ignored

lint: lint-generated lint-plan lint-deny ## Formatting, clippy, dependencies, generated files, charts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@echo "make lint: nothing to complain about"

fmt: tools ## Format the code
	cargo fmt --all

bench: lab ## Measure, as docs/benchmarks.md says; ONLY=provision|site|crowd|certificates|changes|restart|traffic for one; site needs the lab
	cargo build --release --package operator --package gateway --package idm --package bench
	$(TARGET)/release/bench $(ONLY)

generate: OUT ?= .
generate: tools $(HELM) ## Write generated files anew: CRDs, the operator's roles, rendered charts
	rm -f $(OUT)/crds/yaml/* $(OUT)/charts/tutti-crds/files/* $(OUT)/charts/rendered/*
	cargo run --quiet --bin crdgen $(OUT)/crds/yaml > /dev/null
	cp $(OUT)/crds/yaml/*.yaml $(OUT)/charts/tutti-crds/files
	cargo run --quiet --bin operator -- rbac cluster > $(OUT)/charts/tutti/files/operator-cluster-role.yaml
	cargo run --quiet --bin operator -- rbac namespace > $(OUT)/charts/tutti/files/operator-role.yaml
	$(RENDER) tutti-crds $(OUT)/charts/tutti-crds > $(OUT)/charts/rendered/tutti-crds.yaml
	$(RENDER) tutti $(OUT)/charts/tutti --values $(OUT)/charts/tutti/ci/default-values.yaml > $(OUT)/charts/rendered/tutti.yaml

# Steps of the targets above.
tools:
	@scripts/tools

# The first time it takes minutes and shows them. By the binary's name and not by its package's: so the
# dependencies have the features that the tests have, and are built once.
lab: tools
	@cargo build --bin lab $(if $(filter status env logs,$(MAKECMDGOALS)),--quiet)

# Each image is built from a folder of its own that holds its binary and its Dockerfile.
binaries: tools
	cargo build --release --package operator --package gateway --package idm
	@install -D --target-directory $(TARGET)/image/operator $(TARGET)/release/operator operator/Dockerfile
	@install -D --target-directory $(TARGET)/image/gateway $(TARGET)/release/gateway services/gateway/Dockerfile
	@install -D --target-directory $(TARGET)/image/idm $(TARGET)/release/idm services/idm/Dockerfile

# Everything is generated a second time, into a copy.
lint-generated: tools $(HELM)
	rm -rf $(TARGET)/generated && mkdir -p $(TARGET)/generated/crds/yaml && cp -r charts $(TARGET)/generated
	@$(MAKE) --silent generate OUT=$(TARGET)/generated
	@diff -r crds/yaml $(TARGET)/generated/crds/yaml && diff -r charts $(TARGET)/generated/charts || { echo "generated files are out of date: run make generate"; exit 1; }
	for values in charts/tutti/ci/*.yaml; do $(HELM) lint --strict --quiet charts/tutti --values $$values || exit 1; done
	$(HELM) lint --strict --quiet charts/tutti-crds

# `plan` decides and does nothing else: what could do I/O must not be among its dependencies.
lint-plan: tools
	cargo check --package plan
	@! cargo tree --package plan --edges normal --prefix none | grep -E '^(tokio|hyper|kube|kube-client|kube-runtime|reqwest) ' || { echo "operator/plan must not depend on the crates above"; exit 1; }

# Advisories need their database from the network; everything else is checked without it, too.
lint-deny: tools $(CARGO_DENY)
	@if $(CARGO_DENY) fetch db; then $(CARGO_DENY) check; else echo "!!! The advisory database cannot be fetched: ADVISORIES WERE NOT CHECKED."; $(CARGO_DENY) check bans licenses sources; fi

$(HELM):
	@command -v go > /dev/null || { echo "helm is missing: make up builds it, or this does when Go is installed"; exit 1; }
	CGO_ENABLED=0 GOBIN=$(@D) go install -trimpath -ldflags '-s -w' helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)
$(CARGO_DENY):
	cargo install cargo-deny --quiet --locked --version 0.20.2 --root $(@D:/bin=)
