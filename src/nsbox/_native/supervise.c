/* The first process after the command's exec: it passes signals on, reaps what is orphaned, and
 * ends the box when the command ends, the owner dies or the owner says so.
 *
 * As process 1 of a pid namespace its own end is the end of all others in it, see
 * pid_namespaces(7). In a pid namespace that is shared with the host it is a child subreaper
 * instead, see PR_SET_CHILD_SUBREAPER(2const), and ends its descendants generation by generation.
 */
#include "supervise.h"

#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/wait.h>

#include "sys.h"

enum { END_BOX = 64 /* SIGRTMAX: the owner's word, where SIGKILL would leave descendants */ };

_Noreturn void leave(int code)
{
    for (;;)
        SYS(__NR_exit_group, code);
}

static int is_first(void)
{
    return SYS(__NR_getpid) == 1;
}

int begin_to_supervise(void)
{
    if (is_first())
        return -1;
    SYS(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return (int)SYS(__NR_openat, AT_FDCWD, "/proc/thread-self/children", O_RDONLY | O_CLOEXEC, 0);
}

/* Send SIGKILL to each child that the kernel lists, "pid pid pid "; gives how many. */
static int kill_children(int children)
{
    char list[4096];
    int killed = 0;
    long pid = 0, size = SYS(__NR_pread64, children, list, sizeof list, 0);

    for (long i = 0; i < size; i++) {
        if (list[i] >= '0' && list[i] <= '9') {
            pid = pid * 10 + list[i] - '0';
            continue;
        }
        if (pid > 0) /* a number cut off by the end of the buffer is for the next round */
            killed += SYS(__NR_kill, pid, SIGKILL) == 0;
        pid = 0;
    }
    return killed;
}

static void end_all_others(int children)
{
    if (is_first()) { /* only here does -1 mean no more than the box */
        SYS(__NR_kill, -1, SIGKILL);
        while (SYS(__NR_wait4, -1, 0, __WALL, 0) > 0)
            ;
        return;
    }
    while (kill_children(children) > 0) /* whose own children become ours */
        SYS(__NR_wait4, -1, 0, __WALL, 0);
    while (SYS(__NR_wait4, -1, 0, __WALL | WNOHANG, 0) > 0)
        ;
}

/* Nothing outlives the command: end the rest, and count what they all used. */
static _Noreturn void end_box(struct page *page, int status, int children)
{
    struct rusage usage;

    end_all_others(children);
    if (SYS(__NR_getrusage, RUSAGE_CHILDREN, &usage) == 0) {
        page->outcome.user_us = usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec;
        page->outcome.system_us = usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
        page->outcome.peak_kib = usage.ru_maxrss;
    }
    page->outcome.status = status;
    page->outcome.finished = 1;
    leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

static void reap(struct page *page, long command, int children)
{
    int status;
    long pid;
    while ((pid = SYS(__NR_wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
        if (pid == command)
            end_box(page, status, children);
}

static void take_signal(struct page *page, long command, int signals, int children)
{
    struct signalfd_siginfo info;
    if (SYS(__NR_read, signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD)
        reap(page, command, children);
    else if (info.ssi_signo == END_BOX && !is_first())
        end_box(page, SIGKILL, children);
    else if (command > 0)
        SYS(__NR_kill, command, info.ssi_signo);
    else if (info.ssi_signo == SIGTERM)
        end_box(page, SIGTERM, children);
}

/* Hold nothing open that the command or the caller waits for the end of; then tell the caller. */
static int settle(int children)
{
    enum { CHILDREN = SLOT_STARTED + 1 };
    uint64_t one = 1;

    if (children >= 0)
        SYS(__NR_dup3, children, CHILDREN, O_CLOEXEC);
    SYS(__NR_close_range, 0, SLOT_OWNER - 1, 0);
    SYS(__NR_close_range, children >= 0 ? CHILDREN + 1 : CHILDREN, ~0U, 0);
    SYS(__NR_write, SLOT_STARTED, &one, sizeof one); /* fails where nobody asked to be told */
    SYS(__NR_close, SLOT_STARTED);
    return children >= 0 ? CHILDREN : -1;
}

_Noreturn void supervise(struct page *page, long command, int children)
{
    uint64_t all = ~0ULL;

    children = settle(children);
    struct pollfd watched[] = {
        {.fd = SLOT_OWNER, .events = POLLIN},
        {.fd = (int)SYS(__NR_signalfd4, -1, &all, KERNEL_SIGSET_SIZE, O_CLOEXEC), .events = POLLIN},
    };
    reap(page, command, children); /* whatever ended before the signals could be heard */
    for (;;) {
        SYS(__NR_ppoll, watched, 2, 0, 0, KERNEL_SIGSET_SIZE);
        if (watched[0].revents)
            end_box(page, SIGKILL, children); /* the owner is dead */
        if (watched[1].revents)
            take_signal(page, command, watched[1].fd, children);
    }
}
