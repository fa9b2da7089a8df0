# Everything CI does, a developer can do: make check.

# name=folder of every plugin; the program is called brock-<name>.
PLUGINS := destination-nfs=plugins/nfs destination-s3=plugins/s3 destination-minio=plugins/minio \
	destination-azure=plugins/azure keyprovider-keyfile=plugins/keyfile keyprovider-vaultkeys=plugins/vaultkeys

TOOLS := \
	github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 \
	github.com/bufbuild/buf/cmd/buf@v1.73.0 \
	google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 \
	google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

# Finished tools are kept outside the clone, one directory per tool and version.
TOOLS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/brock-tools

# The version a binary reports: the newest tag, or the commit.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Longest time one package's tests, or one fuzz test, may take.
TESTTIME ?= 20m
FUZZTIME ?= 20s

export PATH := $(CURDIR)/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help tools build demo test race lint breaking fmt generate check bench servers servers-stop fuzz

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build bin/brock and bin/plugins/*
	@mkdir -p bin/plugins
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/brock ./cmd/brock
	@for p in $(PLUGINS); do \
		echo "go build -o bin/plugins/brock-$${p%=*} ./$${p#*=}"; \
		go build -trimpath -o bin/plugins/brock-$${p%=*} ./$${p#*=} || exit 1; \
	done
	@chmod go-w bin/plugins bin/plugins/* # brock sets aside what others may change

demo: build ## build, then restore, back up and verify a real Dgraph backup
	@cmd/brock/demo.sh

# Tests without the servers that they need are skipped: which, and how to get them, is said at the end.
define gotest
	@echo "go test $(1)"; \
	export BROCK_TESTS_LEFT_OUT=$$(mktemp); \
	go test $(1); result=$$?; \
	if [ -s $$BROCK_TESTS_LEFT_OUT ]; then \
		echo; echo "Left out:"; \
		sort -u $$BROCK_TESTS_LEFT_OUT; \
		echo "make servers starts what they need."; \
	fi; \
	rm -f $$BROCK_TESTS_LEFT_OUT; \
	exit $$result
endef

test: ## run every test
	$(call gotest,-timeout $(TESTTIME) ./...)

race: ## run every test under the race detector
	$(call gotest,-race -timeout $(TESTTIME) ./...)

lint: tools ## report what a reviewer would
	golangci-lint run ./...
	buf lint
	sdk/proto/breaking.sh

breaking: tools ## refuse a change of the protocol that old plugins would notice
	sdk/proto/breaking.sh

fmt: tools ## format every file
	golangci-lint fmt ./...
	buf format -w

generate: tools ## rebuild sdk/internal from sdk/proto
	buf generate --template sdk/proto/buf.gen.yaml

check: fmt generate lint test ## all of the above; fails if it changed a file
	git diff --exit-code

bench: build ## measure backup and restore against Badger's own, the hop to a plugin against a bare socket, clouds against their clients
	go test -run '^$$' -bench '^BenchmarkLarge$$' -benchtime 1x -timeout $(TESTTIME) ./host
	go test -run '^$$' -bench '^BenchmarkHop$$' -benchtime 1x -timeout $(TESTTIME) ./sdk/launch
	go test -run '^$$' -bench '^Benchmark(S3|Azure)$$' -benchtime 1x -timeout $(TESTTIME) ./cmd/brock

servers: ## start the servers that tests need, or SERVERS="minio versitygw"
	@go run ./plugins/internal/servers/run start $(SERVERS)

servers-stop: ## end them
	@go run ./plugins/internal/servers/run stop $(SERVERS)

fuzz: ## fuzz every parser for FUZZTIME each
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

tools: ## install the pinned tools into .bin/
	@mkdir -p .bin
	@for t in $(TOOLS); do \
		name=$$(basename $${t%@*}); dir=$(TOOLS_CACHE)/$$name-$${t##*@}; \
		[ -x $$dir/$$name ] || { echo "go install $$t"; GOBIN=$$dir go install $$t || exit 1; }; \
		ln -sf $$dir/$$name .bin/$$name; \
	done
