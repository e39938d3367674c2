#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Each header of arch/ compiles by itself: hosted, freestanding, and in assembler. Argument: the source directory.
set -eu
top=$1
status=0
for header in "$top"/arch/*.h; do
	name=arch/$(basename "$header")
	for mode in "-xc -std=gnu11 -Wall -Wextra -Werror" "-xc -std=gnu11 -ffreestanding -nostdinc -Wall -Wextra -Werror" \
		"-xassembler-with-cpp -D__ASSEMBLER__"; do
		# shellcheck disable=SC2086
		if ! echo "#include \"$name\"" | ${CC:-cc} $mode -I"$top" -c -o /dev/null -; then
			echo "headers_alone: $name: $mode" >&2
			status=1
		fi
	done
done
exit $status
