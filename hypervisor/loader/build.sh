#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Builds a kernel module outside the source tree, because Kbuild writes beside its sources.
# Usage: build.sh KDIR ROOT DIR OUTPUT INPUT...
#   KDIR    headers of the kernel          ROOT    of this source tree
#   DIR     to build in                    OUTPUT  the module, without debugging information
#   INPUT   sources (.c, .S, Kbuild: linked into DIR; headers only matter to the caller's dependencies), the
#           hypervisor's image (.bin), or a module (.ko) built by this script whose symbols are needed
set -eu
kdir=$1 root=$2 dir=$3 output=$4
shift 4
mkdir -p "$dir"
image= symbols=
for f; do
	f=$(realpath "$f")
	case $f in
	*.bin) image=$f ;;
	*.ko) symbols=$f.symvers ;;
	*.c | *.S | */Kbuild) ln -sf "$f" "$dir/" ;;
	esac
done
make -s -C "$kdir" M="$(realpath "$dir")" OOH_ROOT="$(realpath "$root")" OOH_HV_IMAGE="$image" \
	OOH_HV_SYMBOLS="$symbols" modules
cp "$dir/Module.symvers" "$output.symvers"
strip --strip-debug -o "$output" "$dir/$(basename "$output")"
