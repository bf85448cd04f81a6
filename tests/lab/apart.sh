#!/bin/sh
# Runs a command in a network, a table of mounts and a table of processes of its own. Several pairs of
# machines, which all have the same names and addresses, can so be there side by side. Whatever the command
# leaves ends with it.
#
#   tests/lab/apart.sh COMMAND...
set -eu

if [ "${1:-}" != --inside ]; then
    exec unshare --net --mount --pid --fork --kill-child --propagation private -- sh "$0" --inside "$@"
fi
shift

mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
# /sys shows the network of whoever mounts it. The control groups below it are the box's.
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
ip link set lo up
# Not `exec`: the first process of a table has to collect what others left.
status=0
"$@" || status=$?
exit $status
