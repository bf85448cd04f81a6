#!/bin/sh
# Boots {name} and boots it again whenever it reboots itself. Written by the lab for this run.
for tree in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    # Each machine has groups of its own, or the two would share one. An empty cpuset takes no process.
    case "$tree" in *cpuset*) continue ;; esac
    [ -e "$tree/cgroup.procs" ] || continue
    mkdir -p "$tree/{group}" && echo $$ > "$tree/{group}/cgroup.procs" || true
done
while :; do
    systemd-nspawn --quiet --register=no --keep-unit --boot --directory={disk}/root --machine={name} --hostname={name} \
        --network-namespace-path=/run/netns/{namespace} --capability=all --system-call-filter='add_key keyctl bpf' \
        --console=pipe --resolv-conf=off --timezone=off --link-journal=no \
        --bind={disk}/docker:/var/lib/docker --bind={disk}/home:/home --bind-ro={hardware}:/opt/lab/hardware
    # 133 says that it wants to boot again; anything else, that it was switched off.
    [ $? = 133 ] || exit 0
    # Its links outlive it here. After a real reboot they know nothing of before.
    for interface in enP7s7 enp1s0f0np0 enp1s0f1np1 enP2p1s0f0np0 enP2p1s0f1np1; do
        ip -n {namespace} addr flush dev "$interface"
        ip -n {namespace} link set "$interface" down mtu 1500
    done
done
