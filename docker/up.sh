#!/bin/sh
# What `make up ARGS="..."` runs. Profiles are options of `docker compose`, and all others are options of `docker compose up`.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "$*" >&2
    exit 1
}

command -v docker >/dev/null || fail "Docker is needed: https://docs.docker.com/engine/install/"
docker compose version >/dev/null 2>&1 ||
    fail "Docker's compose plugin is needed, 2.24 or later: https://docs.docker.com/compose/install/"
docker info >/dev/null 2>&1 || fail "Docker is installed, but its engine does not answer: start it, or see \`docker info\`"

profiles=""
options=""
while [ $# -gt 0 ]; do
    case $1 in
        --profile=*) profiles="$profiles $1" ;;
        --profile)
            [ $# -gt 1 ] || fail "--profile: which one? console, debezium, monitoring"
            profiles="$profiles $1=$2"
            shift
            ;;
        *) options="$options $1" ;;
    esac
    shift
done

# The options are words without spaces, such as `--scale consumer=3`.
# shellcheck disable=SC2086
docker compose $profiles up --build --detach --wait --wait-timeout 300 $options ||
    fail "not everything is well: \`docker compose ps --all\` says what, and \`docker compose logs SERVICE\` why"

at() { # SERVICE PORT PATH WHAT [CONTAINER, if it is another service's]
    [ -n "$(docker compose --profile "*" ps --quiet "${5:-$1}" 2>/dev/null)" ] || return 0
    printf '%-12s http://%s%s\n' "$4" "$(docker compose --profile "*" port "$1" "$2")" "$3"
}
at first-producer 8080 /v1/health producer producer
at first-consumer 8081 /v1/status consumer consumer
at simulator 8090 / HubSpot
at console 8082 / console
at prometheus 9090 / Prometheus
at grafana 3000 / Grafana
