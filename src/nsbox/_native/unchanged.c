/* Whether what a plan was made from is still so. See statx(2), capget(2). */
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

/* `mtime` in nanoseconds; -1: that it is there will do. */
long unchanged(const char *path, int64_t mtime)
{
    struct statx found;
    long result = SYS(__NR_statx, AT_FDCWD, path, 0, STATX_MTIME, &found);
    if (result < 0)
        return result;
    return answer(mtime < 0 || found.stx_mtime.tv_sec * 1000000000L + found.stx_mtime.tv_nsec == mtime);
}
