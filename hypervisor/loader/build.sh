#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Builds a kernel module of the hypervisor out of the source tree.
# Usage: build.sh KDIR SRC OUT IMAGE FILE...   links FILEs of SRC/hypervisor into OUT and runs Kbuild there.
set -eu
kdir=$1 src=$2 out=$3 image=$4
shift 4
mkdir -p "$out"
for f; do
	ln -sf "$src/hypervisor/$f" "$out/"
done
exec make -s -C "$kdir" M="$out" OOH_ROOT="$src" OOH_HV_IMAGE="$image" OOH_HV_SYMBOLS="${OOH_HV_SYMBOLS:-}" modules
