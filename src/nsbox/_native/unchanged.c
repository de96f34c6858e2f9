/* Whether what a plan was made from is still so. See statx(2), capget(2). */
#include <linux/poll.h>
#include <linux/stat.h>

#include "steps.h"
#include "sys.h"

enum { ESTALE_ = 116 };

static long answer(int same)
{
    return same ? 0 : -ESTALE_;
}

long same_caller(int64_t uid, int64_t gid, uint64_t capabilities)
{
    uint64_t effective;
    long result = effective_capabilities(&effective);
    if (result < 0)
        return result;
    return answer(SYS(__NR_geteuid) == uid && SYS(__NR_getegid) == gid && effective == capabilities);
}

/* `mtime` in nanoseconds. */
long unchanged(const char *path, int64_t mtime)
{
    struct statx found;
    long result = SYS(__NR_statx, AT_FDCWD, path, 0, STATX_MTIME, &found);
    if (result < 0)
        return result;
    return answer(found.stx_mtime.tv_sec * 1000000000L + found.stx_mtime.tv_nsec == mtime);
}

/* A folder is mounted upon a folder, and anything else upon a file. */
long same_kind(const char *path, int folder)
{
    struct statx found;
    long result = SYS(__NR_statx, AT_FDCWD, path, 0, STATX_TYPE, &found);
    if (result < 0)
        return result;
    return answer(((found.stx_mode & 0170000) == 0040000) == folder);
}

/* Whether the mounts have changed since they were last looked at. The kernel tells of a change once;
 * whoever is told tells the other threads. One that asks meanwhile cannot know: it is to look. */
static long ask(int mountinfo, struct watch *watch)
{
    struct pollfd changed = {.fd = mountinfo, .events = POLLPRI};
    int64_t at_once[2] = {0};
    __atomic_add_fetch(&watch->asking, 1, __ATOMIC_SEQ_CST);
    long result = SYS(__NR_ppoll, &changed, 1, at_once, 0, 0);
    if (result > 0)
        __atomic_add_fetch(&watch->told, 1, __ATOMIC_SEQ_CST);
    int alone = __atomic_sub_fetch(&watch->asking, 1, __ATOMIC_SEQ_CST) == 0;
    if (result < 0)
        return result;
    int64_t looked = __atomic_load_n(&watch->looked, __ATOMIC_SEQ_CST);
    return answer(alone && looked == __atomic_load_n(&watch->told, __ATOMIC_SEQ_CST));
}

/* The id of the mount that the calling thread has for its root: no two namespaces have one in common.
 * -1: this kernel does not tell; see STATX_MNT_ID. */
static int64_t root_mount(void)
{
    struct statx found;
    long result = SYS(__NR_statx, AT_FDCWD, "/", 0, STATX_MNT_ID, &found);
    return result == 0 && found.stx_mask & STATX_MNT_ID ? (int64_t)found.stx_mnt_id : -1;
}

/* Nothing was mounted or unmounted since that was last looked at; and the calling thread is in the
 * mount namespace of that inode, whose mounts `mountinfo` tells of, and which it keeps alive. To ask
 * for that takes many times longer than for the root mount, by which it is known mostly. */
long same_mounts(int mountinfo, int64_t inode, struct watch *watch)
{
    struct statx found;
    long result = ask(mountinfo, watch);
    if (result < 0 || (watch->root && root_mount() == watch->root))
        return result;
    result = SYS(__NR_statx, AT_FDCWD, "/proc/thread-self/ns/mnt", 0, STATX_INO, &found);
    return result < 0 ? result : answer((int64_t)found.stx_ino == inode);
}
