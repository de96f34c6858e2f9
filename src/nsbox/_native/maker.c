/* Namespaces made beside the rest of a box, by a process of the caller's: on another processor.
 *
 * A network namespace takes the kernel about as long as the groups and the mounts of a box together.
 * So a child of the caller's makes it meanwhile, and brings up its loopback. It shares the caller's memory,
 * nothing is copied; what the namespaces take is charged to the caller's groups, as where a box is
 * cloned into them. It lives until the box has joined them by its pidfd (beside.c), or until its caller dies.
 */
#include "maker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kept.h"
#include "steps.h"
#include "word.h"

/* With no descriptor: a fork of the caller's could have one of ours, and the network with it, for good. */
static long make(uint64_t kinds)
{
    long result = SYS(__NR_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE);
    if (result == 0)
        result = SYS(__NR_unshare, kinds);
    return result < 0 ? result : loopback_up();
}

static _Noreturn void be_maker(void *argument)
{
    const struct maker *maker = argument;
    struct page *page = maker->page;

    SYS(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (SYS(__NR_getppid) == maker->caller) { /* else it has died before that */
        long result = make(maker->kinds);
        set_word(&page->made, result < 0 ? (int32_t)result : MADE_BESIDE);
        while (!word_of(&page->joined))
            wait_while(&page->joined, 0, 0);
    }
    for (;;)
        SYS(__NR_exit_group, 0);
}

/* Not so after unshare(CLONE_NEWPID) or setns(2): the next child would be in another pid namespace, as its
 * process 1 maybe, and nobody can be in that once we have ended. */
static int has_children_beside_it(int32_t caller)
{
    static int32_t whose; /* a process is in the same one for all of its life */
    static uint64_t own;
    struct stat found;
    if (word_of(&whose) != caller) {
        if (stat("/proc/thread-self/ns/pid", &found) < 0)
            return 0;
        own = found.st_ino;
        __atomic_store_n(&whose, caller, __ATOMIC_RELEASE);
    }
    return stat("/proc/thread-self/ns/pid_for_children", &found) == 0 && found.st_ino == own;
}

static long clone_maker(struct maker *maker)
{
    uint64_t all = ~0ULL, before;
    struct clone_request request = {
        .flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)&maker->pidfd, /* without an exit_signal: it is nobody else's to wait for */
        .stack = (uint64_t)maker->stack,
        .stack_size = sizeof maker->stack,
    };
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &all, &before, KERNEL_SIGSET_SIZE);
    long pid = sys_clone3(&request, be_maker, maker);
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &before, 0, KERNEL_SIGSET_SIZE);
    return pid;
}

void maker_begin(struct maker *maker, struct page *page, const struct nsbox_step *step)
{
    int32_t *given = at(page, page->descriptors);
    maker->page = page;
    maker->kinds = (uint64_t)step->operand[0];
    maker->caller = (int32_t)SYS(__NR_getpid);
    long pid = has_children_beside_it(maker->caller) ? clone_maker(maker) : -1;
    if (pid < 0) {
        maker->pidfd = -1; /* the kernel may have written one, and has taken it back */
        page->made = MADE_BY_CLONE;
        return;
    }
    maker->pid = (int32_t)pid;
    maker->pidfd = above_standard(maker->pidfd);
    page->making = page->outcome.step;
    given[SLOT_MAKER] = maker->pidfd;
    if (maker->pidfd > page->highest_descriptor)
        page->highest_descriptor = maker->pidfd;
    if (maker->pidfd < 0)
        maker_give_up(maker);
}

void maker_end(struct maker *maker, int box)
{
    struct pollfd either[] = {{.fd = maker->pidfd, .events = POLLIN}, {.fd = box, .events = POLLIN}};
    if (!maker_is_there(maker))
        return;
    while (box >= 0 && SYS(__NR_ppoll, either, 2, 0, 0, KERNEL_SIGSET_SIZE) == -EINTR)
        ;
    set_word(&maker->page->joined, 1);
    /* By its pid: our stack is its own, whatever another thread does with all descriptors. */
    while (SYS(__NR_wait4, maker->pid, 0, __WALL, 0) == -EINTR)
        ;
    SYS(__NR_close, maker->pidfd);
    maker->pid = 0;
}

void maker_give_up(struct maker *maker)
{
    int32_t *given = at(maker->page, maker->page->descriptors);
    maker_end(maker, -1);
    given[SLOT_MAKER] = -1;
    maker->page->made = MADE_BY_CLONE;
}
