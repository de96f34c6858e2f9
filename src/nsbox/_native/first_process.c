/* The first process of a box: a static program without libc, run from a sealed memfd.
 *
 * It does the steps of the plan in memory of its own, starts the command, and then stands above it:
 * see supervise.c.
 */
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/wait.h>

#include "operations.h"
#include "steps.h"
#include "supervise.h"
#include "word.h"

/* A compiler may turn loops and assignments into calls of these. */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);
_Noreturn void first_process(void);

void *memcpy(void *to, const void *from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((char *)to)[i] = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

enum { EAGAIN_ = 11 };

static _Noreturn void fail(struct page *page)
{
    set_word(&page->beginning, 0);
    leave(127);
}

static struct page *map_page(void)
{
    struct page *page;
    uint32_t size = 0;
    long read = SYS(__NR_pread64, SLOT_PAGE, &size, sizeof size, offsetof(struct page, size));
    if (read != sizeof size)
        leave(127);
    long address = SYS(__NR_mmap, 0, size, 3 /* PROT_READ|PROT_WRITE */, 1 /* MAP_SHARED */,
                       SLOT_PAGE, 0);
    if (address < 0 && address > -4096)
        leave(127);
    page = (struct page *)address; /* NOLINT: the kernel gives an address as a number */
    return page;
}

static long first; /* our pid */

/* Without a parent it would run on its own: one that has ended before it is told of that. A parent in another
 * pid namespace, as that of a command that joins a box, is seen as 0. */
static _Noreturn void be_command(void *argument)
{
    struct run *run = argument;
    SYS(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    long parent = SYS(__NR_getppid);
    if (parent != 0 && parent != first)
        leave(127);
    run_steps(run, (uint32_t)run->page->outcome.step + 1);
    leave(127);
}

/* The command begins in a process that shares our memory until its exec, or its end, which the kernel tells
 * the caller of: see CLONE_CHILD_CLEARTID in clone(2). We go on meanwhile, on a stack of our own. */
static long start_command(struct run *run)
{
    static char stack[16384] __attribute__((aligned(16)));
    struct clone_request request = {.flags = CLONE_VM | CLONE_CHILD_CLEARTID,
                                    .child_tid = (uint64_t)&run->page->beginning,
                                    .exit_signal = SIGCHLD,
                                    .stack = (uint64_t)stack,
                                    .stack_size = sizeof stack};
    first = SYS(__NR_getpid);
    long pid = sys_clone3(&request, be_command, run);
    for (int i = 0; pid == -EAGAIN_ && run->page->made == MADE_BESIDE && i < 20; i++) {
        struct timespec moment = {.tv_nsec = 1000 * 1000};
        SYS(__NR_nanosleep, &moment, 0); /* who made our namespaces is a task too, and about to end */
        pid = sys_clone3(&request, be_command, run);
    }
    if (pid < 0)
        run->page->outcome.error = (int32_t)-pid;
    return pid;
}

/* Go on in a copy of ourselves that is in the new namespaces, with the same parent as we. */
static void go_on_in_sibling(struct page *page, int step)
{
    const struct nsbox_step *clone = (struct nsbox_step *)at(page, page->steps) + step;
    struct clone_request request = {.flags = (uint64_t)clone->operand[0] | CLONE_PARENT};
    long pid = SYS(__NR_clone3, &request, sizeof request);
    if (pid == 0)
        return;
    if (pid < 0)
        page->outcome.error = (int32_t)-pid;
    else
        page->outcome.sibling = (int32_t)pid;
    leave(127);
}

_Noreturn void first_process(void)
{
    struct run run;
    long command = 0;

    SYS(__NR_prctl, PR_SET_NAME, "nsbox-init", 0, 0, 0);
    default_signal(SIGCHLD); /* who ignores it, as the caller may, is not told of a child's end */
    run_begin(&run, map_page(), 0);
    begin_to_supervise(run.page);
    const struct nsbox_step *steps = at(run.page, run.page->steps);
    for (;;) {
        int step = run_steps(&run, (uint32_t)run.page->outcome.step + 1);
        if (step < 0) {
            tell_of_failure(&run);
            fail(run.page);
        }
        if (step == (int)run.page->step_count)
            break;
        if (steps[step].operation == OP_CLONE_VM) {
            command = start_command(&run);
            break;
        }
        go_on_in_sibling(run.page, step);
        begin_to_supervise(run.page);
    }
    if (command < 0)
        fail(run.page);
    supervise(run.page, command);
}

/* The kernel enters here with an aligned stack; a function must find it as after a call. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall first_process\n\thlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tbl first_process\n\tbrk #1\n");
#endif
