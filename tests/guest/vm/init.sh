#!/bin/busybox sh
# The guest's first program, in its initramfs: load drivers, lay a throw-away file system over the
# host's files, and go on there with start.sh.
/bin/busybox --install -s /bin
export PATH=/bin
. /guest/settings

fail() {
    echo "nsbox guest: $1"
    poweroff -f
}

mkdir /lower /scratch /new
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do
    insmod "/modules/$module.ko" || echo "nsbox guest: module $module was not loaded"
done </modules/order

mount -t ext4 -o noatime,discard /dev/vda /scratch || fail 'no scratch disk'
mount -t virtiofs -o ro host /lower || fail "the host's files cannot be mounted"
mkdir /scratch/upper /scratch/work
mkdir -m 1777 /scratch/tmp
mount -t overlay -o lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work overlay /new ||
    fail 'no overlay'

cd /new || fail 'no root'
mount --move /proc proc
mount --move /sys sys
mount --move /dev dev
mkdir -p dev/pts dev/shm dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/user run/lock run/guest/tmp
mount --bind /scratch/tmp run/guest/tmp # of a plain ext4, so that tests can use it below an overlay
mkdir -p "lib/modules/$(uname -r)"
mount --bind "/lower$MODULES" "lib/modules/$(uname -r)"
cp /bin/busybox /guest/* run/guest/
exec switch_root . /run/guest/busybox sh /run/guest/start.sh
