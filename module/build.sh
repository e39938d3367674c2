#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# build.sh KDIR WORK [DEST]: builds ooh.ko and the test double in WORK, and copies them to DEST (else: WORK). Kbuild writes beside its
# sources, so WORK gets links to them.
set -e
kdir=$1
work=$2
dest=${3:-$2}
src=$(cd "$(dirname "$0")/.." && pwd)
if [ -z "$work" ] || [ ! -e "$kdir/Makefile" ]; then
	echo "build.sh: usage: build.sh KDIR WORK [DEST] (KDIR: headers of the kernel)" >&2
	exit 2
fi

link() { # FROM TO: a folder of links to the files in FROM
	mkdir -p "$2"
	find "$2" -maxdepth 1 -type l -delete
	for f in "$1"/*; do
		[ -d "$f" ] || ln -s "$f" "$2/"
	done
}

link "$src/module" "$work/module"
link "$src/module/tests" "$work/module/tests"
link "$src/abi" "$work/abi"
make -s -C "$kdir" M="$(cd "$work/module" && pwd)" modules
cp "$work/module/ooh.ko" "$work/module/tests/ooh_hv_double.ko" "$dest/"
