# Anteroom. `make run` starts the demo hospital, `make test` proves the gateway
# against real parts; both install nothing that they do not name.

GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'
FUZZTIME ?= 20s
# In runs, not in time: at the end of a time the engine now and then fails by itself.
MAINFUZZ ?= 10000x

.PHONY: all build run test unit check attack faults mutate bench bench-compare fuzz golden image deb clean

all: build

build: ## the two binaries, static, into bin/
	$(BUILD) -o $(BIN)/anteroom ./cmd/anteroom
	$(BUILD) -o $(BIN)/anteroom-demo ./cmd/anteroom-demo

run: build ## a small hospital to click through
	$(BIN)/anteroom-demo --dir demo-data

test: ## everything, with the parts that it needs
	test/setup
	$(GO) vet ./...
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v /test/)
	$(GO) test -run TestObjects ./bench
	$(GO) test -race -timeout 20m -p 1 ./test/...
	$(GO) test -run '^$$' -fuzz '^FuzzSpelling$$' -fuzztime $(MAINFUZZ) -fuzzminimizetime 5x ./test/attack
	cd test/kubernetes && $(GO) vet ./... && $(GO) test ./...

unit: ## the packages' own tests: no browser, no other program
	$(GO) test -race $$($(GO) list ./... | grep -v /test/)

check: ## what a change must pass before it lands
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) mod verify
	$(MAKE) lint
	$(MAKE) test

attack: ## every case of the attack catalogue, and the verdict on each number
	test/setup
	cd test/attack && ANTEROOM_CATALOGUE=1 $(GO) test -race -count=1 -timeout 20m # from there, since its table is shown then

faults: ## every reliability promise: what was measured, held or not; FAULTS=long takes its time
	cd test/faults && ANTEROOM_FAULTS=$(FAULTS) $(GO) test -count=1 -timeout 3h

mutate: ## removes each named guard in turn and expects its test to fail
	$(GO) run ./test/mutate

bench: ## what the gateway costs, against a bare proxy in the same run; BENCH=long takes its time
	$(GO) build -o $(BIN)/bench ./bench && BENCH=$(BENCH) $(BIN)/bench -json $(BIN)/bench.json
	$(GO) run ./bench/year -records $(if $(filter long,$(BENCH)),$(YEAR),1000000)

YEAR ?= 30000000

.PHONY: bench-audit
bench-audit: ## a year of 30,000,000 audit records, written, proven and searched: 28 GB in TMPDIR, deleted afterwards
	$(GO) run ./bench/year -records $(YEAR)

bench-compare: ## each step of a request at BASE (the commit before, unless said) against HEAD
	bench/compare $(or $(BASE),HEAD~1)

fuzz: ## every fuzz test in turn, $(FUZZTIME) each; make test runs their seeds, and the main property for $(MAINFUZZ)
	test/fuzz $(FUZZTIME)

.PHONY: pictures

pictures: ## rewrites the pictures of the gateway's pages; look at the difference before you commit it
	test/setup
	ANTEROOM_SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 ./test/stories -run TestPages

golden: ## rewrites the golden files; read the difference before you commit it
	$(GO) test ./pages ./audit ./inject -update
	$(GO) test ./config -run TestDocs -update
	cd test/kubernetes && $(GO) test . -run TestManifests -update

image: ## the container image, by any builder that reads a Dockerfile
	docker build -t anteroom:$(VERSION) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) .

deb: build ## the Debian package, into dist/
	release/deb dist $(VERSION) $$(dpkg --print-architecture) $(BIN)/anteroom

clean:
	rm -rf $(BIN) dist

.PHONY: lint scan h2spec licences sbom release

lint: ## staticcheck, gosec and deadcode, at the versions of release/lint
	release/lint

scan: ## what takes minutes or comes from elsewhere: testssl.sh, h2spec, gcore
	test/setup testssl.sh gdb
	$(GO) test -tags scan -count=1 -timeout 30m -v -run 'Testssl|H2spec|CoreDump' ./test/protocol ./test/canary

h2spec: ## HTTP/2 by h2spec, beside plain net/http in the same run
	$(GO) test -tags scan -count=1 -v -run H2spec ./test/protocol

PARTS = $(GO) run ./release/parts -version $(VERSION) -time $$(git log -1 --format=%cI)

sbom: build ## what the binaries are made of, in CycloneDX
	$(PARTS) -sbom $(BIN) $(BIN)/anteroom $(BIN)/anteroom-demo

licences: build ## and under which licences; one that is unknown, or may not be passed on, is an error
	$(PARTS) -licences $(BIN)/THIRD-PARTY-LICENCES.txt $(BIN)/anteroom $(BIN)/anteroom-demo

release: check scan ## all checks, then dist/: built twice and compared, bills, licences, checksums
	VERSION=$(VERSION) COMMIT=$(COMMIT) release/release
