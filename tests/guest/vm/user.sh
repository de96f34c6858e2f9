# An ordinary user, with a cgroup v2 subtree delegated as systemd does for user@UID.service:
# "Delegation" in cgroups(7). Sets $leaf to the group that the user's command is to start in, and
# $as to what makes a command the user's (busybox has a setpriv too, which cannot).

id "$RUN_AS" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$RUN_AS"
uid=$(id -u "$RUN_AS")
gid=$(id -g "$RUN_AS")
as="/usr/bin/setpriv --reuid $uid --regid $gid --init-groups"
for file in /etc/subuid /etc/subgid; do
    grep -q "^$RUN_AS:" $file 2>/dev/null || echo "$RUN_AS:1000000:65536" >>$file
done
export HOME=$(getent passwd "$RUN_AS" | cut -d: -f6) USER=$RUN_AS LOGNAME=$RUN_AS
export XDG_RUNTIME_DIR=/run/user/$uid
mkdir -m 700 "$XDG_RUNTIME_DIR"
chown "$uid:$gid" "$XDG_RUNTIME_DIR"

# An interpreter below root's home is out of others' reach: in the guest, the way is opened.
for path in $REACHED; do
    while [ "$path" != / ]; do
        path=$(dirname "$path")
        chmod a+x "$path"
    done
done

if [ -n "$unified" ]; then
    group=$unified
    for name in user.slice "user-$uid.slice" "user@$uid.service"; do
        for controller in $(cat "$group/cgroup.controllers"); do
            echo "+$controller" >"$group/cgroup.subtree_control"
        done
        group=$group/$name
        mkdir "$group"
    done
    leaf=$group/init.scope
    mkdir "$leaf"
    chown -R "$uid:$gid" "$leaf"
    chown "$uid:$gid" "$group"
    for file in $(cat /sys/kernel/cgroup/delegate); do
        [ ! -e "$group/$file" ] || chown "$uid:$gid" "$group/$file"
    done
fi
