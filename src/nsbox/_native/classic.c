/* The steps that make mounts, for kernels without fsopen and its kin: by mount(2).
 *
 * What is mounted must be mounted somewhere: on the bench, a folder and a file in the stage where
 * nobody else is, until it is moved to its place. Every place is named by a descriptor, opened as
 * carefully as for the younger calls, through the host's /proc/self/fd; so no path is looked up
 * twice. See mount(2), proc_pid_fd(5).
 */
#include <linux/stat.h>

#include "classic.h"
#include "rootfs.h"
#include "steps.h"
#include "sys.h"

enum { ENOENT_ = -2, ENOTDIR_ = -20 };

struct name name_of(const char *before, long fd)
{
    struct name name;
    char digits[24];
    int count = 0, at = 0;
    do
        digits[count++] = (char)('0' + fd % 10);
    while ((fd /= 10) > 0);
    while (*before)
        name.text[at++] = *before++;
    while (count > 0)
        name.text[at++] = digits[--count];
    name.text[at] = '\0';
    return name;
}

long mount_on(const char *source, long target, const char *type, uint64_t flags,
                     const char *data)
{
    struct name place = name_of("/proc/self/fd/", target);
    return SYS(__NR_mount, source, place.text, type, flags, data);
}

static long bind_on(long source, long target, uint64_t flags)
{
    struct name name = name_of("/proc/self/fd/", source);
    return mount_on(name.text, target, 0, MOUNT_BIND | flags, 0);
}

/* What is mounted upmost on /, which is where .. leads from there. */
static long open_place(int dir, const char *path)
{
    if (dir == AT_FDCWD)
        return SYS(__NR_openat, dir, path[1] ? path : "/..", O_PATH | O_CLOEXEC, 0);
    return open_in_root(dir, path, O_PATH);
}

long open_path(int dir, const char *path)
{
    return dir == AT_FDCWD ? SYS(__NR_openat, dir, path, O_PATH | O_CLOEXEC, 0)
                           : open_in_root(dir, path, O_PATH);
}

/* Mount a new file system on a place where nobody else is, and open it there. */
long mount_new(const char *type, int dir, const char *path, uint64_t flags, const char *data)
{
    long place = open_place(dir, path);
    if (place < 0)
        return place;
    long result = mount_on("none", place, type, flags, data);
    SYS(__NR_close, place);
    return result < 0 ? result : open_place(dir, path);
}

static long bind_to_bench(long source, int stage, uint64_t flags)
{
    const char *bench = is_folder(source) ? "folder" : "file";
    long place = open_in_root(stage, bench, O_PATH);
    if (place < 0)
        return place;
    long result = bind_on(source, place, flags);
    SYS(__NR_close, place);
    return result < 0 ? result : open_in_root(stage, bench, O_PATH);
}

long bind_tree(int dir, const char *path, int stage, int64_t flags)
{
    long source = *path ? open_path(dir, path) : dir;
    if (source < 0)
        return source;
    long tree = bind_to_bench(source, stage, flags & AT_RECURSIVE ? MOUNT_RECURSIVE : 0);
    if (*path)
        SYS(__NR_close, source);
    return tree;
}

long bind_device(int dir, const char *path, int stage, uint32_t major, uint32_t minor)
{
    long source = dir == AT_FDCWD ? SYS(__NR_openat, dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
                                  : open_in_root(dir, path, O_PATH | O_NOFOLLOW);
    if (source < 0)
        return source;
    long result = check_device(source, major, minor);
    if (result == 0)
        result = bind_to_bench(source, stage, 0);
    SYS(__NR_close, source);
    return result;
}

long move_from_bench(int tree, int dir, const char *path)
{
    struct name name = name_of("/proc/self/fd/", tree);
    if (dir == AT_FDCWD)
        return SYS(__NR_mount, name.text, path, 0, MOUNT_MOVE, 0);
    long place = open_in_root(dir, path, O_PATH);
    if (place < 0)
        return place;
    long result = mount_on(name.text, place, 0, MOUNT_MOVE, 0);
    SYS(__NR_close, place);
    return result;
}

static long hide_file(long target, int stage)
{
    long tree = bind_device(AT_FDCWD, "/dev/null", stage, NULL_MAJOR, NULL_MINOR);
    if (tree < 0)
        return tree;
    long result = change_mount(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    if (result == 0) {
        struct name name = name_of("/proc/self/fd/", tree);
        result = mount_on(name.text, target, 0, MOUNT_MOVE, 0);
    }
    SYS(__NR_close, tree);
    return result;
}

long mask_by_mount(int dir, const char *path, int stage)
{
    long target = open_in_root(dir, path, O_PATH), result;
    if (target == ENOENT_ || target == ENOTDIR_)
        return 0;
    if (target < 0)
        return target;
    if (is_folder(target))
        result = mount_on("none", target, "tmpfs", MOUNT_KEPT, "mode=555");
    else
        result = hide_file(target, stage);
    SYS(__NR_close, target);
    return result;
}
