/* What mount_setattr does, by mount(2): attributes, down to what is mounted below. */
#include <asm/statfs.h>
#include <stddef.h>

#include "classic.h"
#include "rootfs.h"
#include "steps.h"
#include "sys.h"

enum { E2BIG_ = -7, EBUSY_ = -16, EINVAL_ = -22 };
enum { STATFS_NOSYMFOLLOW = 0x2000, MAX_BELOW = 1024, PATH_SIZE = 4096 };

/* What is there of a mount's attributes stays: in a user namespace it must. */
long change_mount(long mount, uint64_t set, uint64_t clear)
{
    struct statfs about;
    long result = SYS(__NR_fstatfs, mount, &about);
    if (result < 0)
        return result;
    uint64_t flags = (uint64_t)about.f_flags & MOUNT_KEPT;
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
    long result = mount_id(mount) == line->id ? change_mount(mount, below->set, below->clear) : EBUSY_;
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
    if (file < 0)
        return file;
    if (id < 0) {
        SYS(__NR_close, file);
        return id;
    }
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
        result = change_mount(dir, set, clear);
    if (result == 0 && recursive && (set | clear))
        result = change_below(dir, set, clear);
    if (result == 0 && propagation)
        result = mount_on(0, dir, 0, recursive | propagation, 0);
    return result;
}
