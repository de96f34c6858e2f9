/* The first process of a box: a static program without libc, run from a sealed memfd.
 *
 * It does the steps of the plan in memory of its own, starts the command, passes signals on to it,
 * reaps what is orphaned, and ends the box when the command ends or the owner dies. Its parent is
 * the caller; it keeps one descriptor, the owner's pidfd. See pid_namespaces(7).
 */
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>
#include <linux/resource.h>
#include <linux/wait.h>

#include "steps.h"
#include "sys.h"

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

static _Noreturn void leave(int code)
{
    for (;;)
        SYS(__NR_exit_group, code);
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

static _Noreturn void be_command(void *argument)
{
    struct run *run = argument;
    run_steps(run, (uint32_t)run->page->outcome.step + 1);
    leave(127);
}

/* The command begins in a process that shares our memory until its exec: so we know, once the call
 * returns, that the exec succeeded or which step failed. */
static long start_command(struct run *run)
{
    static char stack[16384] __attribute__((aligned(16)));
    struct clone_request request = {.flags = CLONE_VM | CLONE_VFORK,
                                    .exit_signal = SIGCHLD,
                                    .stack = (uint64_t)stack,
                                    .stack_size = sizeof stack};
    long pid = sys_clone3(&request, be_command, run);
    if (pid < 0)
        run->page->outcome.error = (int32_t)-pid;
    return pid;
}

static void tell_of_exec(void)
{
    uint64_t one = 1;
    SYS(__NR_write, SLOT_STARTED, &one, sizeof one); /* fails where nobody asked to be told */
}

/* Nothing outlives the command: end all in our pid namespace, and count what they used. */
static _Noreturn void end_box(struct page *page, int status)
{
    struct rusage usage;

    /* Only as the first process of a pid namespace: elsewhere -1 would mean everybody. */
    if (SYS(__NR_getpid) == 1)
        SYS(__NR_kill, -1, SIGKILL);
    while (SYS(__NR_wait4, -1, 0, __WALL, 0) > 0)
        ;
    if (SYS(__NR_getrusage, RUSAGE_CHILDREN, &usage) == 0) {
        page->outcome.user_us = usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec;
        page->outcome.system_us = usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
        page->outcome.peak_kib = usage.ru_maxrss;
    }
    page->outcome.status = status;
    page->outcome.finished = 1;
    leave(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
}

static void reap(struct page *page, long command)
{
    int status;
    long pid;
    while ((pid = SYS(__NR_wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
        if (pid == command)
            end_box(page, status);
}

static void take_signal(struct page *page, long command, int signals)
{
    struct signalfd_siginfo info;
    if (SYS(__NR_read, signals, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGCHLD)
        reap(page, command);
    else
        SYS(__NR_kill, command, info.ssi_signo);
}

static _Noreturn void watch(struct page *page, long command)
{
    uint64_t all = ~0ULL;
    SYS(__NR_close_range, 0, SLOT_OWNER - 1, 0);
    SYS(__NR_close_range, SLOT_OWNER + 1, ~0U, 0);
    struct pollfd watched[] = {
        {.fd = SLOT_OWNER, .events = POLLIN},
        {.fd = (int)SYS(__NR_signalfd4, -1, &all, KERNEL_SIGSET_SIZE, O_CLOEXEC), .events = POLLIN},
    };

    reap(page, command); /* whatever ended before the signals could be heard */
    for (;;) {
        SYS(__NR_ppoll, watched, 2, 0, 0, KERNEL_SIGSET_SIZE);
        if (watched[0].revents)
            end_box(page, SIGKILL); /* the owner is dead */
        if (watched[1].revents)
            take_signal(page, command, watched[1].fd);
    }
}

_Noreturn void first_process(void)
{
    struct run run;

    /* Before any other process is in the box, so that none can ever trace this one. */
    SYS(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    SYS(__NR_prctl, PR_SET_NAME, "nsbox-init", 0, 0, 0);
    run_begin(&run, map_page());
    if (run_steps(&run, (uint32_t)run.page->outcome.step + 1) < 0)
        leave(127);
    long command = start_command(&run);
    if (run.page->outcome.error)
        leave(127);
    tell_of_exec();
    watch(run.page, command);
}

/* The kernel enters here with an aligned stack; a function must find it as after a call. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tcall first_process\n\thlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tbl first_process\n\tbrk #1\n");
#endif
