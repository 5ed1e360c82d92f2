#!/usr/bin/env bash
# Makes cmd/postern/default.pgo, which go build uses by itself: Postern runs under
# full and resumed handshakes, keep-alive requests and HTTP/2 while its CPU is
# profiled. Run it from anywhere; needs Linux, Go, curl and two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
SECONDS_EACH=${SECONDS_EACH:-20}
dir=$(mktemp -d)
pids=()
cleanup() {
    for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap cleanup EXIT

go build -trimpath -pgo=off -o "$dir/" ./cmd/postern ./bench/peers/backend
go run ./bench/peers -prepare "$dir" # certificates and postern.yaml, with profiling on
# shellcheck source=/dev/null
. "$dir/addresses" # BACKEND, FRONT, ADMIN

taskset -c 1 "$dir/backend" -address "$BACKEND" &
pids+=($!)
GOMAXPROCS=1 taskset -c 0 "$dir/postern" run --config "$dir/postern.yaml" 2>"$dir/postern.err" &
pids+=($!)
for _ in $(seq 100); do curl -fs "http://$ADMIN/readyz" >/dev/null && break; sleep 0.1; done

client=(--ca "$dir/pki/root.pem" --cert "$dir/pki/client-2.pem" --key "$dir/pki/client-2-key.pem"
    --server-name localhost --duration "${SECONDS_EACH}s" --connections 8)
export GOMAXPROCS=1
taskset -c 1 "$dir/postern" bench handshake "${client[@]}" --resume-share 0.5 --path /ping "$FRONT" &
taskset -c 1 "$dir/postern" bench request "${client[@]}" --rate 5000 "https://$FRONT/128" &
taskset -c 1 "$dir/postern" bench request "${client[@]}" --http2 --streams 4 "https://$FRONT/128" &
sleep 1
curl -fsS "http://$ADMIN/debug/pprof/profile?seconds=$((SECONDS_EACH - 2))" >"$dir/cpu.pprof"
mv "$dir/cpu.pprof" cmd/postern/default.pgo
wait %3 %4 %5
