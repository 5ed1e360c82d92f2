#!/usr/bin/env bash
# Compares mTLS servers side by side on this machine and prints a table.
#
#   bench/compare/run.sh                       all servers that are installed
#   SERVERS="nginx postern" MEASUREMENTS="full resumed" ROUNDS=5 bench/compare/run.sh
#
# Needs Linux, two cores, Go, taskset, sed; nginx and haproxy if they are to take
# part. Everything stays on 127.0.0.1 and in a temporary folder, and every process
# ends with the script. README.md, one folder up, says what the figures mean.
set -euo pipefail

SERVERS=${SERVERS:-"nginx haproxy baseline postern"}
MEASUREMENTS=${MEASUREMENTS:-"full many resumed get keep-128 keep-10k rate-128 h2-128"}
ROUNDS=${ROUNDS:-3}               # of each measurement, servers in turn within a round
DURATION=${DURATION:-3s}          # of one measured window
CONNECTIONS=${CONNECTIONS:-16}    # handshakes, or keep-alive connections, at a time
CLIENTS=${CLIENTS:-1000}          # client certificates in "many"
RATE=${RATE:-2000}                # requests a second in "rate-128"
REVOKED=${REVOKED:-}              # serials in the CRL; empty: no CRL at all
PKI_FLAGS=${PKI_FLAGS:-}          # for example "-rsa-server"
LOAD_FLAGS=${LOAD_FLAGS:--no-mlkem} # for example "-no-mlkem -tls12"
SERVER_CORE=${SERVER_CORE:-0}
LOAD_CORE=${LOAD_CORE:-1}
PORT_BASE=${PORT_BASE:-18440}
OUT=${OUT:-}                      # folder to keep the reports in; empty: none

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
POSTERN=${POSTERN:-$root/postern}
dir=$(mktemp -d)
reports=${OUT:-$dir/reports}
backend_port=$PORT_BASE
admin_port=$((PORT_BASE + 9))
declare -A pid port
background=()

cleanup() {
    trap - EXIT
    local p
    for p in "${background[@]}"; do kill "$p" 2>/dev/null || true; done
    for p in "${background[@]}"; do wait "$p" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
    echo "run.sh: $*" >&2
    exit 1
}

# start NAME CORE COMMAND... runs a command in the background on one core. The
# process keeps its id through taskset and env, which exec what follows.
start() {
    local name=$1 core=$2
    shift 2
    GOMAXPROCS=1 taskset -c "$core" "$@" >"$dir/$name.log" 2>&1 &
    pid[$name]=$!
    background+=("$!")
}

# fill TEMPLATE CRL-SETTING PORT writes a template without its suffix.
fill() {
    local user=""
    if [ "$(id -u)" = 0 ]; then user="user root;"; fi
    sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$3|g" -e "s|@BACKEND_PORT@|$backend_port|g" \
        -e "s|@ADMIN_PORT@|$admin_port|g" -e "s|@USER@|$user|g" -e "s|@CRL@|$2|g" \
        "$here/$1" >"$dir/${1%.in}"
}

# with_crl TEXT prints the setting if there is a CRL.
with_crl() { if [ -n "$REVOKED" ]; then echo "$1"; fi; }

start_nginx() {
    fill nginx.conf.in "$(with_crl "ssl_crl $dir/pki/all.crl;")" "$1"
    start nginx "$SERVER_CORE" nginx -p "$dir" -e stderr -c "$dir/nginx.conf"
}

start_haproxy() {
    fill haproxy.cfg.in "$(with_crl "crl-file $dir/pki/all.crl")" "$1"
    start haproxy "$SERVER_CORE" haproxy -db -f "$dir/haproxy.cfg"
}

start_baseline() {
    start baseline "$SERVER_CORE" "$dir/bin/baseline" -address "127.0.0.1:$1" \
        -backend "http://127.0.0.1:$backend_port" -client-ca "$dir/pki/root.pem" \
        -cert "$dir/pki/server.pem" -key "$dir/pki/server-key.pem"
}

start_postern() {
    fill postern.yaml.in "$(with_crl "revocations: [pki/root.crl, pki/sub.crl]")" "$1"
    start postern "$SERVER_CORE" "$POSTERN" run --config "$dir/postern.yaml"
}

# available NAME says whether a server can take part; those that cannot are named.
available() {
    local command=$1
    case $1 in
    baseline)
        if [ -n "$REVOKED" ]; then
            echo "baseline reads no CRL: left out" >&2
            return 1
        fi
        return 0
        ;;
    postern) command=$POSTERN ;;
    nginx | haproxy) ;;
    *) die "no server is called '$1'" ;;
    esac
    if ! command -v "$command" >/dev/null; then
        echo "$1 is not there ($command): left out" >&2
        return 1
    fi
}

# load KIND ARGUMENTS... runs the generator on its core. LOAD_FLAGS is split into
# words on purpose.
load() {
    local kind=$1
    shift
    # shellcheck disable=SC2086
    GOMAXPROCS=1 taskset -c "$LOAD_CORE" "$dir/bin/load" "$kind" -json -ca "$dir/pki/root.pem" \
        -server-name localhost $LOAD_FLAGS "$@"
}

as_partner() { load "$@" -cert "$dir/pki/client.pem" -key "$dir/pki/client-key.pem"; }
as_many() { load "$@" -new-clients "$CLIENTS" -issuer "$dir/pki/sub.pem" -issuer-key "$dir/pki/sub-key.pem"; }

# wait_for NAME waits until a server answers through its backend.
wait_for() {
    local _
    for _ in $(seq 100); do
        kill -0 "${pid[$1]}" 2>/dev/null || break
        if as_partner requests -url "https://127.0.0.1:${port[$1]}/" -count 1 -connections 1 >/dev/null 2>"$dir/wait.log"; then
            return
        fi
        sleep 0.1
    done
    cat "$dir/$1.log" "$dir/wait.log" >&2
    die "$1 does not serve"
}

# measure NAME SERVER prints one report.
measure() {
    local address=127.0.0.1:${port[$2]}
    local common=(-server-pid "${pid[$2]}" -connections "$CONNECTIONS" -duration "$DURATION")
    case $1 in
    full) as_partner handshake -address "$address" "${common[@]}" ;;
    many) as_many handshake -address "$address" "${common[@]}" ;;
    resumed) as_partner handshake -address "$address" "${common[@]}" -resume 1 ;;
    get) as_partner handshake -address "$address" "${common[@]}" -get ;;
    keep-128) as_partner requests -url "https://$address/128" "${common[@]}" ;;
    keep-10k) as_partner requests -url "https://$address/10k" "${common[@]}" ;;
    rate-128) as_partner requests -url "https://$address/128" "${common[@]}" -rate "$RATE" ;;
    h2-128) as_partner requests -url "https://$address/128" "${common[@]}" -http2 ;;
    *) die "no measurement is called '$1'" ;;
    esac
}

describe_machine() {
    echo "Date: $(date -u +%F). CPU: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores. Kernel: $(uname -sr). $(go version)."
    case " $taking_part " in *" nginx "*) nginx -V 2>&1 | sed -n 's/^nginx version: /nginx: /p; s/^built with /nginx TLS library: /p' ;; esac
    case " $taking_part " in *" haproxy "*) haproxy -vv | sed -n 's/^HAProxy version \([^ ]*\).*/haproxy: \1/p; s/^Running on OpenSSL version *: */haproxy TLS library: /p' ;; esac
    echo "Servers on core $SERVER_CORE, generator and backend on core $LOAD_CORE. $ROUNDS rounds of $DURATION, $CONNECTIONS connections, CRL: ${REVOKED:-none}, PKI: ${PKI_FLAGS:-P-256}, generator: ${LOAD_FLAGS}."
    echo "Load average at the start: $(cut -d' ' -f1-3 /proc/loadavg)."
    echo
}

[ "$(nproc)" -ge 2 ] || die "this needs two cores"
mkdir -p "$dir/bin" "$reports"
(cd "$root" && go build -o "$dir/bin/" ./bench/compare/...)
# shellcheck disable=SC2086
"$dir/bin/pki" -dir "$dir/pki" ${REVOKED:+-revoked "$REVOKED"} $PKI_FLAGS
start backend "$LOAD_CORE" "$dir/bin/backend" -address "127.0.0.1:$backend_port"

taking_part=""
next=$((PORT_BASE + 1))
for server in $SERVERS; do
    available "$server" || continue
    port[$server]=$next
    next=$((next + 1))
    "start_$server" "${port[$server]}"
    taking_part="$taking_part $server"
done
for server in $taking_part; do wait_for "$server"; done

describe_machine
for ((round = 1; round <= ROUNDS; round++)); do
    for measurement in $MEASUREMENTS; do
        mkdir -p "$reports/$measurement"
        for server in $taking_part; do
            echo "round $round: $measurement, $server" >&2
            measure "$measurement" "$server" >"$reports/$measurement/$server.$round.json"
        done
    done
done
"$dir/bin/table" -dir "$reports"
