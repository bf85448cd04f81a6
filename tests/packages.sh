#!/bin/sh
# Installs the packages that the given lists name, or says which are missing where it cannot.
#
#   tests/packages.sh LIST...
#
# With the argument --arm64 also what Rust needs to build for aarch64: rustup's target where rustup can
# get it, else Debian's own compiler.
set -eu

wanted=
arm64=
for list in "$@"; do
    if [ "$list" = --arm64 ]; then
        arm64=yes
    else
        wanted="$wanted $(sed 's/#.*//' "$list" | tr '\n' ' ')"
    fi
done

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian or Ubuntu. Please see that these are installed under their names here:$wanted" >&2
    exit 0
fi

is_installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

triple=aarch64-unknown-linux-gnu
has_target() {
    command -v rustup >/dev/null || return 1
    rustup target list --installed 2>/dev/null | grep -qx $triple && return
    timeout 120 rustup target add $triple >/dev/null 2>&1
}

missing=
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done
debian_rust() {
    is_installed rustc-web && is_installed cargo-web && is_installed libstd-rust-web-dev:arm64
}
if [ -n "$arm64" ] && ! debian_rust && ! has_target; then
    dpkg --print-foreign-architectures | grep -qx arm64 || foreign=arm64
    for package in rustc-web cargo-web libstd-rust-web-dev:arm64; do
        is_installed "$package" || missing="$missing $package"
    done
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "These packages are missing, and only root can install them:$missing" >&2
    exit 1
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
[ -z "${foreign:-}" ] || $as_root dpkg --add-architecture arm64
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
