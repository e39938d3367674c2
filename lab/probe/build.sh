#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh KDIR SRC DIR OUTPUT: builds ooh_probe.ko in DIR, a folder of links (Kbuild writes beside its sources), and
# copies it to OUTPUT.
set -eu
kdir=$1 src=$2 out=$3 output=$4
mkdir -p "$out/lab/probe"
ln -sfn "$src/abi" "$out/abi"
for f in Kbuild ooh_probe.c probe.h; do
	ln -sf "$src/lab/probe/$f" "$out/lab/probe/"
done
make -s -C "$kdir" M="$out/lab/probe" modules
cp "$out/lab/probe/ooh_probe.ko" "$output"
