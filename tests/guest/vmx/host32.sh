#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# host32.sh MACHINE IMAGE: the rules; then each VMX abort, which ends the machine as a triple fault does, with its name.
machine=$1 image=$2
"$machine" --quiet --kernel "$image" </dev/null
[ $? -eq 1 ] || exit 1
for abort in "1 MSR-store area" "2 host PDPTEs" "4 MSR-load area of VM exits" "6 exit from IA-32e mode to a 32-bit host"; do
	out=$(timeout 60 "$machine" --kernel "$image" --append "${abort%% *}" </dev/null 2>&1)
	status=$?
	case $out in
	*"VMX abort: ${abort#* }"*) [ "$status" -eq 72 ] && continue ;;
	esac
	echo "abort $abort: status $status: $out"
	exit 1
done
