/* A folder of the host copied into the root, where it cannot be a layer of an overlay.
 *
 * What is mounted below the folder stays out, as it does of a layer.
 */
#include <linux/stat.h>

#include "steps.h"
#include "sys.h"

enum { EEXIST_ = -17, EISDIR_ = -21, ENAMETOOLONG_ = -36, EOPNOTSUPP_ = -95, EPERM_ = -1 };
enum { DEEPEST = 40, ENTRY_SIZE = 288 /* one entry with the longest of names */ };

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

struct about {
    uint32_t mode, uid, gid, device;
    int64_t times[4]; /* access and modification, each in seconds and nanoseconds: utimensat(2) */
    int is_mount;
};

struct entry { /* getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

static long copy_entry(long from, const char *name, long into, int depth);

/* A frame of its own, as are those below: the ones that recurse must stay small. */
static __attribute__((noinline)) long look_at(long dir, const char *name, struct about *about)
{
    struct statx found;
    long result = SYS(__NR_statx, dir, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found);
    if (result < 0)
        return result;
    about->mode = found.stx_mode;
    about->uid = found.stx_uid;
    about->gid = found.stx_gid;
    about->device = (found.stx_rdev_minor & 0xff) | (found.stx_rdev_major << 8) |
                    ((found.stx_rdev_minor & ~0xffU) << 12);
    about->times[0] = about->times[2] = found.stx_mtime.tv_sec;
    about->times[1] = about->times[3] = found.stx_mtime.tv_nsec;
    about->is_mount = (found.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return 0;
}

/* Owners that mean nothing in a user namespace, or are not ours to give, become the box's root. */
static long give_attributes(long into, const char *name, const struct about *about)
{
    SYS(__NR_fchownat, into, name, about->uid, about->gid, AT_SYMLINK_NOFOLLOW);
    if ((about->mode & S_IFMT) != S_IFLNK) {
        long result = SYS(__NR_fchmodat, into, name, about->mode & 07777);
        if (result < 0)
            return result;
    }
    return SYS(__NR_utimensat, into, name, about->times, AT_SYMLINK_NOFOLLOW);
}

/* A name that an earlier layer has may be taken over, but not that of a folder. */
static long make_way(long into, const char *name)
{
    long result = SYS(__NR_unlinkat, into, name, 0);
    return result == EISDIR_ ? EOPNOTSUPP_ : 0;
}

static long copy_content(long from, long into, const char *name)
{
    long to = SYS(__NR_openat, into, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (to < 0)
        return to;
    long sent;
    do
        sent = SYS(__NR_sendfile, to, from, 0, 0x7ffff000L);
    while (sent > 0);
    SYS(__NR_close, to);
    return sent;
}

static __attribute__((noinline)) long copy_link(long from, const char *name, long into)
{
    char target[4096];
    long length = SYS(__NR_readlinkat, from, name, target, sizeof target - 1);
    if (length < 0)
        return length;
    target[length] = '\0';
    return SYS(__NR_symlinkat, target, into, name);
}

static long copy_entries(long from, long into, int depth)
{
    union {
        struct entry entry;
        char bytes[ENTRY_SIZE];
    } buffer;
    long size, result = 0;

    while ((size = SYS(__NR_getdents64, from, &buffer, sizeof buffer)) > 0)
        for (long at = 0; result >= 0 && at < size;) {
            const struct entry *entry = (const struct entry *)(buffer.bytes + at);
            const char *name = entry->name;
            at += entry->size;
            if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
                continue;
            result = copy_entry(from, name, into, depth);
        }
    return result < 0 ? result : size;
}

static long copy_folder(long from, const char *name, long into, const struct about *about, int depth)
{
    if (depth == DEEPEST)
        return ENAMETOOLONG_;
    long result = SYS(__NR_mkdirat, into, name, 0700);
    if (result < 0 && result != EEXIST_)
        return result;
    long to = SYS(__NR_openat, into, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (to < 0) {
        result = make_way(into, name);
        return result < 0 ? result : copy_folder(from, name, into, about, depth);
    }
    result = about->is_mount ? 0 : copy_entries(from, to, depth + 1);
    SYS(__NR_close, to);
    return result < 0 ? result : give_attributes(into, name, about);
}

static long copy_file(long from, const char *name, long into, const struct about *about)
{
    long result = make_way(into, name);
    if (result == 0)
        result = copy_content(from, into, name);
    return result < 0 ? result : give_attributes(into, name, about);
}

static long copy_entry(long from, const char *name, long into, int depth)
{
    struct about about;
    long result = look_at(from, name, &about);
    if (result < 0)
        return result;
    uint32_t kind = about.mode & S_IFMT;
    if (kind == S_IFDIR || kind == S_IFREG) {
        long opened = SYS(__NR_openat, from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
        if (opened < 0)
            return opened;
        result = kind == S_IFDIR ? copy_folder(opened, name, into, &about, depth)
                                 : copy_file(opened, name, into, &about);
        SYS(__NR_close, opened);
        return result;
    }
    if (kind == S_IFCHR && about.device == 0)
        return EOPNOTSUPP_; /* a whiteout: only an overlay can take away what is below */
    result = make_way(into, name);
    if (result == 0)
        result = kind == S_IFLNK ? copy_link(from, name, into)
                                 : SYS(__NR_mknodat, into, name, about.mode, about.device);
    if (result == EPERM_ && kind != S_IFLNK)
        return 0; /* a device that is not ours to make */
    return result < 0 ? result : give_attributes(into, name, &about);
}

long copy_tree(const char *source, int into)
{
    long from = SYS(__NR_openat, AT_FDCWD, source, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (from < 0)
        return from;
    long result = copy_entries(from, into, 0);
    SYS(__NR_close, from);
    return result;
}
