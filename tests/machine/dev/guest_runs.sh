#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What a Multiboot image is given, exit codes, repeatability to the cycle, and snapshots asked for by the guest.
machine=$1
guest=$2
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

# run NAME STATUS ARGUMENTS…: output in NAME.out, statistics in NAME.json
run()
{
	name=$1
	want=$2
	shift 2
	"$machine" --serial "file:$tmp/$name.out" --stats "$tmp/$name.json" "$@" 2>"$tmp/$name.err"
	got=$?
	[ "$got" = "$want" ] || fail "$name: status $got, want $want: $(cat "$tmp/$name.err")"
}

figure()
{
	grep -m1 "\"$2\": [0-9]" "$tmp/$1.json" | tr -dc 0-9
}

printf 'what the module holds\n' >"$tmp/module"
boot="--kernel $guest --initrd $tmp/module --ram 32M"
cat >"$tmp/want" <<END
magic 2badb002
flags 0000004d
upper-memory 00007c00
map-entries 00000004
paging-and-protection 00000001
interrupt-flag 00000000
selectors-set 00000001
modules 00000001
what the module holds
$guest first second
fw-cfg-ram 02000000
control 6d686f6f
version 00000001
unknown-command ffffffda
snapshot ffffffed
not resumed
END

run one 11 $boot --append "first second"
diff "$tmp/want" "$tmp/one.out" || fail "what the guest was given"
run two 11 $boot --append "first second"
cmp "$tmp/one.out" "$tmp/two.out" || fail "two runs print the same"
for what in cycles INSNS TLB_MISSES IO_WRITES; do
	[ -n "$(figure one $what)" ] && [ "$(figure one $what)" = "$(figure two $what)" ] || fail "two runs: $what"
done

run saving 11 $boot --snapshot-to "$tmp/snap"
run resumed 13 --resume "$tmp/snap"
grep -qx "not resumed" "$tmp/saving.out" || fail "the saving machine goes on"
[ "$(cat "$tmp/resumed.out")" = "snapshot 00000000
resumed" ] || fail "the resumed machine goes on behind the request"
run again 13 --resume "$tmp/snap"
[ "$(figure resumed cycles)" = "$(figure again cycles)" ] || fail "two resumes: cycles"
run stopping 0 $boot --snapshot-to "$tmp/snap2" --snapshot-exit
run stopped 13 --resume "$tmp/snap2"
[ "$(figure stopped cycles)" = "$(figure resumed cycles)" ] || fail "--snapshot-exit changes the snapshot"

run limited 124 $boot --max-cycles 50K
[ "$(figure limited cycles)" -ge 50000 ] || fail "--max-cycles"
run narrow 3 $boot --snapshot-to /nonexistent/dir
exit $failed
