.DEFAULT_GOAL := help
.PHONY: help build demo test check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build bin/flow-manager and bin/flowctl
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/flow-manager ./cmd/flowctl

demo: ## Declare two flows, kill the manager, see that they do not notice (KEEP=1 leaves all running)
	@hack/demo.sh

test: ## Run all tests, those on a real Docker engine included
	@hack/test.sh

check: ## Check format, vet, staticcheck, go.mod and the layering
	@hack/check.sh

clean: ## Stop what a demo left running, remove what was built
	@hack/demo.sh stop
	rm -rf bin .flow test/js/node_modules
