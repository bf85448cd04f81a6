#!/bin/sh
# Builds tandem-node for both kinds of machine it runs on:
#
#   $CARGO_TARGET_DIR/node/x86_64/tandem-node    the lab and this computer
#   $CARGO_TARGET_DIR/node/aarch64/tandem-node   a Spark
#
# The second comes from rustup's aarch64 library when it is installed, else from Debian's own
# cross packages, and is started once under qemu so that a build which cannot run is noticed here.
# With an argument (x86_64 or aarch64) only that one is built.
set -eu

cd "$(dirname "$0")/../.."
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
case $target_dir in /*) ;; *) target_dir=$PWD/$target_dir ;; esac
out=$target_dir/node
which=${1:-all}

place() { # FROM ARCH
    mkdir -p "$out/$2"
    cp "$1" "$out/$2/tandem-node.new"
    mv "$out/$2/tandem-node.new" "$out/$2/tandem-node"
}

build_x86_64() {
    CARGO_TARGET_DIR=$out/build cargo build --release --locked -p tandem-node --bin tandem-node
    place "$out/build/release/tandem-node" x86_64
    "$out/x86_64/tandem-node" version
}

build_aarch64() {
    triple=aarch64-unknown-linux-gnu
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
    missing=
    command -v aarch64-linux-gnu-gcc >/dev/null || missing="$missing gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    command -v qemu-aarch64-static >/dev/null || missing="$missing qemu-user-static"
    if command -v rustup >/dev/null && rustup target list --installed | grep -qx $triple; then
        build=$out/build
        set -- cargo
    elif [ -x /usr/lib/rust-web/bin/cargo ] || [ -x /usr/bin/cargo ]; then
        # Another compiler must not share a folder with the first: each would rebuild the other's work.
        build=$out/build-debian
        if [ -x /usr/lib/rust-web/bin/cargo ]; then bin=/usr/lib/rust-web/bin; else bin=/usr/bin; fi
        set -- env "RUSTC=$bin/rustc" "RUSTUP_TOOLCHAIN=" "$bin/cargo"
    else
        missing="$missing rustc-web cargo-web libstd-rust-web-dev:arm64"
        set -- false
    fi
    if [ -n "$missing" ]; then
        echo "tandem-node for aarch64 was not built. Missing:$missing" >&2
        echo "On Debian or Ubuntu: dpkg --add-architecture arm64 && apt-get update && apt-get install$missing" >&2
        echo "Or with rustup: rustup target add $triple" >&2
        exit 1
    fi
    CARGO_TARGET_DIR=$build "$@" build --release --locked -p tandem-node --bin tandem-node --target $triple
    place "$build/$triple/release/tandem-node" aarch64
    qemu-aarch64-static -L /usr/aarch64-linux-gnu "$out/aarch64/tandem-node" version
}

case $which in
x86_64) build_x86_64 ;;
aarch64) build_aarch64 ;;
all)
    build_x86_64
    build_aarch64
    ;;
*)
    echo "usage: build.sh [x86_64|aarch64]" >&2
    exit 2
    ;;
esac
