/* The steps that make mounts, for kernels without fsopen and its kin: by mount(2).
 *
 * What is mounted must be mounted somewhere: on the bench, a folder and a file in the stage where
 * nobody else is, until it is moved to its place. Every place is named by a descriptor, opened as
 * carefully as for the younger calls, through the host's /proc/self/fd; so no path is looked up
 * twice. See mount(2), proc_pid_fd(5).
 */
#include <asm/statfs.h>
#include <stddef.h>
#include <linux/stat.h>

#include "rootfs.h"
#include "steps.h"
#include "sys.h"

enum { ENOENT_ = -2, E2BIG_ = -7, EBUSY_ = -16, ENODEV_ = -19, ENOTDIR_ = -20, EINVAL_ = -22 };
enum {
    MOUNT_REMOUNT = 0x20,
    MOUNT_NOSYMFOLLOW = 0x100,
    MOUNT_BIND = 0x1000,
    MOUNT_MOVE = 0x2000,
    MOUNT_RECURSIVE = 0x4000,
    KEPT = 0xf, /* read-only, nosuid, nodev, noexec: the same bits for mount(2) and statfs(2) */
    STATFS_NOSYMFOLLOW = 0x2000
};
enum { NULL_MAJOR = 1, NULL_MINOR = 3, MAX_BELOW = 1024, PATH_SIZE = 4096 };

struct name {
    char text[40];
};

static struct name name_of(const char *before, long fd)
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

static long mount_on(const char *source, long target, const char *type, uint64_t flags,
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

static int is_folder(long fd)
{
    struct statx found;
    return SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found) == 0 &&
           (found.stx_mode & S_IFMT) == S_IFDIR;
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
    struct statx found;
    long source = dir == AT_FDCWD ? SYS(__NR_openat, dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)
                                  : open_in_root(dir, path, O_PATH | O_NOFOLLOW);
    if (source < 0)
        return source;
    long result = SYS(__NR_statx, source, "", AT_EMPTY_PATH, STATX_TYPE, &found);
    if (result == 0 && ((found.stx_mode & S_IFMT) != S_IFCHR || found.stx_rdev_major != major ||
                        found.stx_rdev_minor != minor))
        result = ENODEV_;
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

/* What is there of a mount's attributes stays: in a user namespace it must. */
static long change(long mount, uint64_t set, uint64_t clear)
{
    struct statfs about;
    long result = SYS(__NR_fstatfs, mount, &about);
    if (result < 0)
        return result;
    uint64_t flags = (uint64_t)about.f_flags & KEPT;
    if (about.f_flags & STATFS_NOSYMFOLLOW)
        flags |= MOUNT_NOSYMFOLLOW;
    return mount_on(0, mount, 0, MOUNT_REMOUNT | MOUNT_BIND | ((flags | set) & ~clear), 0);
}

static long mount_id(long fd)
{
    struct name name = name_of("/proc/self/fdinfo/", fd);
    static const char key[] = "mnt_id:";
    char text[512];
    long file = SYS(__NR_openat, AT_FDCWD, name.text, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return file;
    long size = SYS(__NR_read, file, text, sizeof text), matched = 0, id = -1;
    SYS(__NR_close, file);
    for (long i = 0; i < size; i++) {
        char c = text[i];
        if (id >= 0 && (c < '0' || c > '9'))
            return id;
        if (id >= 0)
            id = id * 10 + (c - '0');
        else if (matched == sizeof key - 1)
            id = c >= '0' && c <= '9' ? c - '0' : -1;
        else
            matched = c == key[matched] ? matched + 1 : c == key[0];
    }
    return EINVAL_;
}

/* A line of mountinfo as far as it matters, taken apart character by character: it may be long. */
struct line {
    int field, octal, digits;
    long id, parent;
    size_t length;
    char place[PATH_SIZE];
};

static void take(struct line *line, char c)
{
    if (c == ' ') {
        line->field++;
    } else if (line->field == 0) {
        line->id = line->id * 10 + (c - '0');
    } else if (line->field == 1) {
        line->parent = line->parent * 10 + (c - '0');
    } else if (line->field == 4 && line->length + 1 < PATH_SIZE) {
        if (c == '\\') { /* of an octal number of three digits */
            line->digits = 3;
            line->octal = 0;
        } else if (line->digits > 0) {
            line->octal = line->octal * 8 + (c - '0');
            if (--line->digits == 0)
                line->place[line->length++] = (char)line->octal;
        } else {
            line->place[line->length++] = c;
        }
        line->place[line->length] = '\0';
    }
}

struct below {
    int tree;
    uint64_t set, clear;
    size_t before; /* the length of the place of the tree itself, which all others begin with */
    int count;
    int32_t ids[MAX_BELOW]; /* the tree's, and of what is known to be mounted below it */
};

static int is_below(const struct below *below, long parent)
{
    for (int i = 0; i < below->count; i++)
        if (below->ids[i] == parent)
            return 1;
    return 0;
}

/* Of two mounts on one place only the upper one can be had: then all is refused. */
static long change_one(const struct below *below, const struct line *line)
{
    const char *path = line->place + below->before;
    while (*path == '/')
        path++;
    long mount = open_in_root(below->tree, path, O_PATH | O_NOFOLLOW);
    if (mount < 0)
        return mount;
    long result = mount_id(mount) == line->id ? change(mount, below->set, below->clear) : EBUSY_;
    SYS(__NR_close, mount);
    return result;
}

static long end_of_line(struct below *below, const struct line *line)
{
    if (line->id == below->ids[0])
        below->before = line->length;
    else if (is_below(below, line->parent)) {
        if (below->count == MAX_BELOW)
            return E2BIG_;
        below->ids[below->count++] = (int32_t)line->id;
        return change_one(below, line);
    }
    return 0;
}

/* The namespace is ours alone: nothing is mounted meanwhile. A copy is listed from the top down. */
static __attribute__((noinline)) long change_below(int tree, uint64_t set, uint64_t clear)
{
    struct below below = {.tree = tree, .set = set, .clear = clear, .before = 0, .count = 1};
    struct line line = {.field = 0};
    char text[1024];
    long size, result = 0, id = mount_id(tree);
    long file = SYS(__NR_openat, AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);
    if (file < 0 || id < 0)
        return file < 0 ? file : id;
    below.ids[0] = (int32_t)id;
    while (result == 0 && (size = SYS(__NR_read, file, text, sizeof text)) != 0) {
        if (size < 0)
            result = size;
        for (long i = 0; result == 0 && i < size; i++) {
            if (text[i] != '\n') {
                take(&line, text[i]);
                continue;
            }
            result = end_of_line(&below, &line);
            line.field = line.digits = 0;
            line.id = line.parent = 0;
            line.length = 0;
        }
    }
    SYS(__NR_close, file);
    return result;
}

long remount(int dir, const char *path, const int64_t *operand)
{
    uint64_t recursive = operand[0] & AT_RECURSIVE ? MOUNT_RECURSIVE : 0;
    uint64_t set = (uint64_t)operand[1], clear = (uint64_t)operand[2];
    uint64_t propagation = (uint64_t)operand[3];
    long result = 0;

    if (dir == AT_FDCWD) /* of what is there, only this is ever changed */
        return SYS(__NR_mount, 0, path, 0, recursive | propagation, 0);
    if (set | clear)
        result = change(dir, set, clear);
    if (result == 0 && recursive && (set | clear))
        result = change_below(dir, set, clear);
    if (result == 0 && propagation)
        result = mount_on(0, dir, 0, recursive | propagation, 0);
    return result;
}

static long hide_file(long target, int stage)
{
    long tree = bind_device(AT_FDCWD, "/dev/null", stage, NULL_MAJOR, NULL_MINOR);
    if (tree < 0)
        return tree;
    long result = change(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
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
        result = mount_on("none", target, "tmpfs", KEPT, "mode=555");
    else
        result = hide_file(target, stage);
    SYS(__NR_close, target);
    return result;
}
