#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Bad command lines and files: the exit status, and exactly one line on stderr that names the object.
machine=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
failed=0

# expect STATUS TEXT ARGUMENTS…
expect()
{
	want=$1
	text=$2
	shift 2
	"$machine" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	got=$?
	lines=$(wc -l <"$tmp/err")
	if [ "$got" != "$want" ] || [ "$lines" != 1 ] || ! grep -qF -- "ooh-machine: $text" "$tmp/err"; then
		echo "FAIL: $*: status $got, want $want, line with '$text'; stderr:"
		cat "$tmp/err"
		failed=1
	fi
}

echo nothing >"$tmp/text"
: >"$tmp/empty"
head -c 4096 /dev/zero >"$tmp/zeros"
printf '\177ELF\002\001\001' >"$tmp/elf"

expect 2 "--kernel: missing"
expect 2 "--nonsense: no such option" --nonsense
expect 2 "--kernel: needs an argument" --kernel
expect 2 "extra: unexpected argument" --kernel "$tmp/text" extra
expect 2 "--ram lots: not a size" --kernel "$tmp/text" --ram lots
expect 2 "--ram 1M: must be from" --kernel "$tmp/text" --ram 1M
expect 2 "--ram 33M: must be a multiple" --kernel "$tmp/text" --ram 33M
expect 2 "--ram 99999999999999999999: not a size" --kernel "$tmp/text" --ram 99999999999999999999
expect 2 "--ram 18446744073709551615G: not a size" --kernel "$tmp/text" --ram 18446744073709551615G
expect 2 "--ram -1: not a size" --kernel "$tmp/text" --ram=-1
expect 2 "--cpus 0: not a number" --kernel "$tmp/text" --cpus 0
expect 2 "--cpus 9: at most 8" --kernel "$tmp/text" --cpus 9
expect 2 "--serial telnet: not stdio" --kernel "$tmp/text" --serial telnet
expect 2 "--serial2 stdio: the first" --kernel "$tmp/text" --serial2 stdio
expect 2 "--costs pentium: no such table" --kernel "$tmp/text" --costs pentium
expect 2 "--max-cycles soon: not a number" --kernel "$tmp/text" --max-cycles soon
expect 2 "--digest-every: needs" --kernel "$tmp/text" --digest-every 1M
expect 2 "--digest-exact: needs" --kernel "$tmp/text" --digest "$tmp/out" --digest-exact
expect 2 "--digest-memory: needs" --kernel "$tmp/text" --digest "$tmp/out" --digest-memory
expect 2 "--snapshot-exit: needs" --kernel "$tmp/text" --snapshot-exit
expect 2 "--disk $tmp/text: at most 4" --kernel "$tmp/text" $(for i in 1 2 3 4 5; do echo --disk "$tmp/text"; done)
expect 2 "--disk: no file" --kernel "$tmp/text" --disk ""
expect 2 "--net: needs an argument" --kernel "$tmp/text" --net
expect 2 "--net tap: not peer" --kernel "$tmp/text" --net tap
expect 2 "--net unix:: not peer" --kernel "$tmp/text" --net unix:
expect 2 "--resume: excludes --disk" --resume "$tmp" --disk "$tmp/zeros"
expect 2 "--resume: excludes --disk" --resume "$tmp" --rng
expect 2 "--resume: excludes --disk" --resume "$tmp" --test-device
expect 3 "$tmp/none: No such file" --kernel "$tmp/zeros" --serial null --disk "$tmp/none,ro,snapshot"
expect 3 "$tmp: Is a directory" --kernel "$tmp/zeros" --serial null --disk "$tmp"
expect 3 "$tmp/text: not a disk image" --kernel "$tmp/zeros" --serial null --disk "$tmp/text"
expect 3 "$tmp/empty: not a disk image" --kernel "$tmp/zeros" --serial null --disk "$tmp/empty"
expect 3 "$tmp/none: No such file" --kernel "$tmp/zeros" --serial null --net "unix:$tmp/none"
expect 2 "--trace-events reads: not a list" --kernel "$tmp/text" --trace "$tmp/out" --trace-events reads
expect 2 "--trace-events exits,: not a list" --kernel "$tmp/text" --trace "$tmp/out" --trace-events exits,
expect 2 "--trace-events: needs" --kernel "$tmp/text" --trace-events exits
expect 2 "--gdb tcp:0: not tcp:PORT" --kernel "$tmp/text" --gdb tcp:0
expect 2 "--gdb unix:: not tcp:PORT" --kernel "$tmp/text" --gdb unix:
expect 2 "--gdb-wait: needs" --kernel "$tmp/text" --gdb-wait
expect 2 "--resume: excludes --kernel" --kernel "$tmp/text" --resume "$tmp"
expect 2 "--resume: excludes --initrd" --initrd "$tmp/text" --resume "$tmp"
expect 3 "$tmp/none: No such file" --kernel "$tmp/none" --serial null
expect 3 "$tmp: Is a directory" --kernel "$tmp" --serial null
expect 3 "$tmp/text: not a bzImage" --kernel "$tmp/text" --serial null
expect 3 "$tmp/empty: not a bzImage" --kernel "$tmp/empty" --serial null
expect 3 "$tmp/zeros: not a bzImage" --kernel "$tmp/zeros" --serial null
expect 3 "$tmp/elf: not a bzImage" --kernel "$tmp/elf" --serial null
expect 3 "$tmp/none: No such file" --kernel "$tmp/text" --serial "in:$tmp/none"
expect 3 "/nonexistent/x: No such file" --kernel "$tmp/text" --serial file:/nonexistent/x
expect 3 "$tmp/state: No such file" --resume "$tmp" --serial null

"$machine" --help >"$tmp/out" 2>"$tmp/err" || failed=1
grep -q "Exit status" "$tmp/out" || { echo "FAIL: --help"; failed=1; }
[ ! -s "$tmp/err" ] || { echo "FAIL: --help writes to stderr"; failed=1; }
man=$(dirname "$0")/../../../docs/man/ooh-machine.1
for option in $(grep -o -e '--[a-z][a-z0-9-]*' "$tmp/out" | sort -u); do
	tr -d '\\' <"$man" | grep -q -e "$option" || { echo "FAIL: $option is not in the manual page"; failed=1; }
done
"$machine" --version | grep -q '^ooh-machine [0-9]' || { echo "FAIL: --version"; failed=1; }
exit $failed
