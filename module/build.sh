#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# build.sh KDIR OUT: builds ooh.ko and the tests' modules in OUT (Kbuild writes beside its sources, so OUT gets links to them).
set -e
kdir=$1
out=$2
src=$(cd "$(dirname "$0")/.." && pwd)
[ -n "$out" ] && [ -e "$kdir/Makefile" ] || { echo "build.sh: usage: build.sh KDIR OUT (KDIR: headers of the kernel)" >&2; exit 2; }

link() { # FROM TO: a folder of links to the files in FROM
	mkdir -p "$2"
	find "$2" -maxdepth 1 -type l -delete
	for f in "$1"/*; do
		[ -d "$f" ] || ln -s "$f" "$2/"
	done
}

link "$src/module" "$out/module"
link "$src/module/tests" "$out/module/tests"
link "$src/abi" "$out/abi"
make -s -C "$kdir" M="$(cd "$out/module" && pwd)" modules
cp "$out/module/ooh.ko" "$out/ooh.ko"
[ ! -e "$out/module/tests/ooh_hv_double.ko" ] || cp "$out/module/tests/ooh_hv_double.ko" "$out/"
