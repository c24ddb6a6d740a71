#!/bin/bash
# PID 1 of the lab's PC, in its real root. Prepares all that does not depend on the run, says "warm",
# and waits: the machine's state is saved at that moment, and every run goes on from there. What
# follows comes over the port "control", a line each: the time, the checkout's path, and the job.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
export DENO_NO_UPDATE_CHECK=1 DENO_DIR=/var/cache/deno
umask 022
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm /dev/hugepages
mount -t devpts -o gid=5,mode=620,ptmxmode=666 pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t hugetlbfs huge /dev/hugepages
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t securityfs security /sys/kernel/security
ln -sfn /proc/self/fd /dev/fd
ln -sfn fd/0 /dev/stdin
ln -sfn fd/1 /dev/stdout
ln -sfn fd/2 /dev/stderr
hostname lab
ip link set lo up
modprobe -a kvm_amd tun tap vhost_net vhost_vsock bridge loop xfs ext4 vfat nf_tables \
  9p 9pnet_virtio virtio_net virtio_rng fuse vfio_pci
for module in crc32c_generic xfs btrfs; do modprobe "$module"; done 2> /dev/null
chmod 666 /dev/kvm /dev/net/tun /dev/vhost-net /dev/vhost-vsock
for controller in cpu io memory pids; do
  echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done 2> /dev/null
for name in /sys/class/virtio-ports/*/name; do
  port=${name%/name}
  mkdir -p /dev/virtio-ports
  ln -sf "../${port##*/}" "/dev/virtio-ports/$(cat "$name")"
done
# Deno's pages are in memory from now on.
echo 'console.log(1)' > /tmp/warm.ts
deno run -A --no-config /tmp/warm.ts > /dev/null 2>&1
rm /tmp/warm.ts

exec 3<> /dev/virtio-ports/control
echo warm >&3
read -r _ <&3
echo awake >&3
read -r now <&3
date -s "@$now" > /dev/null
read -r checkout <&3
echo 1 > /sys/bus/virtio/drivers_autoprobe
for device in /sys/bus/virtio/devices/*; do
  [ -e "$device/driver" ] || echo "${device##*/}" > /sys/bus/virtio/drivers_probe
done
mkdir -p "$checkout"
if ! mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000 checkout "$checkout"; then
  echo "failed to mount the checkout" >&3
  poweroff -f
fi
mkfifo /run/output /run/errors
exec 4<> /run/output 5<> /run/errors
# Not the ports themselves: they may be opened only once, and a program may open /dev/stderr.
cat < /run/output > /dev/virtio-ports/output 4>&- 5>&- 3>&- &
cat < /run/errors > /dev/virtio-ports/errors 4>&- 5>&- 3>&- &
echo ready >&3
read -r mark <&3
read -r job <&3
(eval "$job") < /dev/null > /run/output 2> /run/errors 3>&- 4>&- 5>&-
code=$?
# The mark comes after everything that the job wrote, on both streams.
printf '%s' "$mark" >&4
printf '%s' "$mark" >&5
sync -f "$checkout"
echo "exit $code" >&3
while :; do sleep 1000; done
