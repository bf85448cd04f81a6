#!/bin/sh
# Runs inside the tree (chroot) once the lab's files are in place: users, services, names of programs.
set -e
useradd --create-home --shell /bin/bash --groups sudo nvidia
echo 'nvidia:spark-lab' | chpasswd
# Each machine gets host keys and an id of its own.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /etc/hostname
systemctl enable lab-hardware.service systemd-networkd.service ssh.service docker.service docker.socket
systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-pstore.service getty@.service
# What a machine does not need here would only cost time and wake the box up.
systemctl mask apt-daily.service apt-daily-upgrade.service console-getty.service systemd-networkd-wait-online.service \
    systemd-resolved.service systemd-timesyncd.service systemd-sysctl.service systemd-udevd.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-machine-id-commit.service systemd-binfmt.service systemd-modules-load.service \
    systemd-tmpfiles-clean.timer motd-news.timer getty.target
