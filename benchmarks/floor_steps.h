/* What the floor is made of: raw system calls, and a function for each kind of step in a plan. */
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <stdint.h>

#if defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* clone3 onto another stack, where run(argument) is called and never returns. */
static inline long clone_onto(struct clone_args *request, void (*run)(long), long argument)
{
    register void (*r8)(long) __asm__("r8") = run;
    register long r9 __asm__("r9") = argument;
    long result;
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\tmov %%r9, %%rdi\n\tcall *%%r8\n\thlt\n1:"
                     : "=a"(result)
                     : "a"((long)__NR_clone3), "D"(request), "S"(sizeof *request), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static inline long clone_onto(struct clone_args *request, void (*run)(long), long argument)
{
    register long x8 __asm__("x8") = __NR_clone3, x0 __asm__("x0") = (long)request;
    register long x1 __asm__("x1") = sizeof *request, x3 __asm__("x3") = argument;
    register void (*x2)(long) __asm__("x2") = run;
    __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\tmov x29, xzr\n\tmov x0, x3\n\tblr x2\n\tbrk #1\n1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "memory", "x30");
    return x0;
}
#else
#error "the floor is written for x86-64 and AArch64"
#endif

#define SYS_MANY(n, a, b, c, d, e, f, ...) \
    sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS(name, ...) SYS_MANY(__NR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

/* What a box is given beside 0, 1 and 2; and where a plan looks for the template.
 * By two eventfds it is told when what is made beside is there, and tells that it has joined that. */
enum { INIT_IMAGE = 3, OWNER, TEMPLATE, MADE, JOINED, MAKER, DESCRIPTORS };
enum { ENOENT_ = 2, EEXIST_ = 17, EINVAL_ = 22, SIGCHLD_ = 17 };

static int slot[SLOTS];
static int maker = -1;

static void forget_slots(void)
{
    for (int i = 0; i < SLOTS; i++)
        slot[i] = -1;
    slot[TEMPLATE_SLOT] = TEMPLATE;
}

static inline long keep(int *into, long fd)
{
    if (fd >= 0 && *into >= 0)
        SYS(close, *into);
    if (fd >= 0)
        *into = (int)fd;
    return fd;
}

/* Where a path beneath a folder starts from, and what of it is left to say. */
struct place {
    int dir, opened;
    const char *name;
};

static inline struct place find(int dir, const char *path, int whole)
{
    struct place place = {.dir = dir, .opened = -1, .name = path};
#ifdef GUARDED
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    char folder[4096];
    int length = 0, slash = 0;
    if (dir < 0)
        return place;
    folder[0] = '.', folder[1] = 0;
    for (; path[length]; length++)
        if (path[length] == '/')
            slash = length + 1;
    if (!whole && slash == 0)
        return place; /* a name that is made, in that very folder */
    for (int i = 0; !whole && i < slash; i++)
        folder[i] = path[i], folder[i + 1] = 0;
    place.dir = place.opened = (int)SYS(openat2, dir, whole ? path : folder, &how, sizeof how);
    place.name = whole ? "" : path + slash;
#else
    (void)whole;
#endif
    return place;
}

static inline long leave(struct place place, long result)
{
    if (place.opened >= 0)
        SYS(close, place.opened);
    return result;
}

/* The steps, by the names of nsbox's operations; each gives a result >= 0 or -errno. */

static inline long step_unshare_files(void)
{
    return SYS(close_range, DESCRIPTORS, ~0U, CLOSE_RANGE_UNSHARE);
}

static inline long step_dup2(void)
{
    return 0; /* they are where they belong: a program of one purpose opens them there */
}

static inline long step_mkdir(const char *path, long mode)
{
    return SYS(mkdirat, AT_FDCWD, path, mode);
}

static inline long step_write(const char *path, const char *bytes, long length)
{
    long fd = SYS(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    long result = fd < 0 ? fd : SYS(write, fd, bytes, length);
    if (fd >= 0)
        SYS(close, fd);
    return result;
}

static inline long step_setns(int namespace, long type)
{
    return SYS(setns, namespace, type);
}

static inline long step_loopback_up(void)
{
    struct ifreq request = {.ifr_ifrn.ifrn_name = "lo", .ifr_ifru.ifru_flags = IFF_UP | IFF_RUNNING};
    long sock = SYS(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
    long result = sock < 0 ? sock : SYS(ioctl, sock, SIOCSIFFLAGS, &request);
    if (sock >= 0)
        SYS(close, sock);
    return result;
}

enum { NOT_MADE = 2 };

static void make_beside(long kinds)
{
    uint64_t joined, made;
    long result = SYS(close_range, DESCRIPTORS, ~0U, CLOSE_RANGE_UNSHARE);
    if (result == 0)
        result = SYS(unshare, kinds);
    if (result == 0)
        result = step_loopback_up();
    made = result < 0 ? NOT_MADE : 1;
    SYS(write, MADE, &made, sizeof made);
    SYS(read, JOINED, &joined, sizeof joined);
    for (;;)
        SYS(exit_group, result != 0);
}

/* By a child that shares all with us, on a stack of its own, until the box has what it made. */
static inline long step_unshare_beside(long kinds)
{
    static char stack[4096] __attribute__((aligned(16)));
    struct clone_args request = {.flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                                 .pidfd = (uint64_t)&maker,
                                 .stack = (uint64_t)stack,
                                 .stack_size = sizeof stack};
    long result = clone_onto(&request, make_beside, kinds);
    if (result < 0 || maker == MAKER) /* mostly it is the lowest number that is free */
        return result < 0 ? result : SYS(fcntl, maker, F_SETFD, 0);
    result = SYS(dup3, maker, MAKER, 0);
    SYS(close, maker);
    maker = MAKER;
    return result;
}

static inline long step_setns_made(int made_by, long kinds)
{
    uint64_t made, one = 1;
    (void)made_by;
    SYS(read, MADE, &made, sizeof made);
    long result = made == NOT_MADE ? -EINVAL_ : SYS(setns, MAKER, kinds);
    SYS(write, JOINED, &one, sizeof one);
    return result;
}

static inline long step_open_folder(int *into, const char *path)
{
    return keep(into, SYS(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
}

static inline long step_unshare(long flags)
{
    return SYS(unshare, flags);
}

static inline long step_sethostname(const char *name)
{
    return SYS(sethostname, name, __builtin_strlen(name));
}

static inline long step_setdomainname(const char *name)
{
    return SYS(setdomainname, name, __builtin_strlen(name));
}

static inline long step_open_tree(int *into, int dir, const char *path, long flags)
{
    return keep(into, SYS(open_tree, dir, path, flags | OPEN_TREE_CLOEXEC));
}

static inline long step_fsopen(int *into, const char *type)
{
    return keep(into, SYS(fsopen, type, FSOPEN_CLOEXEC));
}

static inline long step_fsconfig(int context, long command, const char *key, const char *value)
{
    return SYS(fsconfig, context, command, *key ? key : 0, *value ? value : 0, 0);
}

static inline long step_fsmount(int *into, int context, long attributes)
{
    return keep(into, SYS(fsmount, context, FSMOUNT_CLOEXEC, attributes));
}

static inline long step_mount_setattr(int dir, const char *path, long flags, long set, long clear,
                                      long propagation)
{
    struct mount_attr attributes = {.attr_set = (uint64_t)set,
                                    .attr_clr = (uint64_t)clear,
                                    .propagation = (uint64_t)propagation};
    return SYS(mount_setattr, dir, path, flags, &attributes, sizeof attributes);
}

static inline long step_move_mount(int tree, int dir, const char *path)
{
    struct place at = find(dir, path, 1);
    return leave(at, SYS(move_mount, tree, "", at.dir, at.name,
                         MOVE_MOUNT_F_EMPTY_PATH | (*at.name ? 0 : MOVE_MOUNT_T_EMPTY_PATH)));
}

static inline long step_open_device(int *into, int dir, const char *path, long major, long minor)
{
    struct statx found;
    long tree = SYS(open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree >= 0)
        SYS(statx, tree, "", AT_EMPTY_PATH, STATX_TYPE, &found);
    (void)major, (void)minor;
    return keep(into, tree);
}

static inline long step_mask(int *empty, int dir, const char *path)
{
    struct mount_attr readonly = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                              MOUNT_ATTR_NOEXEC};
    struct place at = find(dir, path, 1);
    struct statx found;
    long tree;
    if (at.dir < 0)
        return 0;
    long result = SYS(statx, at.dir, at.name, AT_EMPTY_PATH, STATX_TYPE, &found);
    int folder = result == 0 && (found.stx_mode & 0170000) == 0040000;
    if (folder && *empty >= 0) {
        tree = SYS(open_tree, *empty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    } else if (folder) {
        long context = SYS(fsopen, "tmpfs", FSOPEN_CLOEXEC);
        SYS(fsconfig, context, FSCONFIG_SET_STRING, "mode", "555", 0);
        SYS(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
        tree = SYS(fsmount, context, FSMOUNT_CLOEXEC,
                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        SYS(close, context);
    } else {
        tree = SYS(open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        SYS(statx, tree, "", AT_EMPTY_PATH, STATX_TYPE, &found);
        SYS(mount_setattr, tree, "", AT_EMPTY_PATH, &readonly, sizeof readonly);
    }
    result = leave(at, SYS(move_mount, tree, "", at.dir, at.name,
                           MOVE_MOUNT_F_EMPTY_PATH | (*at.name ? 0 : MOVE_MOUNT_T_EMPTY_PATH)));
    if (folder && *empty < 0)
        *empty = (int)tree;
    else
        SYS(close, tree);
    return result;
}

static inline long step_mknodat(int dir, const char *path, long mode, long major, long minor)
{
    struct place at = find(dir, path, 0);
    return leave(at, SYS(mknodat, at.dir, at.name, mode, (minor & 0xff) | major << 8));
}

static inline long step_mkdirat(int dir, const char *path, long mode)
{
    struct place at = find(dir, path, 0);
    long result = leave(at, SYS(mkdirat, at.dir, at.name, mode));
    return result == -EEXIST_ ? 0 : result;
}

static inline long step_openat(int dir, const char *path, long mode, const char *bytes, long length)
{
    struct place at = find(dir, path, 0);
    long fd = leave(at, SYS(openat, at.dir, at.name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode));
    if (fd < 0)
        return fd == -EEXIST_ && length == 0 ? 0 : fd;
    long result = length ? SYS(write, fd, bytes, length) : 0;
    SYS(close, fd);
    return result;
}

static inline long step_symlinkat(const char *target, int dir, const char *path)
{
    struct place at = find(dir, path, 0);
    return leave(at, SYS(symlinkat, target, at.dir, at.name));
}

static inline long step_fchdir(int dir)
{
    return SYS(fchdir, dir);
}

static inline long step_pivot_root(const char *new, const char *old)
{
    return SYS(pivot_root, new, old);
}

static inline long step_umount2(const char *path, long flags)
{
    return SYS(umount2, path, flags);
}

static inline long step_chdir(const char *path)
{
    return SYS(chdir, path);
}

/* What a command may do, and how it begins. */

struct capability_sets {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

static inline long step_capbset_drop(uint64_t dropped)
{
    for (int capability = 0; capability < 64; capability++) {
        long result = !(dropped >> capability & 1)
                          ? 0
                          : SYS(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
        if (result < 0)
            return result == -EINVAL_ ? 0 : result; /* beyond the last that this kernel knows */
    }
    return 0;
}

static inline long step_capset(uint64_t kept)
{
    struct capability_sets sets = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    SYS(capget, &sets.header, sets.data);
    for (int half = 0; half < 2; half++) {
        sets.data[half].permitted &= (uint32_t)(kept >> 32 * half);
        sets.data[half].effective = sets.data[half].permitted;
        sets.data[half].inheritable = 0;
    }
    SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return SYS(capset, &sets.header, sets.data);
}

static inline long step_ambient(uint64_t raised)
{
    struct capability_sets sets = {.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    SYS(capget, &sets.header, sets.data);
    for (int half = 0; half < 2; half++)
        sets.data[half].inheritable = sets.data[half].permitted & (uint32_t)(raised >> 32 * half);
    long result = SYS(capset, &sets.header, sets.data);
    for (int capability = 0; result >= 0 && capability < 64; capability++)
        if (sets.data[capability / 32].inheritable >> capability % 32 & 1)
            result = SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    return result;
}

static inline long step_no_new_privs(void)
{
    return SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static inline long step_not_dumpable(void)
{
    return SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static inline long step_seccomp(const char *program, long size)
{
    struct sock_fprog filter = {.len = (unsigned short)(size / (long)sizeof(struct sock_filter)),
                                .filter = (struct sock_filter *)program};
    return SYS(seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

static inline long step_setgroups(const char *groups, long size)
{
    return SYS(setgroups, size / 4, groups);
}

static inline long step_join_session_keyring(void)
{
    return SYS(keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
}

static inline long step_setpgid(void)
{
    return SYS(setpgid, 0, 0);
}

static inline long step_setsid(void)
{
    return SYS(setsid, 0);
}

static inline long step_umask(long mode)
{
    return SYS(umask, mode);
}

static inline long step_signals(void)
{
    uint64_t default_action[4] = {0}, none = 0;
    for (int signal = 1; signal <= 64; signal++)
        if (signal != 9 && signal != 19)
            SYS(rt_sigaction, signal, default_action, 0, sizeof none);
    return SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, sizeof none);
}

static inline long step_close_range(long first, long flags)
{
    return SYS(close_range, first, ~0U, flags);
}
