/* The steps that build a root file system: by descriptors, never out of the root by a link. */
#include "steps.h"

#include "sys.h"

/* Resolve a path beneath dir as a process would whose / it is. See openat2(2). */
static long open_in_root(int dir, const char *path, uint64_t flags)
{
    struct open_request request = {.flags = flags | O_CLOEXEC,
                                   .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return SYS(__NR_openat2, dir, path, &request, sizeof request);
}

/* The folder that holds path's last name, opened beneath dir; *name is that last name. */
static long open_parent(int dir, const char *path, const char **name)
{
    char parent[4096];
    size_t length = __builtin_strlen(path), slash = length;

    while (slash > 0 && path[slash - 1] != '/')
        slash--;
    *name = path + slash;
    if (slash >= sizeof parent)
        return -36; /* ENAMETOOLONG */
    if (slash == 0)
        return open_in_root(dir, ".", O_PATH | O_DIRECTORY);
    __builtin_memcpy(parent, path, slash);
    parent[slash] = '\0';
    return open_in_root(dir, parent, O_PATH | O_DIRECTORY);
}

long move_into(int tree, int dir, const char *path)
{
    if (dir == AT_FDCWD)
        return SYS(__NR_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
    long target = open_in_root(dir, path, O_PATH);
    if (target < 0)
        return target;
    long result = SYS(__NR_move_mount, tree, "", target, "",
                      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    SYS(__NR_close, target);
    return result;
}

long attach_attributes(int dir, const char *path, const int64_t *operand)
{
    struct mount_request request = {.set = (uint64_t)operand[1],
                                    .clear = (uint64_t)operand[2],
                                    .propagation = (uint64_t)operand[3]};
    return SYS(__NR_mount_setattr, dir, path, operand[0], &request, sizeof request);
}

long make_folder(int dir, const char *path, int64_t mode)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    long result = SYS(__NR_mkdirat, parent, name, mode);
    SYS(__NR_close, parent);
    return result == -17 /* EEXIST */ ? 0 : result;
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
    SYS(__NR_close, parent);
    if (fd == -17 /* EEXIST */ && length == 0)
        return 0;
    if (fd < 0)
        return fd;
    long result = write_all(fd, bytes, length);
    SYS(__NR_close, fd);
    return result;
}

long make_symlink(const char *target, int dir, const char *path)
{
    const char *name;
    long parent = open_parent(dir, path, &name);
    if (parent < 0)
        return parent;
    long result = SYS(__NR_symlinkat, target, parent, name);
    SYS(__NR_close, parent);
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
long write_file(struct page *page, const char *path, const char *bytes, int64_t length)
{
    int in_proc = page->proc >= 0 && __builtin_memcmp(path, "/proc/", 6) == 0;
    long fd = SYS(__NR_openat, in_proc ? page->proc : AT_FDCWD, path + (in_proc ? 6 : 0),
                  O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    long result = SYS(__NR_write, fd, bytes, length); /* in one call: these files take no second */
    SYS(__NR_close, fd);
    return result;
}
