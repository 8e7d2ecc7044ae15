#!/bin/busybox sh
# A machine's first process: mounts what is needed, loads the modules and starts the agent.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
while read -r module; do
    insmod "/modules/$module"
done < /modules/order
# All builds see the same devices, processes and sockets.
for set in /set/*; do
    for dir in dev proc run sys; do
        mount --rbind "/$dir" "$set/$dir"
    done
done
ip link set lo up
hostname "$host"
while :; do
    /guest guest /dev/vport*p1 > /dev/console 2>&1
    sleep 1
done
