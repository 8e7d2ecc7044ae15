# A host of its own within namespaces of mounts, processes and networks: libvirtd with a guest, and nothing of what
# it does is left behind. Its first argument is a directory for its files.
set -e
dir=$1
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$dir"
mkdir "$dir"/etc "$dir"/work "$dir"/lib "$dir"/log "$dir"/cache
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$dir/etc,workdir=$dir/work" /etc
mkdir -p /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind "$dir"/lib /var/lib/libvirt
mount --bind "$dir"/log /var/log/libvirt
mount --bind "$dir"/cache /var/cache/libvirt
ip link set lo up
rm -f /etc/machine-id
echo 0123456789abcdef0123456789abcd01 > /etc/machine-id
mkdir -p /etc/libvirt /etc/sasl2 /root/.config
mount -t tmpfs tmpfs /root/.config
# Packages that were not configured have not made them.
grep -q ^libvirt-qemu: /etc/passwd || echo libvirt-qemu:x:64055:994::/var/lib/libvirt:/bin/false >> /etc/passwd
grep -q ^libvirt-qemu: /etc/group || echo libvirt-qemu:x:64055: >> /etc/group
grep -q ^kvm: /etc/group || echo kvm:x:994: >> /etc/group
printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'namespaces = []' \
    'cgroup_controllers = []' > /etc/libvirt/qemu.conf
: > /etc/libvirt/libvirtd.conf
