/* The steps that make folders, files and links: by descriptors, never out of the root by a link. */
#include "rootfs.h"

#include <linux/stat.h>

#include "steps.h"
#include "sys.h"

enum { EEXIST_ = -17, ENAMETOOLONG_ = -36 };

long open_in_root(int dir, const char *path, uint64_t flags)
{
    return resolve_in_root(dir, path, flags, 0);
}

/* The folder that holds path's last name, which is then *name: dir itself, if it is told no other. The
 * last name is made, and so not followed. */
static long open_parent(int dir, const char *path, const char **name)
{
    char parent[4096];
    size_t length = __builtin_strlen(path), slash = length;

    while (slash > 0 && path[slash - 1] != '/')
        slash--;
    *name = path + slash;
    if (slash == 0 && dir >= 0)
        return dir;
    if (slash >= sizeof parent)
        return ENAMETOOLONG_;
    __builtin_memcpy(parent, path, slash);
    parent[slash] = '\0';
    return open_in_root(dir, slash ? parent : ".", O_PATH | O_DIRECTORY);
}

static void close_parent(int dir, long parent)
{
    if (parent != dir)
        SYS(__NR_close, parent);
}

long make_folder(int dir, const char *path, int64_t mode)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    long result = SYS(__NR_mkdirat, parent, name, mode);
    close_parent(dir, parent);
    return result == EEXIST_ ? 0 : result;
}

/* As it is called in this user namespace: an owner that means nothing here stays the box's root. */
long give_owner(int dir, const char *path, int from, const char *original)
{
    struct statx found;
    long fd = open_in_root(from, original, O_PATH);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_UID | STATX_GID, &found);
    SYS(__NR_close, fd);
    if (result < 0)
        return result;
    fd = open_in_root(dir, path, O_PATH);
    if (fd < 0)
        return fd;
    SYS(__NR_fchownat, fd, "", found.stx_uid, -1, AT_EMPTY_PATH);
    SYS(__NR_fchownat, fd, "", -1, found.stx_gid, AT_EMPTY_PATH);
    SYS(__NR_close, fd);
    return 0;
}

/* Write all of it: a short write is no error, so it is asked again for the rest. */
static long write_all(long fd, const char *bytes, int64_t length)
{
    while (length > 0) {
        long written = SYS(__NR_write, fd, bytes, length);
        if (written < 0)
            return written;
        bytes += written;
        length -= written;
    }
    return 0;
}

long make_file(int dir, const char *path, int64_t mode, const char *bytes, int64_t length)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    /* A mount point (no bytes) may be there already, as whatever can be mounted upon; contents are
     * only ever given to a file that this step has made. */
    long fd = SYS(__NR_openat, parent, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
    close_parent(dir, parent);
    if (fd == EEXIST_ && length == 0)
        return 0;
    if (fd < 0)
        return fd;
    long result = write_all(fd, bytes, length);
    SYS(__NR_close, fd);
    return result;
}

static int leads_to(long parent, const char *name, const char *target)
{
    char found[4096];
    long length = SYS(__NR_readlinkat, parent, name, found, sizeof found);
    return length >= 0 && (size_t)length == __builtin_strlen(target) &&
           __builtin_memcmp(found, target, (size_t)length) == 0;
}

/* In a folder that is kept, the link may be there from the last time. */
long make_symlink(const char *target, int dir, const char *path)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    long result = SYS(__NR_symlinkat, target, parent, name);
    if (result == EEXIST_ && leads_to(parent, name, target))
        result = 0;
    close_parent(dir, parent);
    return result;
}

long make_device(int dir, const char *path, int64_t mode, uint32_t major, uint32_t minor)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    /* The encoding of a dev_t in a system call: new_encode_dev() of the kernel. */
    uint32_t device = (minor & 0xff) | (major << 8) | ((minor & ~0xffU) << 12);
    long result = SYS(__NR_mknodat, parent, name, mode, device);
    close_parent(dir, parent);
    return result;
}

/* Not to where /proc/self/fd leads out of the root: see getcwd(2), "(unreachable)". */
long change_folder(const char *path)
{
    char here[4096];
    long result = SYS(__NR_chdir, path);
    if (result < 0)
        return result;
    result = SYS(__NR_getcwd, here, sizeof here);
    if (result < 0)
        return result;
    return here[0] == '/' ? 0 : -2; /* ENOENT */
}

/* In a mount namespace that was joined, /proc may be anything: the caller's is the one meant. */
static long open_in_proc(const struct page *page, const char *path, int flags)
{
    int in_proc = page->proc >= 0 && __builtin_memcmp(path, "/proc/", 6) == 0;
    return SYS(__NR_openat, in_proc ? page->proc : AT_FDCWD, path + (in_proc ? 6 : 0),
               flags | O_CLOEXEC, 0);
}

/* Join a namespace of our own that we are not in: the one that our children would be in. */
long join_own(struct page *page, const char *path, int64_t type)
{
    long fd = open_in_proc(page, path, O_RDONLY);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_setns, fd, type);
    SYS(__NR_close, fd);
    return result;
}

long write_file(struct page *page, const char *path, const char *bytes, int64_t length)
{
    long fd = open_in_proc(page, path, O_WRONLY);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_write, fd, bytes, length); /* in one call: these files take no second */
    SYS(__NR_close, fd);
    return result;
}

int is_folder(long fd)
{
    struct statx found;
    return SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found) == 0 &&
           (found.stx_mode & S_IFMT) == S_IFDIR;
}

long check_device(long fd, uint32_t major, uint32_t minor)
{
    struct statx found;
    long result = SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found);
    if (result == 0 && ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != major ||
                        found.stx_rdev_minor != minor))
        return -19; /* ENODEV */
    return result;
}
