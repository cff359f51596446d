#!/usr/bin/env bash
# What the tests use and pip cannot give. Without root or apt they skip, and say so.
set -euo pipefail
missing=()
command -v pgbouncer >/dev/null || missing+=(pgbouncer)
command -v psql >/dev/null || missing+=(postgresql-client)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed: ${missing[*]} (needs root and apt-get); the tests that use them skip" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
