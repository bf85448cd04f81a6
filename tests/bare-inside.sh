# Second half of tests/bare.sh: in namespaces of its own, puts the root together, enters it and runs the
# command that is given, after assignments of its environment.
mount=$bare/mount
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$upper,workdir=$bare/work" "$mount"

bind() { # FROM TO
    if [ -d "$1" ]; then mkdir -p "$mount$2"; else
        mkdir -p "$mount$(dirname "$2")"
        [ -e "$mount$2" ] || : >"$mount$2"
    fi
    mount --rbind "$1" "$mount$2"
}
bind /dev /dev
bind /sys /sys
mount -t proc proc "$mount/proc"
mount -t tmpfs -o mode=755 tmpfs "$mount/run"
bind "$bare/tmp" /tmp
bind "$bare/home" "$HOME"
bind "$copy" "$inside"
bind "$target" "$target"
bind "$bare/lab" /var/cache/tandem-lab
bind "$cargo_home" "$cargo_home"
if [ -d "$rustup_home" ]; then bind "$rustup_home" "$rustup_home"; fi
case $sysroot in "$rustup_home"/*) ;; *) bind "$sysroot" "$sysroot" ;; esac

# Node as if unpacked from its archive.
node=$(node -p process.execPath)
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
bind "$node" /opt/node/bin/node
bind "$npm" /opt/node/lib/node_modules/npm
ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$mount/opt/node/bin/npm"
ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$mount/opt/node/bin/npx"

# How to reach the network, and whom to trust there.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
    if [ -f "$file" ]; then cp -L "$file" "$mount$file"; fi
done
for folder in "$HOME/.npm" "$caches/pip"; do bind "$folder" "$folder"; done
for file in .npmrc .config/pip/pip.conf .pip/pip.conf; do
    if [ -f "$HOME/$file" ]; then bind "$HOME/$file" "$HOME/$file"; fi
done
if [ -d /usr/local/share/ca-certificates ]; then
    mkdir -p "$mount/usr/local/share/ca-certificates"
    cp -rL /usr/local/share/ca-certificates/. "$mount/usr/local/share/ca-certificates/"
fi
cat >"$mount/etc/apt/sources.list" <<END
deb $mirror $suite main
deb $mirror $suite-updates main
deb $security $suite-security main
END
apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' >"$mount/etc/apt/apt.conf.d/90host" || true
# A layer that was cut short is made anew, so nothing has to be safe on the disk in between.
echo force-unsafe-io >"$mount/etc/dpkg/dpkg.cfg.d/bare"
# No service of a package shall start.
printf '#!/bin/sh\nexit 101\n' >"$mount/usr/sbin/policy-rc.d"
chmod 755 "$mount/usr/sbin/policy-rc.d"

mkdir -p "$mount/.old"
cd "$mount"
pivot_root . .old
umount -l /.old
rmdir /.old
cd "$inside"
# Not `exec`: the first process of a table has to collect what others left.
env -i "$@"
