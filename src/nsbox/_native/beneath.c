/* Files below a root that somebody else may be changing: no link leads out. See openat2(2).
 *
 * A file system that belongs to a user namespace takes new files only from ids that it knows. So a
 * caller that may be anybody makes them as the box's root would, by the ids that count for files:
 * setfsuid(2). The raw calls are of this thread alone.
 */
#include <errno.h>

#include "page.h"
#include "rootfs.h"
#include "sys.h"

enum { TRIES = 1000 }; /* of a path that is being renamed while it is walked: EAGAIN */

struct as {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
    long uid, gid, dumpable;
    int changed;
};

/* With another uid the rights to files would go, and with any change the rights to look at us. */
static void become(struct as *as, int64_t uid, int64_t gid)
{
    *as = (struct as){.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    if (uid < 0)
        return;
    as->changed = 1;
    as->dumpable = SYS(__NR_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    SYS(__NR_capget, &as->header, as->data);
    as->gid = SYS(__NR_setfsgid, gid);
    as->uid = SYS(__NR_setfsuid, uid);
    SYS(__NR_capset, &as->header, as->data);
}

static void be_ourselves(struct as *as)
{
    if (!as->changed)
        return;
    SYS(__NR_setfsuid, as->uid);
    SYS(__NR_setfsgid, as->gid);
    SYS(__NR_capset, &as->header, as->data);
    SYS(__NR_prctl, PR_SET_DUMPABLE, as->dumpable, 0, 0, 0);
}

int nsbox_open_beneath(int root, const char *path, int flags, int mode, int64_t uid, int64_t gid)
{
    uint64_t given = flags & O_CREAT ? (uint64_t)mode : 0;
    struct as as;
    long fd = -EAGAIN;

    become(&as, uid, gid);
    for (int i = 0; fd == -EAGAIN && i < TRIES; i++)
        fd = resolve_in_root(root, path, (uint64_t)(uint32_t)flags, given);
    be_ourselves(&as);
    return (int)fd;
}

int nsbox_make_beneath(int folder, const char *name, const char *link, int mode, int64_t uid,
                       int64_t gid)
{
    struct as as;
    become(&as, uid, gid);
    long result = link ? SYS(__NR_symlinkat, link, folder, name)
                       : SYS(__NR_mkdirat, folder, name, mode);
    be_ourselves(&as);
    return (int)result;
}
