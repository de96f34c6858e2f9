"""Which kinds of namespace there are, and whether this caller may make a user namespace."""

from nsbox.constants import Capability
from nsbox.frozen import FrozenMap
from nsbox.host.finding import Finding, Obstacle
from nsbox.host.host import Host
from nsbox.procfs import parse_mountinfo

KERNEL_OPTIONS = {
    "cgroup": "CONFIG_CGROUPS",
    "ipc": "CONFIG_IPC_NS",
    "mnt": "CONFIG_NAMESPACES",
    "net": "CONFIG_NET_NS",
    "pid": "CONFIG_PID_NS",
    "time": "CONFIG_TIME_NS",
    "user": "CONFIG_USER_NS",
    "uts": "CONFIG_UTS_NS",
}
"""What a kernel is built with to have a kind, by the kind's name in `/proc/PID/ns`."""


def namespaces(host: Host) -> FrozenMap[str, Finding]:
    """Look whether the kernel has each kind, and lets anyone make one: namespaces(7)."""
    return FrozenMap({kind: _namespace(host, kind) for kind in KERNEL_OPTIONS})


def user_namespaces(host: Host) -> Finding:
    """Look for whatever keeps this caller from a user namespace: user_namespaces(7), ERRORS.

    A seccomp filter can be seen but not read, so it is mentioned and does not decide.
    """
    obstacle = (
        _namespace(host, "user").obstacle or _chroot(host) or _debian(host) or _apparmor(host)
    )
    if obstacle:
        return Finding("user namespaces", "refused to this caller", obstacle)
    details = ["allowed"]
    if host.capabilities & Capability.CAP_SYS_ADMIN:
        details.append("not needed with CAP_SYS_ADMIN")
    if _restricts_unprivileged(host) and (profile := _profile(host)) != "unconfined":
        details.append(f"AppArmor's profile {profile!r} decides")
    if host.filtered:
        details.append("may be blocked by a container's seccomp filter")
    return Finding("user namespaces", "; ".join(details))


def _namespace(host: Host, kind: str) -> Finding:
    name, limit = f"{kind} namespace", f"user.max_{kind}_namespaces"
    if not host.has(f"/proc/self/ns/{kind}"):
        option = KERNEL_OPTIONS[kind]
        reason = f"/proc/self/ns/{kind} is missing: the kernel was built without {option}"
        return Finding(name, "missing", Obstacle(reason, f"boot a kernel with {option}=y"))
    allowed = host.sysctl(limit)
    if allowed == 0:
        reason = f"the sysctl {limit} is 0: nobody may make one, not even root"
        return Finding(name, "forbidden", Obstacle(reason, f"sysctl -w {limit}=10000"))
    return Finding(name, "no limit known" if allowed is None else f"up to {allowed} per user")


def _chroot(host: Host) -> Obstacle | None:
    """Recognise a chroot, which rules out user namespaces: what is mounted on "/" is out of sight.

    One whose root happens to be a mount point looks like no chroot, and passes.
    """
    mounts = host.parse("/proc/self/mountinfo", parse_mountinfo)
    if not mounts or any(mount.mount_point == "/" for mount in mounts):
        return None
    return Obstacle(
        "the caller is in a chroot, where the kernel makes no user namespace",
        "enter the new root with pivot_root(2) (bwrap, systemd-nspawn, a container) in its stead",
    )


def _debian(host: Host) -> Obstacle | None:
    """Ask the switch that Debian, Arch's hardened kernel and others add to the kernel's own."""
    if host.sysctl("kernel.unprivileged_userns_clone") != 0:
        return None
    # Their patch asks for the capability in the first user namespace, wherever the caller is.
    if host.capabilities & Capability.CAP_SYS_ADMIN and host.in_first_user_namespace:
        return None
    return Obstacle(
        "the sysctl kernel.unprivileged_userns_clone is 0",
        "sysctl -w kernel.unprivileged_userns_clone=1",
    )


def _apparmor(host: Host) -> Obstacle | None:
    """Ask Ubuntu's restriction, which spares programs that have a profile with a `userns` rule.

    From 24.04 on it lets the namespace be made, and takes all capabilities in it away.
    """
    if not _restricts_unprivileged(host) or _profile(host) != "unconfined":
        return None
    sysctl = "kernel.apparmor_restrict_unprivileged_userns"
    return Obstacle(
        f"AppArmor restricts the user namespaces of unconfined programs ({sysctl} is 1)",
        f"give the program an AppArmor profile with `userns,`, or: sysctl -w {sysctl}=0",
    )


def _restricts_unprivileged(host: Host) -> bool:
    privileged = bool(host.capabilities & Capability.CAP_SYS_ADMIN)
    return not privileged and host.sysctl("kernel.apparmor_restrict_unprivileged_userns") == 1


def _profile(host: Host) -> str:
    """Return the AppArmor profile of the caller, as in "firefox (enforce)": apparmor(7)."""
    attributes = "/proc/thread-self/attr"
    label = host.read(f"{attributes}/apparmor/current") or host.read(f"{attributes}/current")
    return (label or "unconfined").rstrip("\0\n")
