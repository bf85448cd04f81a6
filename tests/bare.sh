#!/bin/sh
# Runs the README's commands on a Debian that has nothing but Rust, Node and make, so that a package which
# no list names is missed here as it is on a fresh machine.
#
#   tests/bare.sh start|test|COMMAND...
#
# `start` and `test` run `make start` (without a display) and `make test`. For each a layer with the packages
# of `make packages-start` or `make packages-test` lies over one bare tree; both are kept until the lists
# change. Everything else that a command writes outside of the caches is gone after it. A COMMAND runs with
# the packages of `test`.
#
# The program runs in a root, a table of mounts and a table of processes of its own, and shares the network
# with this computer. From this computer it gets the checkout (a copy), Rust, Node, their caches, and how to
# reach the network. The files lie below $TANDEM_BARE, by default ~/.cache/tandem/bare.
set -eu

# The shell reads all of it before it begins, so that nobody is disturbed who edits it meanwhile.
{
suite=bookworm
checkout=$(cd "$(dirname "$0")/.." && pwd)
caches=${XDG_CACHE_HOME:-$HOME/.cache}
bare=${TANDEM_BARE:-$caches/tandem/bare}
target=${CARGO_TARGET_DIR:-$caches/tandem/target}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
# The same place each time, wherever the checkout lies: cargo knows a package by its path.
inside=/tandem

fail() {
    echo "$1" >&2
    exit 1
}

[ $# -gt 0 ] || fail "usage: tests/bare.sh start|test|COMMAND..."
[ "$(uname -s)/$(id -u)" = Linux/0 ] || fail "A bare Debian can be made on Linux by root only."
for tool in cargo rustc node npm; do
    command -v $tool >/dev/null || fail "$tool is missing."
done
sysroot=$(rustc --print sysroot)
[ "$sysroot" != /usr ] || fail "This Rust is made of Debian's packages. One from https://rustup.rs is needed here."
if ! command -v debootstrap >/dev/null || [ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        debootstrap debian-archive-keyring mount util-linux >/dev/null
fi

mkdir -p "$bare" "$bare/lab" "$target"
exec 9>"$bare/lock"
flock 9

case $1 in
start | test) kind=$1 words="make $1" ;;
*) kind=test words= ;;
esac

# A short name for what is read from stdin.
name() {
    sha256sum | cut -c 1-12
}

# The mirrors that this computer uses for Debian, or Debian's own. One of them that fails is no reason to stop.
uris() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *//p' | tr ' ' '\n'
}
mirror=$(uris | sed 's:/$::' | grep '/debian$' | head -n 1) || mirror=
security=$(uris | sed 's:/$::' | grep '/debian-security$' | head -n 1) || security=
mirror=${mirror:-http://deb.debian.org/debian}
security=${security:-http://deb.debian.org/debian-security}

root=$bare/root-$(echo "$suite $mirror" | name)
if [ ! -d "$root" ]; then
    echo "Making a bare Debian ($suite), which takes a minute."
    rm -rf --one-file-system "$bare"/root-* "$bare"/root.part
    # `make` is what the README's commands begin with.
    include=make
    case $mirror$security in *https:*) include=$include,ca-certificates ;; esac
    debootstrap --variant=minbase --include=$include $suite "$bare/root.part" "$mirror" >"$bare/debootstrap.log" ||
        fail "$(tail -n 5 "$bare/debootstrap.log")"
    rm -rf "$bare/root.part/var/cache/apt/archives"
    mv "$bare/root.part" "$root"
fi

# The checkout, into the copy of last time: a file that did not change keeps its time, or cargo would build
# everything again.
copy=$bare/checkout
mkdir -p "$copy"
files() {
    cd "$checkout"
    if git -c safe.directory="$checkout" rev-parse --git-dir >/dev/null 2>&1; then
        git -c safe.directory="$checkout" ls-files --cached --others --exclude-standard
    else
        find . \( -path ./.git -o -path ./target -o -path ./ui/node_modules -o -path ./ui/dist -o -path ./test-artifacts \) \
            -prune -o -type f -print | sed 's:^\./::'
    fi | LC_ALL=C sort
}
files | while read -r file; do
    [ -f "$checkout/$file" ] || continue
    echo "$file"
    cmp -s "$checkout/$file" "$copy/$file" && continue
    mkdir -p "$copy/$(dirname "$file")"
    cp --preserve=mode "$checkout/$file" "$copy/$file"
done >"$bare/files.new"
[ -s "$bare/files.new" ] || fail "There are no files in $checkout."
if [ -f "$bare/files" ]; then
    LC_ALL=C comm -23 "$bare/files" "$bare/files.new" | while read -r file; do rm -f "$copy/$file"; done
fi
mv "$bare/files.new" "$bare/files"

# Runs a command over the tree and the layers given (lowest last); what it changes goes to the folder `upper`.
in_root() { # LAYERS UPPER COMMAND...
    layers=$1 upper=$2
    shift 2
    rm -rf --one-file-system "$upper" "$bare/work" "$bare/tmp" "$bare/home"
    mkdir -p "$upper" "$bare/work" "$bare/tmp" "$bare/home" "$bare/mount" "$caches/pip" "$HOME/.npm"
    chmod 1777 "$bare/tmp"
    for variable in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
        case $variable in
        [hH][tT][tT][pP]*_[pP][rR][oO][xX][yY] | [nNaA][oOlL]*_[pP][rR][oO][xX][yY] | CARGO_* | RUSTUP_* | RUST_BACKTRACE | \
            npm_config_* | NPM_CONFIG_* | PIP_* | SSL_CERT_* | NODE_EXTRA_CA_CERTS | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE | \
            TERM | TANDEM_LAB_PAIRS)
            eval "value=\$$variable"
            set -- "$variable=$value" "$@"
            ;;
        esac
    done
    # Nobody edits here between two builds, and what would speed that up takes as much room as all programs.
    set -- CARGO_INCREMENTAL=0 HOME="$HOME" LANG=C.UTF-8 CARGO_TARGET_DIR="$target" CARGO_HOME="$cargo_home" RUSTUP_HOME="$rustup_home" \
        PATH="$cargo_home/bin:$sysroot/bin:/opt/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
    export layers upper bare copy inside target cargo_home rustup_home sysroot caches mirror security suite
    unshare --mount --pid --fork --kill-child --propagation private sh -eu "$copy/tests/bare-inside.sh" "$@" 9>&-
}

lists=$({
    cat "$copy/tests/packages.sh"
    grep 'packages.sh' "$copy/Makefile"
    find "$copy/tests" "$copy/src-tauri" -name packages.txt | LC_ALL=C sort | xargs cat
} | name)
layer=$bare/$kind-$(echo "$root $lists" | name)
if [ ! -d "$layer" ]; then
    rm -rf --one-file-system "$bare/$kind"-*
    in_root "$root" "$bare/$kind.part" make --no-print-directory "packages-$kind"
    mv "$bare/$kind.part" "$layer"
fi
# shellcheck disable=SC2086 # two words
[ -z "$words" ] || set -- $words
rm -rf "$copy/test-artifacts"
status=0
in_root "$layer:$root" "$bare/upper" "$@" || status=$?
if [ -d "$copy/test-artifacts" ]; then
    mkdir -p "$checkout/test-artifacts"
    cp -r "$copy/test-artifacts/." "$checkout/test-artifacts/"
fi
exit $status
}
