/* Paths resolved beneath a folder, by the kernel; by steps of our own where it has no openat2.
 *
 * A walk opens one name after the other and follows none: what a link says is put in its place.
 * What has been walked is kept as names without links and without "..", so that ".." is walked
 * anew from the root, and never asked of a folder that somebody may have moved out of it.
 */
#include "rootfs.h"

#include <asm/statfs.h>
#include <linux/stat.h>
#include <stddef.h>

#include "sys.h"

enum { EPERM_ = -1, ENOENT_ = -2, ENAMETOOLONG_ = -36 };
enum { ENOSYS_ = -38, ELOOP_ = -40 };
enum { PATH_SIZE = 4096, MAX_LINKS = 40 /* path_resolution(7) */, PROC_MAGIC = 0x9fa0 };
enum { STEP = O_PATH | O_NOFOLLOW | O_CLOEXEC };

struct walk {
    int root, links;
    long at;               /* the folder that has been reached */
    size_t done;           /* the length of how it is called beneath the root */
    char names[PATH_SIZE]; /* that; and */
    char rest[PATH_SIZE];  /* what is still to be walked */
};

static size_t copy_text(char *to, size_t at, const char *from, size_t length)
{
    if (at + length + 1 > PATH_SIZE)
        return 0;
    for (size_t i = 0; i < length; i++)
        to[at + i] = from[i];
    to[at + length] = '\0';
    return at + length;
}

static long go_to(struct walk *walk, long fd)
{
    if (fd < 0)
        return fd;
    if (walk->at >= 0)
        SYS(__NR_close, walk->at);
    walk->at = fd;
    return 0;
}

/* From the root to the folder whose names are left, none of which is a link. */
static long start_again(struct walk *walk)
{
    long result = go_to(walk, SYS(__NR_openat, walk->root, ".", STEP | O_DIRECTORY, 0));
    for (size_t begin = 0, end; result == 0 && begin < walk->done; begin = end + 1) {
        for (end = begin; end < walk->done && walk->names[end] != '/'; end++)
            continue;
        char kept = walk->names[end];
        walk->names[end] = '\0';
        const char *name = walk->names + begin;
        result = go_to(walk, SYS(__NR_openat, walk->at, name, STEP | O_DIRECTORY, 0));
        walk->names[end] = kept;
    }
    return result;
}

static long go_up(struct walk *walk)
{
    while (walk->done > 0 && walk->names[--walk->done] != '/')
        continue;
    walk->names[walk->done] = '\0';
    return start_again(walk);
}

static long go_down(struct walk *walk, long next, const char *name, size_t length)
{
    size_t at = walk->done;
    if (at > 0 && (at = copy_text(walk->names, at, "/", 1)) == 0)
        return ENAMETOOLONG_;
    if ((walk->done = copy_text(walk->names, at, name, length)) == 0)
        return ENAMETOOLONG_;
    return go_to(walk, next);
}

/* A link of /proc that leads to an object, and not to a name. See RESOLVE_NO_MAGICLINKS. */
static int is_magic(long link, const char *target)
{
    struct statfs about;
    return *target == '/' && SYS(__NR_fstatfs, link, &about) == 0 && about.f_type == PROC_MAGIC;
}

static int is_link(long fd)
{
    struct statx found;
    return SYS(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found) == 0 &&
           (found.stx_mode & S_IFMT) == S_IFLNK;
}

/* Put what a link says before what is still to be walked; 0 where it is no link. */
static long follow(struct walk *walk, long link, size_t from)
{
    char target[PATH_SIZE];
    if (!is_link(link))
        return 0;
    long length = SYS(__NR_readlinkat, link, "", target, sizeof target - 1);
    if (length < 0)
        return length;
    target[length] = '\0';
    if (is_magic(link, target) || ++walk->links > MAX_LINKS)
        return ELOOP_;
    const char *left = walk->rest + from;
    size_t whole = copy_text(target, (size_t)length, left, __builtin_strlen(left));
    if (whole == 0)
        return ENAMETOOLONG_;
    copy_text(walk->rest, 0, target, whole);
    if (*target != '/')
        return 1;
    walk->done = 0;
    long result = start_again(walk);
    return result < 0 ? result : 1;
}

/* Open the last name, of which `next` is an O_PATH descriptor, or why there is none. */
static long open_last(const struct walk *walk, long next, const char *name, uint64_t flags,
                      uint64_t mode)
{
    if (next >= 0 && (flags & O_PATH) && !(flags & O_DIRECTORY))
        return next;
    if (next >= 0)
        SYS(__NR_close, next);
    else if (next != ENOENT_ || !(flags & O_CREAT))
        return next;
    return SYS(__NR_openat, walk->at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

static long walk_on(struct walk *walk, uint64_t flags, uint64_t mode)
{
    char name[256];
    for (size_t begin = 0, end;;) {
        while (walk->rest[begin] == '/')
            begin++;
        for (end = begin; walk->rest[end] && walk->rest[end] != '/'; end++)
            continue;
        size_t length = end - begin;
        if (length == 0)
            return SYS(__NR_openat, walk->at, ".", flags | O_CLOEXEC, mode);
        if (length >= sizeof name)
            return ENAMETOOLONG_;
        copy_text(name, 0, walk->rest + begin, length);
        begin = end;
        int last = walk->rest[end] == '\0';
        long result = 0;
        if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) {
            if (length == 2 && (result = go_up(walk)) < 0)
                return result;
            continue;
        }
        long next = SYS(__NR_openat, walk->at, name, STEP, 0);
        if (next >= 0 && !(last && (flags & (O_NOFOLLOW | O_EXCL))))
            result = follow(walk, next, end);
        if (result != 0) {
            SYS(__NR_close, next);
            if (result < 0)
                return result;
            begin = 0;
        } else if (last) {
            return open_last(walk, next, name, flags, mode);
        } else if (next < 0) {
            return next;
        } else if ((result = go_down(walk, next, name, length)) < 0) {
            SYS(__NR_close, next);
            return result;
        }
    }
}

long walk_in_root(int dir, const char *path, uint64_t flags, uint64_t mode)
{
    struct walk walk = {.root = dir, .links = 0, .at = -1, .done = 0};
    walk.names[0] = '\0';
    if (*path == '\0')
        return ENOENT_;
    if (copy_text(walk.rest, 0, path, __builtin_strlen(path)) == 0)
        return ENAMETOOLONG_;
    long result = start_again(&walk);
    if (result == 0)
        result = walk_on(&walk, flags, mode);
    if (walk.at >= 0)
        SYS(__NR_close, walk.at);
    return result;
}

/* A filter may say EPERM instead; the kernel itself does not to these arguments. */
static int is_missing(long answer)
{
    return answer == ENOSYS_ ||
           (answer == EPERM_ && SYS(__NR_openat2, -1, 0, 0, 0) == EPERM_);
}

long resolve_in_root(int dir, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_request request = {.flags = flags | O_CLOEXEC,
                                   .mode = mode,
                                   .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long result = SYS(__NR_openat2, dir, path, &request, sizeof request);
    return is_missing(result) ? walk_in_root(dir, path, flags, mode) : result;
}
