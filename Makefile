# Each target is a command that a person could type.
.PHONY: build demo test check fuzz bench

build:
	CGO_ENABLED=0 go build -trimpath -o postern ./cmd/postern

demo: build
	./postern demo

test:
	go test ./...

check: build
	test -z "$$(gofmt -l .)" && go vet ./...
	./postern demo --once

# A few seconds for each fuzz target: FUZZTIME=10m make fuzz for a long look.
fuzz:
	./.ci/fuzz $${FUZZTIME:-5s}

# Under ten minutes; without -short it is the whole, see bench/README.md.
bench:
	go run ./bench/peers -short
