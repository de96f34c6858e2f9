#!/run/guest/busybox sh
# Process 1 of the guest, in a root of its own: prepare what a distribution prepares, run the
# command, tell its exit status, and switch off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root USER=root LOGNAME=root
. /run/guest/settings
as='' leaf='' unified=''
hostname nsbox-guest
/run/guest/busybox ifconfig lo up
. /run/guest/cgroups.sh
[ -z "$RUN_AS" ] || . /run/guest/user.sh

# The device of a channel to the host: Documentation/driver-api/virtio and virtio-console.
device() {
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name")" != "$1" ] || echo "/dev/${port##*/}"
    done
}

# A device opens once only, so programs get pipes, which can be opened by name as often as they like.
for channel in stdout stderr report; do
    mkfifo -m 666 "/run/guest/$channel"
    cat "/run/guest/$channel" >"$(device $channel)" &
    pumps="$pumps $!"
done

exec 3>/run/guest/report # held, so that its pump sees an end whether the command opens it or not
(
    exec 3>&-
    [ -z "$leaf" ] || echo 0 >"$leaf/cgroup.procs"
    exec setsid $as /bin/sh /run/guest/command </dev/null >/run/guest/stdout 2>/run/guest/stderr
)
status=$?
exec 3>&-
(sleep 5 && kill $pumps) & # something that the command left behind may hold the pipes open
wait $pumps
echo $status >"$(device status)"
exec /run/guest/busybox poweroff -f
