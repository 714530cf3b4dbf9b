#!/usr/bin/env bash
# Every test. InfluxDB and Kubernetes' API server are compiled meanwhile (minutes, on a new machine), and the tests that need
# other servers, which mostly wait, run beside those that need none.
# usage: tests/run.sh FOLDER_OF_PROGRAMS
set -euo pipefail
cd "$(dirname "$0")/.."
programs=$1
obtained=$(mktemp)
beside=$(mktemp)
trap 'rm -f "$obtained" "$beside"' EXIT

# Where the environment forbids it, each of the many processes would compile all of our sources, and the tests, once more.
export PYTHONDONTWRITEBYTECODE=

(
  nice -n 5 "$programs/tidegate" stack obtain
  nice -n 5 "$programs/tidegate" stack obtain --only kube-apiserver --only etcd --only crds
) >"$obtained" 2>&1 &
obtaining=$!

# A file that marks no test so holds none of these: no worker need import it.
mapfile -t marked < <(grep -rl --include='test_*.py' 'mark\.servers' tests | LC_ALL=C sort)

"$programs/pytest" -q -n 2 --dist loadfile --no-loadscope-reorder -m "servers and not compiled" "${marked[@]}" >"$beside" 2>&1 &
waiting=$!

status=0
"$programs/pytest" -q -n 2 --dist worksteal -m "not servers" || status=1
wait "$waiting" || status=1
cat "$beside"

if ! wait "$obtaining"; then
  cat "$obtained" >&2
  echo "The servers that the other tests need could not be obtained: see above." >&2
  exit 1
fi
"$programs/pytest" -q -n 3 --dist loadfile --no-loadscope-reorder -m "servers and compiled" "${marked[@]}" || status=1
exit "$status"
