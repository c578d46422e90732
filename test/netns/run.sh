#!/usr/bin/env bash
# Runs the labs, several side by side since they mostly wait, and prints what
# `go test -json` would: run.sh [SIDE BY SIDE]. Every test is a process of its own.
set -euo pipefail
cd "$(dirname "$0")"
side=${1:-3}
package=$(go list .)
dir=$(mktemp -d)
chmod 755 "$dir" # one test runs the programs as another user
trap 'rm -rf "$dir"' EXIT

go test -c -o "$dir/labs" .
go build -o "$dir/" ../../cmd/reach64 ../../cmd/reach64-lab
export REACH64_LAB_PROGRAMS=$dir
# The tests of packages share what they build; the longest come first.
{
	echo '^TestRoaming'
	echo '^Test(Deb|RPM|Packages)'
	"$dir/labs" -test.list '^Test' | grep -Ev '^Test(Roaming|Deb|RPM|Packages)' | sed 's/.*/^&$/'
} | grep -n . >"$dir/list"

one() {
	local n=${1%%:*} tests=${1#*:}
	go tool test2json -t -p "$package" "$dir/labs" -test.v=test2json -test.count=1 -test.timeout=20m -test.run="$tests" >"$dir/$n.json"
}
export -f one
export dir package
code=0
xargs -d '\n' -P "$side" -n 1 bash -c 'one "$1"' _ <"$dir/list" || code=1

# One package, whatever the number of processes: only tests' events, then its end.
cat "$dir"/*.json | grep '"Test":'
cat "$dir"/*.json | grep -v '"Test":' | grep -E '"Action":"(output|fail)"' | grep -vE '"Output":"(PASS|FAIL|ok )' | grep -v '"Action":"fail"' || true
[ "$code" = 0 ] && word=pass || word=fail
printf '{"Action":"%s","Package":"%s","Elapsed":%d}\n' "$word" "$package" "$SECONDS"
exit "$code"
