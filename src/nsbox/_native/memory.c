/* The memory that a launch shares with its box, made while the box before it was waited for.
 *
 * To make it, and to let go of it, takes some 20 microseconds, and more than 100 on a machine that
 * was quiet: whoever waits for the end of a box has that time. Each piece is still the memory of one
 * box and no other, so that nothing in a box could be in the way of the next. What is kept is not
 * in a fork of the caller's: that may be anybody's by then, see `nsbox.executor.nursery`.
 */
#include "memory.h"

#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AHEAD = 16 * 1024 }; /* bytes: most plans and commands take less */

/* Whoever finds this in use, by another thread or by one that a fork has left behind, does without. */
static int in_use;
static struct memory ahead; /* what the next launch takes; or nothing: its start is 0 */
static struct memory left;  /* what is to be unmapped */

static int begin_use(void)
{
    return !__atomic_exchange_n(&in_use, 1, __ATOMIC_ACQUIRE);
}

static void end_use(void)
{
    __atomic_store_n(&in_use, 0, __ATOMIC_RELEASE);
}

/* It may be kept: never under the number of a standard descriptor that the caller has closed. */
static int make_descriptor(void)
{
    int fd = memfd_create("nsbox", MFD_CLOEXEC);
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close(fd);
    return higher;
}

static long make(struct memory *memory, size_t size, int flags)
{
    struct stat made;
    memory->size = size;
    memory->owner = getpid();
    memory->start = MAP_FAILED;
    memory->fd = make_descriptor();
    if (memory->fd < 0)
        return -errno;
    if (ftruncate(memory->fd, (off_t)size) == 0 && fstat(memory->fd, &made) == 0)
        memory->start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, memory->fd, 0);
    if (memory->start == MAP_FAILED) {
        long error = -errno;
        close(memory->fd);
        return error;
    }
    memory->device = made.st_dev;
    memory->inode = made.st_ino;
    return 0;
}

static int has_its_descriptor(const struct memory *memory)
{
    struct stat now;
    return fstat(memory->fd, &now) == 0 && now.st_dev == memory->device &&
           now.st_ino == memory->inode;
}

/* What was made ahead: not in a fork, and not where the caller has closed all descriptors that it
 * did not know. */
static int take_ahead(struct memory *memory)
{
    if (!begin_use())
        return 0;
    *memory = ahead;
    ahead.start = 0;
    end_use();
    if (!memory->start)
        return 0;
    int known = has_its_descriptor(memory), ours = memory->owner == getpid();
    if (known && ours && madvise(memory->start, memory->size, MADV_DOFORK) == 0)
        return 1;
    if (ours)
        munmap(memory->start, memory->size);
    if (known)
        close(memory->fd);
    return 0;
}

long memory_take(struct memory *memory, size_t size)
{
    if (size <= AHEAD && take_ahead(memory))
        return 0;
    return make(memory, size, 0);
}

void memory_unmap(void *start, size_t size)
{
    munmap(start, size);
}

void memory_leave(void *start, size_t size)
{
    int kept = 0;
    if (begin_use()) {
        kept = (!left.start || left.owner != getpid()) && madvise(start, size, MADV_DONTFORK) == 0;
        if (kept)
            left = (struct memory){.start = start, .size = size, .owner = getpid()};
        end_use();
    }
    if (!kept)
        munmap(start, size);
}

static void unmap_what_is_left(void)
{
    if (left.start && left.owner == getpid())
        munmap(left.start, left.size);
    left.start = 0;
}

static void make_ahead(void)
{
    if (ahead.start && ahead.owner == getpid())
        return;
    if (ahead.start && has_its_descriptor(&ahead))
        close(ahead.fd);
    ahead.start = 0;
    struct memory made;
    if (make(&made, AHEAD, MAP_POPULATE) < 0)
        return; /* the launch that wants it will tell */
    if (madvise(made.start, made.size, MADV_DONTFORK) == 0) {
        ahead = made;
        return;
    }
    munmap(made.start, made.size);
    close(made.fd);
}

void memory_while_waiting(void)
{
    if (!begin_use())
        return;
    unmap_what_is_left();
    make_ahead();
    end_use();
}

void nsbox_forget_memory(void)
{
    struct memory memory;
    if (take_ahead(&memory)) {
        munmap(memory.start, memory.size);
        close(memory.fd);
    }
    if (begin_use()) {
        unmap_what_is_left();
        end_use();
    }
}
