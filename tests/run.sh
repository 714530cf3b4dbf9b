#!/usr/bin/env bash
# Every test: those that need nothing compiled while InfluxDB and Kubernetes' API server are (minutes, on a new machine), then the others.
# usage: tests/run.sh FOLDER_OF_PROGRAMS
set -euo pipefail
cd "$(dirname "$0")/.."
programs=$1
obtained=$(mktemp)
trap 'rm -f "$obtained"' EXIT

(
  nice -n 5 "$programs/tidegate" stack obtain
  nice -n 5 "$programs/tidegate" stack obtain --only kube-apiserver --only etcd --only crds
) >"$obtained" 2>&1 &
obtaining=$!

status=0
"$programs/pytest" -q -n 3 --dist worksteal -m "not servers" || status=1
"$programs/pytest" -q -n 2 --dist loadfile -m "servers and not compiled" || status=1

if ! wait "$obtaining"; then
  cat "$obtained" >&2
  echo "The servers that the other tests need could not be obtained: see above." >&2
  exit 1
fi
"$programs/pytest" -q -n 2 --dist loadfile -m "servers and compiled" || status=1
exit "$status"
