/* Files below a root that somebody else may be changing: no link leads out. See openat2(2).
 *
 * A file system that belongs to a user namespace takes new files only from ids that it knows. So a
 * caller that may be anybody makes them as the box's root would, by the ids that count for files:
 * setfsuid(2). The raw calls are of this thread alone.
 */
#include <errno.h>
#include <pthread.h>

#include "page.h"
#include "rootfs.h"
#include "sys.h"

enum { TRIES = 1000 }; /* of a path that is being renamed while it is walked: EAGAIN */

struct as {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
    long uid, gid;
    int changed;
};

/* With any change of ids the rights to look at us would go: of all threads, for they are those of
 * the memory. So the first one that changes its ids remembers, and the last one restores them. */
static struct {
    pthread_mutex_t mutex;
    pthread_once_t once;
    int others; /* how many threads are others just now */
    long dumpable;
} rights = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_ONCE_INIT, 0, 0};

static void restore_rights(void)
{
    rights.others = 0;
    if (rights.dumpable == 1) /* the only one of its values that can be set */
        SYS(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void before_fork(void)
{
    pthread_mutex_lock(&rights.mutex);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&rights.mutex);
}

/* Of the threads, a fork has only the one that forks: which is itself just now. */
static void in_fork(void)
{
    if (rights.others)
        restore_rights();
    pthread_mutex_unlock(&rights.mutex);
}

static void expect_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_fork);
}

static void keep_rights(void)
{
    pthread_once(&rights.once, expect_forks);
    pthread_mutex_lock(&rights.mutex);
    if (rights.others++ == 0)
        rights.dumpable = SYS(__NR_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    pthread_mutex_unlock(&rights.mutex);
}

static void give_back_rights(void)
{
    pthread_mutex_lock(&rights.mutex);
    if (--rights.others == 0)
        restore_rights();
    pthread_mutex_unlock(&rights.mutex);
}

/* With another uid the rights to files would go. */
static void become(struct as *as, int64_t uid, int64_t gid)
{
    *as = (struct as){.header = {.version = _LINUX_CAPABILITY_VERSION_3}};
    if (uid < 0)
        return;
    as->changed = 1;
    keep_rights();
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
    give_back_rights();
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
