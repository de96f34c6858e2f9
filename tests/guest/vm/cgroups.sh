# Mount the cgroup hierarchies at /sys/fs/cgroup as systemd lays them out: cgroups(7).
# Sets $unified to the folder of cgroup v2, or to nothing.

mount_v2() {
    unified=$1
    mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 "$unified"
}

# A v1 hierarchy for each controller that the kernel has (a row that ends in 1 in /proc/cgroups);
# two pairs of them share one.
mount_v1() {
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    for pair in cpu,cpuacct net_cls,net_prio; do
        for link in ${pair%,*} ${pair#*,}; do ln -s "$pair" "/sys/fs/cgroup/$link"; done
    done
    for controllers in cpu,cpuacct net_cls,net_prio none,name=systemd \
        $(awk '$4 == 1 && $1 !~ /^(cpu|cpuacct|net_cls|net_prio)$/ { print $1 }' /proc/cgroups); do
        folder=/sys/fs/cgroup/${controllers#none,name=}
        mkdir "$folder"
        mount -t cgroup -o "$controllers" cgroup "$folder" || rmdir "$folder"
    done
}

case $LAYOUT in
v2) mount_v2 /sys/fs/cgroup ;;
v1) unified='' && mount_v1 ;;
hybrid) mount_v1 && mkdir /sys/fs/cgroup/unified && mount_v2 /sys/fs/cgroup/unified ;;
esac
