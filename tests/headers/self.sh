#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/headers/self.sh ROOT -- CC... -- CXX... - each public header alone, twice, with the include folders of
# its own layer and those below, as strict C17 and as C++20, without a flag of ours. Writes TAP.
set -u

root=$1
shift 2
cc=()
while [ "$1" != -- ]; do
    cc+=("$1")
    shift
done
shift
cxx=("$@")

number=0
failed=0
say() { # say STATUS NAME [OUTPUT]
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        failed=1
        echo "not ok $number - $2"
        [ -z "${3:-}" ] || sed 's/^/# /' <<<"$3"
    fi
}

warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Wcast-qual -Werror -fsyntax-only)
includes=()
layer() { # layer FOLDER - adds its include folder to the path and tries its headers
    local folder=$1 header name twice output

    includes+=("-I$root/$folder/include")
    for header in "$root/$folder"/include/co/*.h; do
        name=$(basename "$header")
        twice="#include <co/$name>"$'\n'"#include <co/$name>"$'\nint main(void) { return 0; }'
        output=$("${cc[@]}" -std=c17 -Wstrict-prototypes -Wvla "${warnings[@]}" "${includes[@]}" \
            -x c - <<<"$twice" 2>&1)
        say $? "$folder: <co/$name> alone as C17" "$output"
        output=$("${cxx[@]}" -std=c++20 "${warnings[@]}" "${includes[@]}" -x c++ - <<<"$twice" 2>&1)
        say $? "$folder: <co/$name> alone as C++20" "$output"
    done
}

below() { # below UPPER-HEADER - what must not be found from the layers so far
    ! "${cc[@]}" -fsyntax-only "${includes[@]}" -x c - <<<"#include <co/$1>" 2>/dev/null
    say $? "<co/$1> is out of sight of the layers below it"
}

layer runtime
below net.h
layer netio
below http.h
layer netio/http
layer netio/tls
includes=("-I$root/runtime/include" "-I$root/netio/include")
below pool.h
layer connpool
echo "1..$number"
exit $failed
