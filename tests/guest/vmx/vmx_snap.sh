#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# vmx_snap.sh MACHINE IMAGE: saves from inside the guest, resumes twice; both must pass and end at the same cycle.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$1" --quiet --serial null --kernel "$2" --snapshot-to "$dir/snap" --snapshot-exit </dev/null
for i in 1 2; do
	status=0
	"$1" --quiet --serial stdio --resume "$dir/snap" --stats "$dir/$i.json" </dev/null || status=$?
	if [ "$status" -ne 1 ]; then
		echo "vmx_snap.sh: resumed machine: exit status $status" >&2
		exit 1
	fi
done
a=$(grep '"cycles"' "$dir/1.json" | head -n 1)
b=$(grep '"cycles"' "$dir/2.json" | head -n 1)
[ "$a" = "$b" ] || { echo "vmx_snap.sh: $a against $b" >&2; exit 1; }
