/* The caller's half of a launch: share memory, and clone without holding up other threads.
 *
 * The child begins as a clone with CLONE_VM|CLONE_VFORK on a stack of its own: nothing of the
 * caller is copied, its memory and its descriptor table are only shared, and of its threads just
 * this one waits until the child's exec. See clone(2), vfork(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kept.h"
#include "launch.h"
#include "maker.h"
#include "memory.h"
#include "operations.h"
#include "steps.h"
#include "sys.h"

#ifdef __SANITIZE_ADDRESS__ /* see .ci/sanitize: frames are larger, and those of the child stay marked */
#include <sanitizer/asan_interface.h>
enum { CHILD_STACK = 512 * 1024 };
#define FORGET(memory) __asan_unpoison_memory_region(memory, sizeof(memory))
#else
enum { CHILD_STACK = 32 * 1024 };
#define FORGET(memory) ((void)0)
#endif

enum { USUAL = 8 * 1024 }; /* bytes that most commands take, with their environment */

enum { NUMBERS = 100000000 }; /* that many are there of NSBOX_DIGITS */

static uint32_t aligned(uint32_t size)
{
    return (size + 7U) & ~7U;
}

uint32_t point(struct page *page, const struct nsbox_launch *launch)
{
    const struct nsbox_strings *strings = launch->strings;
    uint32_t size = aligned(strings->size);
    page->argc = strings->argc;
    page->envc = strings->envc;
    page->pointers = page->strings + size;
    return size + (strings->argc + strings->envc + 2) * (uint32_t)sizeof(char *);
}

/* Lay out what is shared; gives its size. */
static uint32_t lay_out(struct page *page, const struct nsbox_launch *launch)
{
    page->step_count = launch->step_count;
    page->descriptor_count = launch->descriptor_count;
    page->steps = aligned(sizeof *page);
    page->data = page->steps + launch->step_count * (uint32_t)sizeof(struct nsbox_step);
    page->descriptors = page->data + aligned(launch->data_size);
    page->strings = page->descriptors + aligned(launch->descriptor_count * 4);
    page->room = launch->room;
    return page->strings + (launch->room ? launch->room : point(page, launch));
}

/* The shared memory of one launch, filled; its descriptor is closed by the caller of this. */
static long make_page(const struct nsbox_launch *launch, struct memory *memory)
{
    struct page layout = {.size = 0};
    layout.size = lay_out(&layout, launch);

    long error = memory_take(memory, layout.size);
    if (error < 0)
        return error;
    struct page *page = memory->start;
    *page = layout;
    page->outcome.descriptor = page->proc = -1;
    page->beginning = 1;
    memcpy(at(page, page->steps), launch->steps, launch->step_count * sizeof *launch->steps);
    memcpy(at(page, page->data), launch->data, launch->data_size);
    if (launch->room) /* what comes later is to find its memory there */
        memset(at(page, page->strings), 0, launch->room < USUAL ? launch->room : USUAL);
    memcpy(at(page, page->strings), launch->strings->text, launch->strings->size);
    return 0;
}

/* The caller's own standard descriptor is inherited if it is open, and would be after an exec. */
int32_t standard(int32_t given)
{
    if (given > NSBOX_INHERITED)
        return given;
    int32_t number = NSBOX_INHERITED - given;
    int flags = fcntl(number, F_GETFD);
    return flags < 0 || flags & FD_CLOEXEC ? -1 : number;
}

/* The descriptors of the box: the caller's, with our own at their places. */
static void give_descriptors(struct page *page, const struct nsbox_launch *launch, int shared,
                             int owner)
{
    int32_t *given = at(page, page->descriptors);
    memcpy(given, launch->descriptors, launch->descriptor_count * sizeof *given);
    for (int number = SLOT_STDIN; number <= SLOT_STDERR; number++)
        given[number] = standard(given[number]);
    given[SLOT_PAGE] = shared;
    given[SLOT_OWNER] = owner;
    given[SLOT_INIT] = launch->first_process;

    page->highest_descriptor = -1;
    for (uint32_t i = 0; i < page->descriptor_count; i++)
        if (given[i] > page->highest_descriptor)
            page->highest_descriptor = given[i];
}

static _Noreturn void be_child(void *argument)
{
    struct run *run = argument;
    struct page *page = run->page;
    if (run_steps(run, (uint32_t)page->outcome.step + 1) == (int)page->step_count)
        page->outcome.completed = 1;
    for (;;)
        SYS(__NR_exit_group, 127);
}

/* One clone, with every signal held back from it and from us until the child's exec. */
static long clone_child(struct run *run, const struct nsbox_step *step, const struct maker *maker,
                        int *pidfd)
{
    char stack[CHILD_STACK] __attribute__((aligned(16))); /* ours to lend: we wait until the exec */
    uint64_t all = ~0ULL, before;
    int into = step->operation == OP_CLONE3_INTO;
    struct clone_request request = {
        .flags = (uint64_t)step->operand[0] | maker_leaves(maker) | CLONE_VM | CLONE_VFORK | CLONE_FILES |
                 CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)stack,
        .stack_size = sizeof stack,
        .cgroup = into ? (uint64_t)run->slot[step->operand[1]] : 0,
    };
    if (into)
        request.flags |= CLONE_INTO_CGROUP;
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &all, &before, KERNEL_SIGSET_SIZE);
    long pid = sys_clone3(&request, be_child, run);
    FORGET(stack);
    SYS(__NR_rt_sigprocmask, SIG_SETMASK, &before, 0, KERNEL_SIGSET_SIZE);
    return pid;
}

static int has_step(struct page *page, uint32_t first, enum operation operation)
{
    const struct nsbox_step *steps = at(page, page->steps);
    for (uint32_t i = first; i < page->step_count; i++)
        if (steps[i].operation == operation)
            return 1;
    return 0;
}

/* The sibling is our child as well: nobody else takes its pid before we have waited for it. */
static void follow_sibling(struct nsbox_launch *launch, struct page *page)
{
    bury(launch);
    pid_t sibling = page->outcome.sibling;
    if (sibling <= 0)
        return;
    long pidfd = SYS(__NR_pidfd_open, sibling, 0);
    if (pidfd < 0) { /* without a descriptor for it we could not end it later */
        kill(sibling, SIGKILL);
        waitpid(sibling, 0, __WALL);
        if (page->outcome.error == 0)
            page->outcome.error = (int32_t)-pidfd;
        return;
    }
    launch->pid = sibling;
    launch->pidfd = (int32_t)pidfd;
}

/* Not by a standard number, which the caller may give to something else. */
static void raise_pidfd(struct nsbox_launch *launch)
{
    if (launch->pidfd > SLOT_STDERR)
        return;
    int higher = fcntl(launch->pidfd, F_DUPFD_CLOEXEC, SLOT_STDERR + 1);
    if (higher < 0) /* it is needed, by whatever number */
        return;
    close(launch->pidfd);
    launch->pidfd = higher;
}

/* Do the steps of the caller's, up to the clone. */
static int run_own(struct run *run, uint32_t first, struct maker *maker)
{
    struct page *page = run->page;
    const struct nsbox_step *steps = at(page, page->steps);
    int step = run_steps(run, first);
    if (step < 0 || step == (int)page->step_count || steps[step].operation != OP_UNSHARE_BESIDE)
        return step;
    maker_begin(maker, page, &steps[step]);
    return run_steps(run, (uint32_t)step + 1);
}

/* Do the plan up to the child's exec. */
static void begin_with(struct maker *maker, struct nsbox_launch *launch, struct page *page)
{
    struct run run, ours;
    run_begin(&run, page, at(page, page->descriptors));
    int step = run_own(&run, launch->first_step, maker);
    ours = run; /* the child goes on with the other, in the same memory */
    if (step < 0 || step == (int)page->step_count) { /* all of it was for ourselves */
        run_end(&ours);
        return;
    }
    const struct nsbox_step *clone = (struct nsbox_step *)at(page, page->steps) + step;
    long pid = clone_child(&run, clone, maker, &launch->pidfd);
    if (pid < 0 && maker_is_there(maker)) { /* there may be room for one of the two */
        maker_give_up(maker);
        pid = clone_child(&run, clone, maker, &launch->pidfd);
    }
    run_end(&ours);
    if (pid < 0) {
        launch->pidfd = -1; /* the kernel may have written one, and has taken it back */
        page->outcome.error = (int32_t)-pid;
        return;
    }
    launch->pid = (int32_t)pid;
    raise_pidfd(launch);
    if (has_step(page, (uint32_t)step + 1, OP_CLONE3)) /* of a sibling, in the child's stead */
        follow_sibling(launch, page);
    if (!has_step(page, (uint32_t)step + 1, OP_EXECVEAT)) /* it was the command itself that we waited for */
        page->beginning = 0;
    if (page->outcome.error || page->outcome.completed)
        bury(launch);
}

/* And until nobody but the box works on what it is to be. */
static void begin(struct nsbox_launch *launch, struct page *page)
{
    struct maker maker;
    maker.pid = 0;
    maker.kinds = 0;
    begin_with(&maker, launch, page);
    maker_end(&maker, launch->pidfd);
    FORGET(maker.stack);
}

/* Boxes with names of their own have a number in them: never twice the same, as long as it matters. */
static void take_number(struct nsbox_launch *launch)
{
    static uint32_t numbers;
    launch->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED) % NUMBERS;
    for (uint32_t i = 0; i < launch->place_count; i++) {
        uint32_t left = launch->number;
        for (int digit = NSBOX_DIGITS; digit-- > 0; left /= 10)
            launch->data[launch->places[i] + digit] = (char)('0' + left % 10);
    }
}

int nsbox_launch(struct nsbox_launch *launch)
{
    struct memory memory;
    take_time(launch);
    if (launch->place_count)
        take_number(launch);
    take_figures_before(launch);
    launch->pid = launch->pidfd = launch->command = launch->descriptor = -1;
    *launch->told = (struct nsbox_told){.peak_bytes = -1, .group_peak_bytes = -1};
    launch->awaited = launch->waited = 0; /* it may have been used for another box, which has ended */
    launch->caller = getpid();

    long error = make_page(launch, &memory);
    if (error < 0)
        return (int)error;
    struct page *page = launch->memory = memory.start;
    launch->memory_size = (uint32_t)memory.size;
    int owner = (int)SYS(__NR_pidfd_open, getpid(), 0);
    error = owner < 0 ? owner : 0;
    if (error == 0) {
        give_descriptors(page, launch, memory.file.fd, owner);
        begin(launch, page);
    }
    kept_close(&memory.file);
    if (owner >= 0)
        close(owner);
    if (launch->pidfd < 0) {
        nsbox_close(launch);
        tell_of_nothing(launch);
    }
    if (launch->room && launch->pidfd >= 0) /* who is in a hurry comes later */
        open_figures(launch);
    launch->descriptor = page->outcome.descriptor;
    return (int)error;
}

int nsbox_run(struct nsbox_launch *launch)
{
    int error = nsbox_launch(launch);
    if (error == 0 && launch->pidfd >= 0)
        error = nsbox_wait_end(launch, -1);
    int goes_on = error == -EINTR || error == -ETIMEDOUT;
    return error < 0 && !goes_on ? error : exit_code_alone(launch->told);
}
