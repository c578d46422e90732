# Run `make help`. Needs Go (go.mod says which), make and bash; `make test` as root
# on Debian installs the programs that it tests with, and Wine into a folder of its own.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DISTVERSION ?= 0.1.0
FUZZTIME ?= 30s
BENCHTIME ?= 1s
SOAK ?= 10m
# More flags of test/bench, such as BENCH='-only tcp -rounds 3'.
BENCH ?=
# Everything without cgo uses the same flags, so that the targets share one cache.
BUILD := -trimpath -buildvcs=false
LDFLAGS := -s -w -X main.version=$(VERSION)
COMMANDS := ./cmd/reach64 ./cmd/reach64-lab
SYSTEMS := linux windows darwin
PROCESSORS := amd64 arm64
# The race detector needs cgo and a C compiler.
RACE := $(shell command -v $$(go env CC) >/dev/null 2>&1 && go env CGO_ENABLED | grep -q 1 && echo -race)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 12

.PHONY: build
build: export CGO_ENABLED = 0
build: ## build the commands for this system into bin/
	@mkdir -p bin
	go build $(BUILD) -ldflags '$(LDFLAGS)' -o bin/ $(COMMANDS)

.PHONY: cross
cross: export CGO_ENABLED = 0
cross: ## build the commands for all systems and processors into bin/OS-ARCH/
	@for os in $(SYSTEMS); do for arch in $(PROCESSORS); do \
		echo "build $$os/$$arch"; mkdir -p bin/$$os-$$arch; \
		GOOS=$$os GOARCH=$$arch go build $(BUILD) -ldflags '$(LDFLAGS)' -o bin/$$os-$$arch/ $(COMMANDS); \
	done; done

.PHONY: check
check: fmt vet staticcheck arch ## format, vet and staticcheck for all systems, the rules of ARCHITECTURE.md

.PHONY: fmt
fmt:
	@bad=$$(gofmt -l .); \
	if [ -n "$$bad" ]; then echo "not formatted by gofmt:" $$bad; exit 1; fi

.PHONY: vet
vet: export CGO_ENABLED = 0
vet:
	@for os in $(SYSTEMS); do for arch in $(PROCESSORS); do \
		echo "vet $$os/$$arch"; GOOS=$$os GOARCH=$$arch go vet $(BUILD) ./...; \
	done; done

# go tool runs a tool built for this system; what it looks at is for GOOS.
.PHONY: staticcheck
staticcheck: export CGO_ENABLED = 0
staticcheck:
	@tool=$$(go tool -n staticcheck); \
	for os in $(SYSTEMS); do echo "staticcheck $$os"; GOOS=$$os "$$tool" ./...; done

.PHONY: arch
arch:
	go test -count=1 ./test/arch

.PHONY: test
test: peers ## run all tests; the last line counts them
	@$(if $(RACE),,echo "no C compiler: the race detector is off";) \
	code=0; { \
		go test -json $(RACE) -count=1 -timeout 10m $$(go list ./... | grep -v '/test/netns$$') || code=$$?; \
		test/netns/run.sh || code=$$?; \
		exit $$code; \
	} | go run ./test/testcount

.PHONY: peers
peers:
	@test/netns/install-peers.sh || echo "install-peers: could not install all; tests that need them skip"
	@test/wine/install.sh >/dev/null || echo "install: could not make the tree with Wine; tests that need it skip"

.PHONY: demo
demo: build ## back up through an IPv6-only network, with and without reach64
	@bin/reach64-lab demo

.PHONY: lab
lab: build ## a shell inside the lab network
	@bin/reach64-lab shell

# The bench measures the binary that it stands beside.
.PHONY: bench
bench: build peers ## measure the datapaths beside native IPv6 and tayga (as root; QUICK=1: 3 minutes)
	CGO_ENABLED=0 go build $(BUILD) -o bin/ ./test/bench
	bin/bench $(if $(QUICK),-quick) $(BENCH)

.PHONY: soak
soak: build peers ## mixed traffic on each datapath for SOAK, 10 minutes by default (as root)
	CGO_ENABLED=0 go build $(BUILD) -o bin/ ./test/bench
	bin/bench -soak $(SOAK) $(BENCH)

.PHONY: microbench
microbench: ## run the Go benchmarks, and measure footprint and start in the lab (as root)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	go test -count=1 -v -run 'TestIdleFootprint|TestTimeFromRAToHandshake' ./test/netns

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@grep -rHoE '^func Fuzz[A-Za-z0-9_]+' --include='*_test.go' . | sort | \
	while IFS=: read -r file name; do \
		name=$${name#func }; echo "fuzz $$(dirname "$$file") $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	done

.PHONY: generate
generate: ## make generated files anew (BPF objects need clang, llvm and libbpf-dev)
	go generate ./...

.PHONY: clean
clean: ## remove what was built
	rm -rf bin artifacts

.PHONY: dist
dist: ## build all packages into dist/ (DISTVERSION=1.2.3; MSIs need wixl and msitools, see installer/README.md)
	go run ./installer/dist -version $(DISTVERSION) -out dist
