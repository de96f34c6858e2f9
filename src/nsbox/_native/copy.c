/* A folder of the host copied into the root, where it cannot be a layer of an overlay; or one of the
 * root's, into what is to be mounted upon it.
 *
 * What is mounted below the folder stays out, as it does of a layer; what is to cover a folder takes
 * it along. Where a file has more names than
 * one, the copy keeps one more in a folder beside, called by the file's number, for as long as it
 * takes: what is met again by another name is linked to it.
 */
#include <linux/mman.h>
#include <linux/stat.h>
#include <stddef.h>

#include "copy.h"
#include "rootfs.h"
#include "steps.h"
#include "sys.h"

enum { EEXIST_ = -17, EISDIR_ = -21, ENAMETOOLONG_ = -36, EOPNOTSUPP_ = -95, EPERM_ = -1 };
enum { ENOENT_ = -2 };
enum { DEEPEST = 40, ENTRY_SIZE = 288 /* one entry with the longest of names */ };

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

struct about {
    uint32_t mode, uid, gid, device, names;
    uint32_t major, minor; /* of the file system, for */
    uint64_t inode;
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

struct copy {
    int links; /* the folder of the names that are kept */
    int depth;
    int crosses;  /* into what is mounted below */
    char *memory; /* for attributes */
};

static long copy_entry(struct copy *copy, long from, const char *name, long into);

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
    about->names = found.stx_nlink;
    about->major = found.stx_dev_major;
    about->minor = found.stx_dev_minor;
    about->inode = found.stx_ino;
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

/* Owners first: to give a file away takes its capabilities from it. See capabilities(7). */
static long copy_content(const struct copy *copy, long from, long into, const char *name,
                         const struct about *about)
{
    long to = SYS(__NR_openat, into, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (to < 0)
        return to;
    long result = copy_data(from, to);
    if (result == 0)
        result = give_attributes(into, name, about);
    if (result == 0)
        result = copy_attributes(copy->memory, from, to);
    SYS(__NR_close, to);
    return result;
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

static long copy_entries(struct copy *copy, long from, long into)
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
            result = copy_entry(copy, from, name, into);
        }
    return result < 0 ? result : size;
}

static long copy_folder(struct copy *copy, long from, const char *name, long into,
                        const struct about *about)
{
    if (copy->depth == DEEPEST)
        return ENAMETOOLONG_;
    long result = SYS(__NR_mkdirat, into, name, 0700);
    if (result < 0 && result != EEXIST_)
        return result;
    long to = SYS(__NR_openat, into, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (to < 0) {
        result = make_way(into, name);
        return result < 0 ? result : copy_folder(copy, from, name, into, about);
    }
    copy->depth++;
    result = about->is_mount && !copy->crosses ? 0 : copy_entries(copy, from, to);
    copy->depth--;
    if (result >= 0)
        result = copy_attributes(copy->memory, from, to);
    SYS(__NR_close, to);
    return result < 0 ? result : give_attributes(into, name, about);
}

static long copy_special(long from, const char *name, long into, const struct about *about)
{
    uint32_t kind = about->mode & S_IFMT;
    long result = kind == S_IFLNK ? copy_link(from, name, into)
                                  : SYS(__NR_mknodat, into, name, about->mode, about->device);
    if (result == EPERM_ && kind != S_IFLNK)
        return 0; /* a device that is not ours to make */
    return result < 0 ? result : give_attributes(into, name, about);
}

struct key {
    char text[32];
};

static struct key key_of(const struct about *about)
{
    const uint64_t parts[] = {about->major, about->minor, about->inode};
    struct key key;
    int at = 0;
    for (int i = 0; i < 3; i++) {
        uint64_t rest = parts[i];
        do /* in sixteen letters, and lowest digit first: it is not for reading */
            key.text[at++] = "ABCDEFGHIJKLMNOP"[rest & 15];
        while ((rest >>= 4) > 0 && at < 30);
        key.text[at++] = '-';
    }
    key.text[at] = '\0';
    return key;
}

/* By another name it may have been copied already. */
static long copy_named(struct copy *copy, long from, const char *name, long into,
                       const struct about *about)
{
    struct key key = key_of(about);
    long result = make_way(into, name);
    if (result < 0)
        return result;
    if (about->names > 1) {
        result = SYS(__NR_linkat, copy->links, key.text, into, name, 0);
        if (result != ENOENT_)
            return result;
    }
    if ((about->mode & S_IFMT) != S_IFREG) {
        result = copy_special(from, name, into, about);
    } else {
        long opened = SYS(__NR_openat, from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
        if (opened < 0)
            return opened;
        result = copy_content(copy, opened, into, name, about);
        SYS(__NR_close, opened);
    }
    if (result == 0 && about->names > 1)
        result = SYS(__NR_linkat, into, name, copy->links, key.text, 0);
    return result == ENOENT_ ? 0 : result; /* of a device that was not made */
}

static long copy_entry(struct copy *copy, long from, const char *name, long into)
{
    struct about about;
    long result = look_at(from, name, &about);
    if (result < 0)
        return result;
    uint32_t kind = about.mode & S_IFMT;
    if (kind == S_IFCHR && about.device == 0)
        return EOPNOTSUPP_; /* a whiteout: only an overlay can take away what is below */
    if (kind != S_IFDIR)
        return copy_named(copy, from, name, into, &about);
    long opened = SYS(__NR_openat, from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (opened < 0)
        return opened;
    result = copy_folder(copy, opened, name, into, &about);
    SYS(__NR_close, opened);
    return result;
}

/* So that a file has only its own names again. */
static void drop_links(int links)
{
    char buffer[1024];
    long size;
    do {
        SYS(__NR_lseek, links, 0, 0);
        size = SYS(__NR_getdents64, links, buffer, sizeof buffer);
        int dropped = 0;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            at += entry->size;
            if (entry->name[0] != '.')
                dropped += SYS(__NR_unlinkat, links, entry->name, 0) == 0;
        }
        size = dropped;
    } while (size > 0);
}

static long copy_all(long from, long tree, int links, int crosses)
{
    struct copy copy = {.links = links, .depth = 0, .crosses = crosses};
    long memory = SYS(__NR_mmap, 0, ATTRIBUTES_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    if (memory < 0 && memory > -4096)
        return memory;
    copy.memory = (char *)memory;
    long result = copy_entries(&copy, from, tree);
    SYS(__NR_munmap, memory, ATTRIBUTES_SIZE);
    return result;
}

long copy_tree(const char *source, int into)
{
    const uint64_t flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    long tree = open_in_root(into, "tree", flags), result = tree;
    if (tree < 0)
        return result;
    long links = result = open_in_root(into, "links", flags);
    if (links >= 0) {
        long from = SYS(__NR_openat, AT_FDCWD, source, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        result = from < 0 ? from : copy_all(from, tree, (int)links, 0);
        if (from >= 0)
            SYS(__NR_close, from);
        drop_links((int)links);
        SYS(__NR_close, links);
    }
    SYS(__NR_close, tree);
    return result;
}

/* With its own owner, mode and times for the new root, or without. */
static long copy_folder_up(long from, long tree, int with_own)
{
    const char *name = ".nsbox-links";
    struct about about;
    long result = SYS(__NR_mkdirat, tree, name, 0700);
    if (result < 0)
        return result;
    long links = result = SYS(__NR_openat, tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (links < 0)
        return result;
    result = copy_all(from, tree, (int)links, 1);
    drop_links((int)links);
    SYS(__NR_close, links);
    SYS(__NR_unlinkat, tree, name, AT_REMOVEDIR);
    if (result == 0 && with_own)
        result = look_at(from, ".", &about);
    return result == 0 && with_own ? give_attributes(tree, ".", &about) : result;
}

long copy_up(int dir, const char *path, int into, int64_t with_own)
{
    long from = open_in_root(dir, path, O_RDONLY | O_DIRECTORY);
    if (from < 0)
        return from;
    long tree = SYS(__NR_openat, into, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), result = tree;
    if (tree >= 0) {
        result = copy_folder_up(from, tree, with_own != 0);
        SYS(__NR_close, tree);
    }
    SYS(__NR_close, from);
    return result;
}
