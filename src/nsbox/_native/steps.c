/* The interpreter of a plan: one loop, one switch, one system call a case.
 *
 * NO ALLOCATION, NO LIBC, NO LOCK from here on down: these files run in a child that shares the
 * memory of a caller with threads, and again in the box's first process, which has no libc at all.
 */
#include "steps.h"

#include <asm/ioctls.h>

#include "operations.h"
#include "sys.h"

void run_begin(struct run *run, struct page *page, const int32_t *given)
{
    const int32_t *there = at(page, page->descriptors);
    run->page = page;
    for (int i = 0; i < SLOTS; i++)
        run->slot[i] = (uint32_t)i >= page->descriptor_count || there[i] < 0 ? -1
                       : given                                               ? given[i]
                                                                             : i;
}

void run_end(struct run *run)
{
    for (uint32_t i = run->page->descriptor_count; i < SLOTS; i++)
        if (run->slot[i] >= 0)
            SYS(__NR_close, run->slot[i]);
}

static int slot_of(const struct run *run, int64_t index)
{
    if (index < 0) /* AT_FDCWD travels as itself */
        return (int)index;
    return index < SLOTS ? run->slot[index] : -1;
}

/* Keep a new descriptor in its slot; what was there before is no longer needed. */
static long keep(struct run *run, int64_t index, long fd)
{
    if (fd < 0)
        return fd;
    if (run->slot[index] >= 0)
        SYS(__NR_close, run->slot[index]);
    run->slot[index] = (int)fd;
    return fd;
}

/* From here on each descriptor given has the number of its slot. */
static long arrange(struct run *run)
{
    long result = arrange_descriptors(run->page);
    run_begin(run, run->page, 0);
    return result;
}

static long do_step(struct run *run, const struct nsbox_step *step)
{
    struct page *page = run->page;
    const int64_t *operand = step->operand;
#define NUMBER(i) operand[i]
#define TEXT(i) ((const char *)at(page, page->data + (uint32_t)operand[i]))
#define FD(i) slot_of(run, operand[i])
#define KEEP(i, fd) keep(run, operand[i], fd)

    switch ((enum operation)step->operation) {
    case OP_UNSHARE_BESIDE:
    case OP_CLONE3:
    case OP_CLONE3_INTO:
    case OP_CLONE_VM:
        return 0; /* these begin another process: run_steps stops before them */

    case OP_SAME_CALLER:
        return same_caller(NUMBER(0), NUMBER(1), (uint64_t)NUMBER(2));
    case OP_UNCHANGED:
        return unchanged(TEXT(0), NUMBER(1));
    case OP_SAME_KIND:
        return same_kind(TEXT(0), NUMBER(1) != 0);
    case OP_SAME_MOUNTS:
        return same_mounts((int)NUMBER(0), NUMBER(1), (struct watch *)NUMBER(2));

    case OP_ALIVE:
        return is_alive(FD(0));
    case OP_THAWED:
        return is_thawed(TEXT(0), TEXT(1));

    case OP_OPEN_FOLDER:
        return KEEP(0, SYS(__NR_openat, AT_FDCWD, TEXT(1), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    case OP_MKDIR:
        return SYS(__NR_mkdirat, AT_FDCWD, TEXT(0), NUMBER(1));
    case OP_BPF_DEVICES:
        return attach_devices(TEXT(0), TEXT(1), NUMBER(2));
    case OP_UNSHARE_FILES:
        return unshare_descriptors(page);
    case OP_DUP2:
        return arrange(run);
    case OP_WRITE:
        return write_file(page, TEXT(0), TEXT(1), NUMBER(2));
    case OP_KEEPCAPS:
        return SYS(__NR_prctl, PR_SET_KEEPCAPS, NUMBER(0), 0, 0, 0);
    case OP_AMBIENT:
        return raise_ambient((uint64_t)NUMBER(0));
    case OP_HAND_OVER:
        return hand_over(page, TEXT(0));
    case OP_HAND_OVER_SOCKET:
        return hand_over_socket(page, NUMBER(0), NUMBER(1), NUMBER(2));
    case OP_EXECVEAT:
        return exec_first_process(page);

    case OP_SCHED_SETAFFINITY:
        return SYS(__NR_sched_setaffinity, 0, NUMBER(1), TEXT(0));
    case OP_SCHED_SETSCHEDULER: {
        int32_t priority = (int32_t)NUMBER(1); /* all of struct sched_param */
        return SYS(__NR_sched_setscheduler, 0, NUMBER(0), &priority);
    }
    case OP_SETPRIORITY:
        return SYS(__NR_setpriority, 0, 0, NUMBER(0));
    case OP_IOPRIO_SET:
        return SYS(__NR_ioprio_set, 1, 0, NUMBER(0));
    case OP_SET_MEMPOLICY: /* which takes one bit more than there are */
        return SYS(__NR_set_mempolicy, NUMBER(0), TEXT(1), NUMBER(2) * 8 + 1);
    case OP_PERSONALITY:
        return SYS(__NR_personality, NUMBER(0));

    case OP_CHILD_SUBREAPER:
        return SYS(__NR_prctl, PR_SET_CHILD_SUBREAPER, NUMBER(0), 0, 0, 0);
    case OP_AWAIT:
        return await_word(&run->slot[NUMBER(0)], FD(1));

    case OP_NOT_DUMPABLE:
        return SYS(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    case OP_SETGROUPS:
        return SYS(__NR_setgroups, NUMBER(1) / 4, TEXT(0));
    case OP_SETRESGID:
        return SYS(__NR_setresgid, NUMBER(0), NUMBER(1), NUMBER(2));
    case OP_SETRESUID:
        return SYS(__NR_setresuid, NUMBER(0), NUMBER(1), NUMBER(2));

    case OP_SETNS:
        return SYS(__NR_setns, FD(0), NUMBER(1));
    case OP_SETNS_OWN:
        return join_own(page, TEXT(0), NUMBER(1));
    case OP_SETNS_MADE:
        return join_made(page, &run->slot[NUMBER(0)], NUMBER(1));
    case OP_UNSHARE:
        return SYS(__NR_unshare, NUMBER(0));
    case OP_SETHOSTNAME:
        return SYS(__NR_sethostname, TEXT(0), __builtin_strlen(TEXT(0)));
    case OP_SETDOMAINNAME:
        return SYS(__NR_setdomainname, TEXT(0), __builtin_strlen(TEXT(0)));
    case OP_LOOPBACK_UP:
        return loopback_up();

    case OP_OPEN_TREE:
        return KEEP(0, clone_tree(FD(1), TEXT(2), NUMBER(3)));
    case OP_OPEN_DEVICE:
        return KEEP(0, clone_device(FD(1), TEXT(2), (uint32_t)NUMBER(3), (uint32_t)NUMBER(4)));
    case OP_FSOPEN:
        return KEEP(0, SYS(__NR_fsopen, TEXT(1), FSOPEN_CLOEXEC));
    case OP_FSCONFIG:
        return SYS(__NR_fsconfig, FD(0), NUMBER(1), *TEXT(2) ? TEXT(2) : 0,
                   *TEXT(3) ? TEXT(3) : 0, 0);
    case OP_FSMOUNT:
        return KEEP(0, SYS(__NR_fsmount, FD(1), FSMOUNT_CLOEXEC, NUMBER(2)));
    case OP_MOUNT_SETATTR:
        return attach_attributes(FD(0), TEXT(1), &operand[2]);
    case OP_MAP_IDS:
        return map_ids(FD(0), FD(1));
    case OP_MASK:
        return mask(&run->slot[NUMBER(0)], FD(1), TEXT(2));
    case OP_MOVE_MOUNT:
        return move_into(FD(0), FD(1), TEXT(2));
    case OP_MOUNT:
        return KEEP(0, mount_new(TEXT(1), FD(2), TEXT(3), (uint64_t)NUMBER(4), TEXT(5)));
    case OP_OPEN_PATH:
        return KEEP(0, open_path(FD(1), TEXT(2)));
    case OP_BIND:
        return KEEP(0, bind_tree(FD(1), TEXT(2), FD(3), NUMBER(4)));
    case OP_BIND_DEVICE:
        return KEEP(0, bind_device(FD(1), TEXT(2), FD(3), (uint32_t)NUMBER(4),
                                   (uint32_t)NUMBER(5)));
    case OP_REMOUNT:
        return remount(FD(0), TEXT(1), &operand[2]);
    case OP_MASK_BY_MOUNT:
        return mask_by_mount(FD(0), TEXT(1), FD(2));
    case OP_MOVE:
        return move_from_bench(FD(0), FD(1), TEXT(2));
    case OP_MKDIRAT:
        return make_folder(FD(0), TEXT(1), NUMBER(2));
    case OP_FCHOWNAT:
        return give_owner(FD(0), TEXT(1), FD(2), TEXT(3));
    case OP_OPENAT:
    case OP_OPENAT_SECRET:
        return make_file(FD(0), TEXT(1), NUMBER(2), TEXT(3), NUMBER(4));
    case OP_SYMLINKAT:
        return make_symlink(TEXT(0), FD(1), TEXT(2));
    case OP_MKNODAT:
        return make_device(FD(0), TEXT(1), NUMBER(2), (uint32_t)NUMBER(3), (uint32_t)NUMBER(4));
    case OP_COPY_TREE:
        return copy_tree(TEXT(0), FD(1));
    case OP_COPY_UP:
        return copy_up(FD(0), TEXT(1), FD(2), NUMBER(3));
    case OP_FCHDIR:
        return SYS(__NR_fchdir, FD(0));
    case OP_PIVOT_ROOT:
        return SYS(__NR_pivot_root, TEXT(0), TEXT(1));
    case OP_CHROOT:
        return SYS(__NR_chroot, TEXT(0));
    case OP_UMOUNT2:
        return SYS(__NR_umount2, TEXT(0), NUMBER(1));
    case OP_CHDIR:
        return change_folder(TEXT(0));

    case OP_CAPBSET_DROP:
        return drop_from_bounding_set((uint64_t)NUMBER(0));
    case OP_CAPSET:
        return set_capabilities((uint64_t)NUMBER(0));
    case OP_NO_NEW_PRIVS:
        return SYS(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case OP_SEND_PIDFD:
        return send_own_pidfd(FD(0));
    case OP_PARK:
        return park(page, FD(0));
    case OP_SETSID:
        return SYS(__NR_setsid);
    case OP_SETPGID:
        return SYS(__NR_setpgid, 0, 0);
    case OP_UMASK:
        return SYS(__NR_umask, NUMBER(0));
    case OP_TERMINAL:
        return open_terminal(FD(0));
    case OP_WINDOW_SIZE:
        return set_window_size(NUMBER(0), NUMBER(1));
    case OP_CONTROLLING_TERMINAL:
        return SYS(__NR_ioctl, 0, TIOCSCTTY, 0);
    case OP_PASS:
        return pass_descriptors(TEXT(0), (int)(NUMBER(1) / 4), &run->slot[SLOT_NOTIFY]);
    case OP_SIGNALS:
        return default_signals();
    case OP_CLOSE_RANGE:
        return close_at_exec((unsigned)NUMBER(0), (unsigned)NUMBER(1));
    case OP_PRLIMIT:
        return set_limit((int)NUMBER(0), (uint64_t)NUMBER(1), (uint64_t)NUMBER(2));
    case OP_LANDLOCK_CREATE_RULESET:
        return KEEP(0, create_ruleset((uint64_t)NUMBER(1), (uint64_t)NUMBER(2)));
    case OP_LANDLOCK_ADD_RULE:
        return add_path_rule(FD(0), TEXT(1), (uint64_t)NUMBER(2));
    case OP_LANDLOCK_RESTRICT_SELF:
        return SYS(__NR_landlock_restrict_self, FD(0), 0);
    case OP_JOIN_SESSION_KEYRING:
        return SYS(__NR_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0);
    case OP_LABEL:
        return set_label((uint64_t)NUMBER(0), TEXT(1));
    case OP_SECCOMP:
        return set_filter(TEXT(0), NUMBER(1), 0);
    case OP_SECCOMP_NOTIFY:
        return set_heard_filter(TEXT(0), NUMBER(1), FD(2));
    case OP_EXECVE:
        return exec_command(page);
    case OP_EXECVE_PATH:
        return exec_path(page, TEXT(0));
    case OP_FAIL:
        return -NUMBER(0);
    }
    return -38; /* ENOSYS: an operation from another version of this package */
}

long check_steps(struct run *run, uint32_t count)
{
    const struct nsbox_step *steps = at(run->page, run->page->steps);
    long result = 0;
    for (uint32_t i = 0; result >= 0 && i < count; i++)
        result = do_step(run, &steps[i]);
    return result < 0 ? result : 0;
}

static int begins_another(const struct nsbox_step *step)
{
    return step->operation == OP_UNSHARE_BESIDE || step->operation == OP_CLONE3 ||
           step->operation == OP_CLONE3_INTO || step->operation == OP_CLONE_VM;
}

int run_steps(struct run *run, uint32_t first)
{
    struct page *page = run->page;
    const struct nsbox_step *steps = at(page, page->steps);

    for (uint32_t i = first; i < page->step_count; i++) {
        page->outcome.step = (int32_t)i;
        if (begins_another(&steps[i]))
            return (int)i;
        long result = do_step(run, &steps[i]);
        if (result < 0) {
            page->outcome.error = (int32_t)-result;
            return -1;
        }
    }
    return (int)page->step_count;
}
