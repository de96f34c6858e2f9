"""The lists of system calls that `Seccomp` comes with.

Both are lists of what is allowed: a call that nobody thought of is refused. Left out are those that
change the machine (mounts, modules, clocks, keys), that reach around namespaces (unshare, setns and
the flags of clone that make them), and those whose kernel code has been a way out of boxes: bpf,
io_uring, userfaultfd, perf_event_open, keyctl.
"""

import errno

from nsbox.security.seccomp import Argument, Rule, Seccomp

STANDARD = """
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget
    capset chdir chmod chown chown32 chroot clock_adjtime clock_adjtime64 clock_getres
    clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
    close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
    execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
    fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64
    fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd
    getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
    getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
    getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kcmp kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr
    link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr
    lstat lstat64 madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
    munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause
    pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll
    ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_madvise process_mrelease
    process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall
    riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
    semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
    set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid
    setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
    setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaltstack signalfd signalfd4 sigpending sigprocmask sigreturn socketcall socketpair splice
    stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs
    sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64
    ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes
    vfork vmsplice wait4 waitid waitpid write writev
"""
"""What programs commonly need, on all architectures; some have names that others lack."""

UNTRUSTED = """
    adjtimex capset chroot clock_adjtime clock_adjtime64 fanotify_mark get_mempolicy io_cancel
    io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_set kcmp listmount mbind
    memfd_secret mknod mknodat modify_ldt mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd name_to_handle_at pidfd_getfd
    process_madvise process_vm_readv process_vm_writev ptrace remap_file_pages sched_setattr
    sched_setparam sched_setscheduler semctl semget semop semtimedop set_mempolicy setfsgid
    setfsuid setgid setgroups setregid setresgid setresuid setreuid setuid shmat shmctl shmdt
    shmget statmount uretprobe vmsplice
"""
"""Of these, what `strict` leaves out too: looking into others, changing identity, shared memory."""

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, -CGROUP, -UTS, -IPC, -USER, -PID, -NET
_AF_VSOCK = 40
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # plain, Linux 32, UNAME26, ask
_LOW_HALF = 0xFFFFFFFF  # the kernel takes an int there, and passes the rest over


def _conditional() -> tuple[Rule, ...]:
    return (
        Rule("clone", arguments=(Argument(0, "&==", 0, mask=_NEW_NAMESPACES),)),
        Rule("clone3", errno.ENOSYS),  # its flags are in memory: glibc falls back to clone
        Rule("socket", errno.EAFNOSUPPORT, arguments=(_is(0, _AF_VSOCK),)),
        Rule("socket"),
        Rule("ioctl", errno.EPERM, arguments=(_is(1, _TIOCSTI),)),
        Rule("ioctl", errno.EPERM, arguments=(_is(1, _TIOCLINUX),)),
        *(Rule("personality", arguments=(_is(0, known),)) for known in _PERSONALITIES),
    )


def _is(index: int, value: int) -> Argument:
    return Argument(index, "&==", value, mask=_LOW_HALF)


def standard() -> Seccomp:
    """Return the filter of `Seccomp.standard`."""
    return Seccomp((*_conditional(), Rule(STANDARD.split())))


def strict() -> Seccomp:
    """Return the filter of `Seccomp.strict`."""
    kept = [name for name in STANDARD.split() if name not in UNTRUSTED.split()]
    return Seccomp((*_conditional(), Rule(kept)))
