GO          ?= go
FUZZTIME    ?=
KERNELS     ?=
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2
TESTSUM      = $(GO) run ./internal/testsum $(if $(TOTAL),-total $(TOTAL))
QEMU_ARCHES ?= arm64 s390x riscv64

.PHONY: help demo check api test deaf bench bench-observe lint ports race cross fuzz matrix matrix-arm64 catalog-check module generate adversary clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read n t; do printf '  make %-14s %s\n' "$$n" "$$t"; done

demo: ## the running kernel's path from a write to the waiter that it wakes
	@$(GO) run ./cmd/efdtrace demo

check: ## gofmt, go vet and short tests of what has changed since the branch left main: for between two edits
	@$(GO) run ./internal/check

test: ## every test that this machine and user can run; says what was skipped and why
	@TESTSUM_LABEL="$${TESTSUM_LABEL:-test}" $(TESTSUM) -timeout 10m ./...

deaf: ## the tests of watchpoints, demo and verify on a processor whose watchpoints never fire
	@$(GO) build -o bin/deaf ./internal/testenv/deaf
	@EFD_REQUIRE="$$(bin/deaf -- $(GO) run ./internal/probe)" TESTSUM_LABEL="no watchpoint fires" bin/deaf -- \
		$(TESTSUM) -count=1 -timeout 4m ./internal/ktrace/source/watch ./internal/ktrace/access ./internal/ktrace/tiers ./cmd/efdtrace
	@EFD_REQUIRE= TESTSUM_LABEL="no watchpoint fires: live" bin/deaf -- \
		$(TESTSUM) -count=1 -timeout 4m -run 'Observe|ThisKernel|RecordAndReplay' . ./internal/scenario/lab
	@bin/deaf -- $(GO) run ./cmd/efdtrace demo
	@bin/deaf -- $(GO) run ./cmd/efdtrace verify

bench: ## the handles against C, x/sys/unix and os.File, as ratios of one run
	@cd internal/bench && $(GO) run .

bench-observe: ## what it costs a program to be observed: efd, perf, strace, as ratios of one run
	@cd internal/bench && $(GO) run . -observe

lint: ## gofmt, go vet, go mod tidy, the words of CONTRIBUTING.md, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt:"; gofmt -l .; exit 1; }
	$(GO) vet ./... && $(GO) -C internal/bench vet ./... && $(GO) -C internal/matrix vet ./...
	$(GO) mod tidy -diff
	$(GO) test -run '^TestWords$$' ./internal/house
	$(GO) run $(STATICCHECK) ./...

generate: ## what is generated, anew: the BPF objects, which take clang, llvm-strip and libbpf's headers
	$(GO) generate ./internal/ktrace/source/bpf

api: ## the interface compared with the last version's; UPDATE=1 records it in docs/api
	@UPDATE="$(UPDATE)" internal/apicheck/apicheck.sh

ports: ## go vet for every Linux port of Go
	@set -e; for a in $$($(GO) tool dist list | sed -n 's,^linux/,,p'); do \
		echo "vet linux/$$a"; CGO_ENABLED=0 GOOS=linux GOARCH=$$a $(GO) vet ./...; done

race: ## the tests under the race detector, also with GOMAXPROCS=1
	@TESTSUM_LABEL="race" $(TESTSUM) -timeout 10m -race -short ./...
	@TESTSUM_LABEL="GOMAXPROCS=1" GOMAXPROCS=1 $(TESTSUM) -short .

cross: ## the tests natively as 386, and under qemu-user as arm64, s390x and riscv64
	@$(GO) build -o bin/testsum ./internal/testsum
	@status=0; TESTSUM_LABEL="386" GOARCH=386 bin/testsum $(if $(TOTAL),-total $(TOTAL)) -short ./... || status=1; \
	for a in $(QEMU_ARCHES); do $(MAKE) --no-print-directory cross-$$a || status=1; done; exit $$status

# An emulated processor may be too slow for a test once; twice is a failure.
cross-%:
	@CGO_ENABLED=0; GOARCH=$*; TESTSUM_LABEL="$*, qemu-user"; export CGO_ENABLED GOARCH TESTSUM_LABEL; \
	q=$$(echo $* | sed s/arm64/aarch64/); sums="bin/sums-$*"; rm -f $$sums; \
	run() { bin/testsum -total $$sums -short -timeout 20m -exec "qemu-$$q-static" . ./internal/uapi/... ./internal/ktrace/...; }; \
	run || { echo "once more:"; rm -f $$sums; run; }; status=$$?; \
	if [ -n "$(TOTAL)" ]; then cat $$sums >> "$(TOTAL)"; fi; exit $$status

# Executions, not seconds: before Go 1.27 a fuzzer that the clock stops may fail of that alone (go.dev/issue/75804).
fuzz: ## each fuzz target for about 5 s, or for FUZZTIME (60s, 100000x)
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			case $$f in FuzzExplain|FuzzParse) n=5000x;; FuzzReader|FuzzShape|FuzzDecode) n=40000x;; *) n=100000x;; esac; \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime "$(or $(FUZZTIME),$$n)" -fuzzminimizetime 1000x -parallel 2 $$p; done; done

matrix: ## the tests and verify on stock kernels under QEMU (KERNELS="6.1 6.12", or all)
	@KERNELS="$(KERNELS)" $(GO) -C internal/matrix run . $(if $(TOTAL),-total $(TOTAL))

matrix-arm64: ## the same on an arm64 kernel
	@KERNELS="$(or $(KERNELS),6.12)" $(GO) -C internal/matrix run . -arch arm64 $(if $(TOTAL),-total $(TOTAL))

catalog-check: ## proves each edge of the catalogue in kernel source packages; TREES="6.6=DIR ..." adds trees
	@$(GO) run ./internal/catalogcheck -packages $(TREES)

module: ## what the world does with a version: zip, go get, go install, go test in the module cache
	@cd internal/modcheck && $(GO) vet . && $(GO) run .

adversary: ## hostile files, environments and outputs against efdtrace; ARGS=-short for a minute of them
	@$(GO) run ./internal/adversary $(ARGS)

clean: ## what the targets above leave behind
	@rm -rf bin .bench; $(GO) clean -testcache
