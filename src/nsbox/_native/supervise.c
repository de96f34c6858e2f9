/* The first process once the command has begun: it passes signals on, reaps what is orphaned, and
 * ends the box when the command ends, the owner dies or the owner says so.
 *
 * As process 1 of a pid namespace its own end is the end of all others in it, see
 * pid_namespaces(7). Where its pid namespace is the host's it is a child subreaper instead, see
 * PR_SET_CHILD_SUBREAPER(2const), and ends its descendants: see tree.c.
 */
#include "supervise.h"

#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/time.h>
#include <linux/wait.h>

#include "word.h"

enum {
    END_BOX = 64, /* SIGRTMAX: the owner's word, where SIGKILL would leave descendants */
    PATIENCE = 2000, /* about as many milliseconds, for those that were killed to be gone */
    MANY = 100, /* that are waited for before the others are ended */
    ECHILD_ = 10,
    STOP_COMMAND = 32 /* SIGSTOP for the command; a number that libc keeps from programs */
};

_Noreturn void leave(int code)
{
    for (;;)
        SYS(__NR_exit_group, code);
}

static int is_first(void)
{
    return SYS(__NR_getpid) == 1;
}

/* The caller's /proc is the one to trust, and is kept through all that follows: in a box that is
 * joined it may be anything. */
void begin_to_supervise(struct page *page)
{
    if (is_first())
        return;
    SYS(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if (page->proc < 0)
        page->proc = open_own_proc();
    else
        SYS(__NR_fcntl, page->proc, F_SETFD, FD_CLOEXEC);
}

static void wait_for_a_child(void)
{
    struct timespec moment = {.tv_nsec = 1000 * 1000};
    uint64_t ended = 1ULL << (SIGCHLD - 1);
    if (SYS(__NR_wait4, -1, 0, __WALL | WNOHANG, 0) <= 0)
        SYS(__NR_rt_sigtimedwait, &ended, 0, &moment, KERNEL_SIGSET_SIZE);
}

/* Without a child there is nothing below us, and none can come: whoever ends leaves its children to
 * others before it can be waited for, and only a child of ours could make another (CLONE_PARENT). So
 * most ends take no look at /proc. Those that end and make others faster than they are waited for are
 * children all the same. See wait(2), ECHILD. */
static int has_children(void)
{
    long result = 1;
    for (int i = 0; i < MANY && result > 0; i++)
        result = SYS(__NR_wait4, -1, 0, __WALL | WNOHANG, 0);
    return result != -ECHILD_;
}

static void end_all_others(int proc)
{
    if (is_first()) { /* only here does -1 mean no more than the box */
        SYS(__NR_kill, -1, SIGKILL);
        while (SYS(__NR_wait4, -1, 0, __WALL, 0) > 0)
            ;
        return;
    }
    /* Orphans of theirs may become ours. A process that somebody in the box traces is not ours to
     * wait for until its tracer has: what is dead is left to it, see ptrace(2). */
    for (int i = 0; i < PATIENCE && has_children() && kill_descendants(proc) > 0; i++)
        wait_for_a_child();
    while (SYS(__NR_wait4, -1, 0, __WALL | WNOHANG, 0) > 0)
        ;
}

struct supervisor {
    struct page *page;
    long command; /* 0: none, the box stays until it is told to end */
    int proc;
    int parked; /* the socket of a box that was made ahead: shut down, it tells of the answer */
    int signals;
    int ending; /* all in the box were asked to end, and it does once they have */
};

/* To an owner who looks whether we have counted, as long as we do that on another processor than his. */
static void tell_place(const struct supervisor *box)
{
    uint32_t place = 0;
    if (box->page->parked == PARKED_AND_ENDED && SYS(__NR_getcpu, &place, 0, 0) == 0)
        __atomic_store_n(&box->page->counting, 1 + (int32_t)place, __ATOMIC_RELEASE);
}

/* Tell the owner of a box that was made ahead that the answer is there: whatever copies of its socket
 * live on. One that waits for just that ends us when it has the time, for our end takes a while, on the
 * processor that it is woken on maybe. */
static void answer(const struct supervisor *box)
{
    struct pollfd owner = {.fd = SLOT_OWNER, .events = POLLIN};
    struct timespec moment = {.tv_nsec = 1000 * 1000}, patience = {.tv_sec = 1};
    int is_awaited = box->page->parked == PARKED_AND_ENDED;
    set_word(&box->page->outcome.finished, 1);
    if (is_awaited) /* let the one who waits go on first */
        SYS(__NR_ppoll, &owner, 1, &moment, 0, KERNEL_SIGSET_SIZE);
    SYS(__NR_shutdown, box->parked, 2 /* SHUT_RDWR */);
    if (!is_awaited)
        return;
    if (is_first())
        SYS(__NR_kill, -1, SIGKILL); /* what has joined us from outside; the answer need not wait for it */
    SYS(__NR_ppoll, &owner, 1, &patience, 0, KERNEL_SIGSET_SIZE);
}

/* Nothing outlives the command: end the rest, and count what they all used. */
static _Noreturn void end_box(const struct supervisor *box, int status)
{
    struct nsbox_outcome *outcome = &box->page->outcome;
    struct rusage usage;

    box->page->others = has_children();
    if (box->page->others) /* else what is in a pid namespace, and no child of its process 1, ends with it */
        end_all_others(box->proc);
    if (SYS(__NR_getrusage, RUSAGE_CHILDREN, &usage) == 0) {
        outcome->user_us = usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec;
        outcome->system_us = usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
        outcome->peak_kib = usage.ru_maxrss;
    }
    outcome->status = status;
    if (box->page->parked)
        answer(box);
    else
        __atomic_store_n(&outcome->finished, 1, __ATOMIC_RELEASE);
    leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

static void reap(const struct supervisor *box)
{
    int status;
    long pid;
    while ((pid = SYS(__NR_wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
        if (pid == box->command && box->page->outcome.error)
            leave(127); /* before its exec */
        else if (pid == box->command)
            end_box(box, status);
}

/* Without a command, a box is asked to end as a machine is. */
static void ask_all_to_end(struct supervisor *box)
{
    if (!is_first())
        end_box(box, 0);
    SYS(__NR_kill, -1, SIGTERM);
    SYS(__NR_kill, -1, SIGCONT);
    box->ending = 1;
}

static void take_signal(struct supervisor *box)
{
    struct signalfd_siginfo info;
    if (SYS(__NR_read, box->signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD)
        reap(box);
    else if (info.ssi_signo == END_BOX && !is_first()) {
        box->page->parked = 0; /* nobody waits for an answer any longer, but for our end */
        end_box(box, SIGKILL);
    }
    else if (box->command > 0)
        SYS(__NR_kill, box->command, info.ssi_signo == STOP_COMMAND ? SIGSTOP : info.ssi_signo);
    else if (info.ssi_signo == SIGTERM)
        ask_all_to_end(box);
}

/* Hold nothing open that the command or the caller waits for the end of. */
static void settle(struct supervisor *box)
{
    enum { PROC = SLOT_OWNER + 1 };
    int last = SLOT_OWNER;
    uint64_t all = ~0ULL;

    if (box->proc >= 0)
        box->proc = last = (int)SYS(__NR_dup3, box->proc, PROC, 0);
    if (box->page->room)
        box->parked = last = (int)SYS(__NR_dup3, SLOT_PARKED, last + 1, 0);
    SYS(__NR_close_range, 0, SLOT_OWNER - 1, 0);
    SYS(__NR_close_range, last + 1, ~0U, 0);
    box->signals = (int)SYS(__NR_signalfd4, -1, &all, KERNEL_SIGSET_SIZE, O_CLOEXEC);
    if (!box->command)
        set_word(&box->page->beginning, 0);
}

_Noreturn void supervise(struct page *page, long command)
{
    struct supervisor box = {
        .page = page, .command = command, .proc = is_first() ? -1 : page->proc, .parked = -1};
    settle(&box);
    struct pollfd watched[] = {{.fd = SLOT_OWNER, .events = POLLIN},
                               {.fd = box.signals, .events = POLLIN}};

    reap(&box); /* whatever ended before the signals could be heard */
    for (;;) {
        struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
        SYS(__NR_ppoll, watched, 2, box.ending ? &pause : 0, 0, KERNEL_SIGSET_SIZE);
        if (watched[0].revents)
            end_box(&box, SIGKILL); /* the owner is dead */
        if (watched[1].revents) {
            tell_place(&box);
            reap(&box); /* first: mostly that is all that it tells, and somebody waits for that */
            take_signal(&box);
        }
        /* What has joined the box is no child of ours: no signal tells of its end. */
        if (box.ending && SYS(__NR_kill, -1, 0) < 0)
            end_box(&box, 0);
    }
}
