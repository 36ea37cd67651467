.DEFAULT_GOAL := help
.PHONY: help build demo unit newer test check bench load sim mutants fuzz clean

# One way to compile for the programs, their checks and their tests, so that nothing is compiled twice: a dependency built
# another way is another one to the build cache. Only the race detector needs its own.
export CGO_ENABLED := 0
export GOFLAGS := $(shell go env GOFLAGS) -trimpath

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/flow-manager and bin/flowctl
	go build -o bin/ ./cmd/flow-manager ./cmd/flowctl

demo: ## Declare two flows, kill the manager, see that they do not notice (KEEP=1 leaves all running)
	@hack/demo.sh

unit: ## Run the packages' own tests: no engine, a minute or two
	go test ./api/... ./store/... ./controller/... ./sockets/... ./cmd/...

newer: ## Run the tests that depend on the engine on Debian 13's, which is installed beside this one (SECOND_ENGINE=newest: on the newest)
	@hack/newer.sh

test: ## Run all tests, those on a real Docker engine included
	@hack/test.sh

check: ## Check format, vet, staticcheck, go.mod and the layering
	@hack/check.sh

bench: ## Measure the manager beside its yardsticks and write BENCHMARKS.md (ten minutes of an idle machine; ROWS=declare,fanout or QUICK=1 for less)
	@hack/bench.sh

load: ## Show what 1,000 idle clients, 4,000 that vanish and some that never read cost (five minutes of an idle machine)
	SOCKETIO_TEST_LOAD=1 go test -count=1 -v -run 'Load|churn' ./api/socketio/

sim: ## Play SEEDS (2000) random lives of the reconcile loop against a faulty engine in fake time
	@hack/sim.sh

mutants: ## Plant known faults into copies of the loop and see the simulator find them
	@hack/mutants.sh

fuzz: ## Run every fuzz target for FUZZTIME (50000x: executions; or 10m)
	@hack/fuzz.sh

clean: ## Stop what a demo left running, remove what was built
	@hack/demo.sh stop
	rm -rf bin .flow test/js/node_modules
