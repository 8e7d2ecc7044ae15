# Becomes systemd, the first process of a namespace, over what is installed here: nothing of that is written to.
# $1: an empty directory of ours; $2: a directory that both sides see, as /shared in there.
set -e
shared=$2
cd "$1"
mount -t tmpfs tmpfs .
# What cd led to is below it.
cd "$1"
mkdir over work root
mount -t overlay overlay -o lowerdir=/,upperdir=over,workdir=work root
cd root
mount -t proc proc proc
# The kernel's settings are this computer's.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
for each in run tmp dev sys; do
    mount -t tmpfs tmpfs $each
done
for each in null zero random urandom full; do
    touch dev/$each
    mount --bind /dev/$each dev/$each
done
mkdir dev/shm shared
mount --bind "$shared" shared
# A file that the preloaded library makes a watchdog device of.
touch dev/watchdog0
mount --bind shared/watchdog0 dev/watchdog0
mkdir -p sys/fs/cgroup sys/class/watchdog/watchdog0
echo 'Software Watchdog' > sys/class/watchdog/watchdog0/identity
mount -t cgroup2 cgroup2 sys/fs/cgroup

# Only what is to be tried is started, and by our units.
rm -rf etc/systemd/system etc/fstab usr/lib/systemd/system/*.target.wants
for each in wdmd sanlock virtlockd virtlockd-admin virt-sanlock-cleanup; do
    rm -f usr/lib/systemd/system/$each.* etc/default/$each etc/sysconfig/$each
done
rm -f etc/sanlock/sanlock.conf
mkdir -p etc/systemd/system
cp shared/units/* etc/systemd/system/
cp shared/programs/* usr/sbin/
cat shared/machine-id > etc/machine-id
for each in wdmd sanlock; do
    mkdir etc/systemd/system/$each.service.d
    printf '[Service]\nExecStopPost=/bin/sh -c "echo %s >> /shared/stopped"\n' $each > etc/systemd/system/$each.service.d/told.conf
done
cat > etc/systemd/system/wdmd.service.d/device.conf <<'EOT'
[Service]
Environment=LD_PRELOAD=/shared/device.so WATCHDOG_LOG=/shared/watchdog.log WATCHDOG_RULES=/shared/watchdog.rules
EOT
systemd=usr/lib/systemd/systemd
exec env -i container=leasehold PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /$systemd --log-target=null --unit=basic.target
