#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# gdb.sh MACHINE IMAGE ELF: GDB itself as the client. 77: there is none.
command -v gdb >/dev/null || exit 77
tmp=$(mktemp -d) || exit 1
trap 'kill "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
"$1" --kernel "$2" --serial null --gdb "unix:$tmp/gdb" --gdb-wait --quiet 2>"$tmp/machine" &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ -S "$tmp/gdb" ] && break
	sleep 0.2
done
cat >"$tmp/script" <<EOF
set pagination off
set confirm off
target remote $tmp/gdb
break guest_step
continue
printf "stop-1 rdi=%d cr0=%d\n", \$rdi, (\$cr0 >> 31) & 1
info threads
watch *(unsigned long *)&guest_count
continue
continue
printf "stop-2 count=%d\n", *(unsigned long *)&guest_count
delete
break root_step
continue
printf "stop-3 rdi=%d\n", \$rdi
printf "stop-3 ymm3=%d %d pkru=%x\n", \$ymm3.v4_int64[0], \$ymm3.v4_int64[3], \$pkru
set \$ymm3.v4_int64[3] = 77
set \$pkru = 0x300000
continue
printf "stop-4 vector=%d %d rights=%x\n", ((long *)&vector)[2], ((long *)&vector)[3], *(int *)&key_rights
stepi
stepi
x/2i \$rip
monitor walk 100000
delete
continue
EOF
timeout 100 gdb -nx -batch -x "$tmp/script" "$3" >"$tmp/out" 2>&1
wait "$pid"
status=$?
failed=0
for want in 'stop-1 rdi=1 cr0=1' 'non-root' 'watchpoint 2' 'stop-2 count=1' \
	'stop-3 rdi=3' 'stop-3 ymm3=1 4 pkru=c00' 'stop-4 vector=3 77 rights=300000' 'PML4E' 'exited with code 01'; do
	grep -q -- "$want" "$tmp/out" || { echo "FAIL: no '$want'"; failed=1; }
done
[ "$status" -eq 1 ] || { echo "FAIL: machine's status $status"; failed=1; }
[ "$failed" -eq 0 ] || cat "$tmp/out" "$tmp/machine"
exit $failed
