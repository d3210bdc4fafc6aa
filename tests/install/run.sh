#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/install/run.sh BUILD PREFIX VERSION CC... - installs BUILD into a temporary folder, then builds and runs
# programs outside the tree with nothing but what pkg-config says about that folder. Writes TAP.
set -u

here=$(cd "$(dirname "$0")" && pwd)
build=$1
prefix=$2
version=$3
shift 3
cc=("$@")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cp "$here"/*.[ch] "$tmp"
cd "$tmp" || exit 1

number=0
failed=0
try() { # try NAME COMMAND...
    local name=$1 output

    shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        failed=1
        echo "not ok $number - $name"
        sed 's/^/# /' <<<"$output"
    fi
}

# The package's answers, for the folder that it really is in.
say() {
    pkg-config --define-variable=prefix="$tmp/root$prefix" "$@"
}

words() { # words ARRAY PKG-CONFIG-ARGUMENT...: into the array, or fail
    local -n into=$1
    local text

    shift
    text=$(say "$@") || return 1
    read -r -a into <<<"$text"
}

compile() { # compile NAME PACKAGE [FLAG...]
    local name=$1 package=$2 cflags

    shift 2
    words cflags --cflags "$package" || return 1
    "${cc[@]}" -O2 -Wall -Wextra -Werror "${cflags[@]}" "$@" -c "$name.c" -o "$name.o"
}

link_shared() { # link_shared NAME PACKAGE
    local libs

    words libs --libs "$2" && "${cc[@]}" "$1.o" -o "$1.shared" "${libs[@]}"
}

link_static() { # link_static NAME PACKAGE - ours from archives, the system's as it is
    local libs i

    words libs --static --libs "$2" || return 1
    for i in "${!libs[@]}"; do
        case ${libs[i]} in -lcorvid*) libs[i]=-l:lib${libs[i]#-l}.a ;; esac
    done
    "${cc[@]}" "$1.o" -o "$1.static" "${libs[@]}"
}

runs() { # runs FILE: it prints the version and success
    [ "$(LD_LIBRARY_PATH=$libdir timeout 30 "./$1")" = "$version success" ]
}

no_cached_errno() {
    ! nm -u "$1" | grep -w __errno_location
}

cached_errno_without_the_flag() { # the check above can fail
    local cflags

    words cflags --cflags-only-I corvid &&
        "${cc[@]}" -O2 "${cflags[@]}" -c program.c -o bare.o && nm -u bare.o | grep -qw __errno_location
}

hidden() { # nothing is exported but public names, and of the others those that our further libraries need
    local needed

    needed=$(nm -Du "$libdir"/libcorvid-{http,tls}.so 2>/dev/null | awk '{print $2}' | grep '^co__')
    ! nm -D --defined-only "$libdir/$1" | awk '{print $3}' | grep -Ev '^co_[^_]' | grep -vxF "$needed"
}

soname() {
    readelf -d "$libdir/$1.so" | grep -F "soname: [$1.so.0]"
}

no_private_header() {
    ! find root -path '*private*' | grep .
}

try "meson install" meson install -C "$build" --no-rebuild --destdir "$tmp/root"
pc=$(find "$tmp/root" -name corvid.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=${pc%/*}
try "no private header is installed" no_private_header
try "pkg-config knows the version" say --exact-version="$version" corvid
for program in program:corvid server:corvid-http secure:corvid-tls; do
    package=${program#*:}
    program=${program%:*}
    [ -f "$PKG_CONFIG_PATH/$package.pc" ] || continue
    try "$package: a program outside the tree compiles" compile "$program" "$package"
    try "$package: its object has no undefined __errno_location" no_cached_errno "$program.o"
    try "$package: it links the shared library" link_shared "$program" "$package"
    try "$package: it runs with the shared library" runs "$program.shared"
    try "$package: it links the static library" link_static "$program" "$package"
    try "$package: it runs with the static library" runs "$program.static"
    try "$package: only what is public is exported" hidden "lib$package.so"
    try "$package: the soname is there" soname "lib$package"
done
try "without the flag, errno would have been cached" cached_errno_without_the_flag
echo "1..$number"
exit $failed
