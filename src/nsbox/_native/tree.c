/* Ending a tree of processes that is not all ours to wait for.
 *
 * A command that has joined a pid namespace leaves its orphans to that namespace's first process,
 * not to us: so what it has started is found by /proc, stopped so that it starts nothing more, and
 * only then killed. What has detached itself before belongs to the box. See proc_tid_children(5).
 */
#include <linux/signal.h>
#include <linux/time.h>

#include "supervise.h"
#include "sys.h"

enum { MAX_DEPTH = 256, MAX_ROUNDS = 64, PATH_SIZE = 64, LIST_SIZE = 4096 };

struct entry { /* see getdents(2) */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static char *append(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    *to = '\0';
    return to;
}

static char *append_number(char *to, long number)
{
    char digits[24];
    int i = sizeof digits;
    digits[--i] = '\0';
    do
        digits[--i] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return append(to, digits + i);
}

/* Our pid as a /proc shows it, which may be that of a namespace above ours; 0: it does not. */
static long own_pid(int proc)
{
    char self[24];
    long pid = 0, length = SYS(__NR_readlinkat, proc, "self", self, sizeof self);
    for (long i = 0; i < length; i++)
        pid = self[i] >= '0' && self[i] <= '9' ? pid * 10 + self[i] - '0' : 0;
    return pid;
}

int open_own_proc(void)
{
    long fd = SYS(__NR_openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (own_pid((int)fd) > 0)
        return (int)fd;
    SYS(__NR_close, fd);
    return -1;
}

/* What a thread does, see proc_pid_stat(5); the name before it may have any character. 0: gone. */
static char state_of(int folder, const char *file)
{
    char stat[128], state = 0;
    long fd = SYS(__NR_openat, folder, file, O_RDONLY | O_CLOEXEC, 0);
    long size = fd < 0 ? 0 : SYS(__NR_read, fd, stat, sizeof stat);
    if (fd >= 0)
        SYS(__NR_close, fd);
    for (long i = 0; i + 2 < size; i++)
        if (stat[i] == ')')
            state = stat[i + 2];
    return state == 'X' || state == 'Z' ? 0 : state;
}

/* Wait a moment; 0 where that has been done often enough, for all there is to wait for together. */
static int wait_on(void)
{
    static int patience = 20 * 1000; /* two seconds */
    struct timespec moment = {.tv_nsec = 100 * 1000};
    if (patience <= 0)
        return 0;
    patience--;
    SYS(__NR_nanosleep, &moment, 0);
    return 1;
}

/* A thread that is to stop may be about to start another process, until it has stopped. One that
 * sleeps uninterruptibly may have started one and wait for that, which has to be killed first. */
static void wait_for_stop(int proc, const char *stat)
{
    char state;
    int uninterruptible = 0;
    while ((state = state_of(proc, stat)) == 'R' || state == 'S' || state == 'D') {
        uninterruptible += state == 'D';
        if (uninterruptible > 20 || !wait_on())
            return;
    }
}

static int kill_child(int proc, long pid, int depth);

/* Each child that the kernel lists for a thread, "pid pid pid "; gives how many were killed. */
static int kill_listed(int proc, const char *file, int depth)
{
    char list[LIST_SIZE];
    long fd = SYS(__NR_openat, proc, file, O_RDONLY | O_CLOEXEC, 0);
    long size, pid = 0;
    int killed = 0;

    if (fd < 0)
        return 0;
    while ((size = SYS(__NR_read, fd, list, sizeof list)) > 0)
        for (long i = 0; i < size; i++) {
            if (list[i] >= '0' && list[i] <= '9') {
                pid = pid * 10 + list[i] - '0';
                continue;
            }
            if (pid > 0)
                killed += kill_child(proc, pid, depth);
            pid = 0;
        }
    SYS(__NR_close, fd);
    return killed;
}

/* The list leaves some out where others, that nobody has to wait for, go while it is read. */
static int kill_children_of_thread(int proc, const char *file, int depth)
{
    int killed = 0, more, round = 0;
    do
        killed += more = kill_listed(proc, file, depth);
    while (more > 0 && ++round < MAX_ROUNDS);
    return killed;
}

/* A process's children are listed by the thread that started them. */
static int kill_children(int proc, long pid, int depth)
{
    char path[PATH_SIZE], list[1024];
    char *task = append(append_number(path, pid), "/task/");
    long folder = SYS(__NR_openat, proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    long size;
    int killed = 0;

    if (folder < 0)
        return 0;
    while ((size = SYS(__NR_getdents64, folder, list, sizeof list)) > 0) {
        for (long i = 0; i < size;) {
            const struct entry *entry = (const struct entry *)(list + i);
            i += entry->length;
            if (entry->name[0] == '.')
                continue;
            char *file = append(task, entry->name);
            if (depth > 0) { /* else it is ourselves */
                append(file, "/stat");
                wait_for_stop(proc, path);
            }
            append(file, "/children");
            killed += kill_children_of_thread(proc, path, depth);
        }
    }
    SYS(__NR_close, folder);
    return killed;
}

static int kill_child(int proc, long pid, int depth)
{
    char name[PATH_SIZE];
    append_number(name, pid);
    /* By its folder and not by its number, which is not ours if we have joined a pid namespace. */
    long child = SYS(__NR_openat, proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (child < 0)
        return 0;
    int killed = state_of((int)child, "stat") &&
                 SYS(__NR_pidfd_send_signal, child, SIGSTOP, 0, 0) == 0;
    if (killed) {
        if (depth < MAX_DEPTH)
            kill_children(proc, pid, depth + 1);
        SYS(__NR_pidfd_send_signal, child, SIGKILL, 0, 0);
        /* To be gone it has to run once more, and only its parent could be told of that. */
        while (state_of((int)child, "stat") && wait_on())
            ;
    }
    SYS(__NR_close, child);
    return killed;
}

int kill_descendants(int proc)
{
    return kill_children(proc, own_pid(proc), 0);
}
