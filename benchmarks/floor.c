/* The floor under nsbox.run: the same steps in straight C, with nothing around them.
 *
 * Where the box begins with a copy of a template, that is made once here too, before the first start.
 *
 * FLOOR_PLAN is a header that floor.py makes from a BoxSpec's plan: one call of a step_ function
 * (floor_steps.h) for each step. So the floor follows the spec by itself, yet shares no code with
 * nsbox: there is no interpreter, no encoded list, no shared memory, no report of what went wrong
 * beyond a number.
 *
 * What is fair? A floor is the least that anybody could get away with for the same result.
 * - Its first process is a static program without libc (this file again, with -DFIRST_PROCESS):
 *   the start-up of a libc would only raise the floor. It need not be told a plan, for its own is
 *   compiled in. Its duties are the same: reap, pass signals on, end with its owner.
 * - A path is handed to the kernel as it stands in the plan. nsbox resolves each beneath the root,
 *   so that no link of a hostile tree leads out of it. With -DGUARDED the floor does so too, and
 *   then makes nsbox's system calls one for one: the difference is the price of that safety.
 *
 * floor COUNT box|plain COMMAND [ARGUMENT ...]
 *     starts COMMAND COUNT times, or, where COUNT is 0, each time that a byte comes in on standard
 *     input, and prints the microseconds of each start, up to the end and the wait for it.
 *     "plain" is clone, exec and wait, without isolation.
 */
#include "floor_steps.h"

static _Noreturn void quit(int code)
{
    for (;;)
        SYS(exit_group, code);
}

static void say(const char *text, long length)
{
    SYS(write, 2, text, length);
}

/* Not in the hot path: "step N: errno M" on standard error. */
static _Noreturn void fail(long step, long result)
{
    char text[] = "floor: step 000: errno 000\n";
    for (int i = 2, s = (int)step, e = (int)-result; i >= 0; i--, s /= 10, e /= 10)
        text[12 + i] = (char)('0' + s % 10), text[23 + i] = (char)('0' + e % 10);
    say(text, sizeof text - 1);
    quit(127);
}

#define STEP(index, call)           \
    do {                            \
        long result_ = (call);      \
        if (result_ < 0)            \
            fail(index, result_);   \
    } while (0)

#include FLOOR_PLAN /* NAMESPACES, HAS_FIRST_PROCESS, HAS_TEMPLATE, INTO_GROUP, make_groups,
                       leave_caller, build_box, become_command, remove_groups, make_template */

static _Noreturn void run_command(char **argv, char **envp)
{
    STEP(998, SYS(execve, argv[0], argv, envp));
    quit(127);
}

#ifdef FIRST_PROCESS

#include <linux/poll.h>
#include <linux/signalfd.h>
#include <linux/wait.h>

static char **command_argv, **command_envp;

static void be_command(long unused)
{
    (void)unused;
    become_command();
    run_command(command_argv, command_envp);
}

/* In our memory until its exec, and on a stack of its own: we go on meanwhile. */
static long start_command(void)
{
    static char stack[16384] __attribute__((aligned(16)));
    struct clone_args request = {.flags = CLONE_VM,
                                 .exit_signal = SIGCHLD_,
                                 .stack = (uint64_t)stack,
                                 .stack_size = sizeof stack};
    return clone_onto(&request, be_command, 0);
}

/* What is left in the box ends with us, process 1, by itself. */
static void reap(long command)
{
    long pid, usage[18];
    int status;
    while ((pid = SYS(wait4, -1, &status, WNOHANG | __WALL, 0)) > 0)
        if (pid == command) {
            SYS(getrusage, -1 /* RUSAGE_CHILDREN */, usage);
            quit(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
        }
}

static _Noreturn void supervise(long command)
{
    uint64_t all = ~0ULL;
    struct signalfd_siginfo signal;

    SYS(close_range, 0, OWNER - 1, 0);
    SYS(close_range, OWNER + 1, ~0U, 0);
    struct pollfd watched[] = {
        {.fd = OWNER, .events = POLLIN},
        {.fd = (int)SYS(signalfd4, -1, &all, sizeof all, O_CLOEXEC), .events = POLLIN},
    };
    for (reap(command);;) {
        SYS(ppoll, watched, 2, 0, 0, sizeof all);
        if (watched[0].revents)
            quit(137);
        if (watched[1].revents && SYS(read, watched[1].fd, &signal, sizeof signal) > 0) {
            if (signal.ssi_signo == SIGCHLD_)
                reap(command);
            else
                SYS(kill, command, signal.ssi_signo);
        }
    }
}

_Noreturn void first_process(char **stack);
_Noreturn void first_process(char **stack)
{
    command_argv = command_envp = stack + 2;
    while (*command_envp++)
        ;
    forget_slots();
    build_box();
    long command = start_command();
    STEP(997, command);
    supervise(command);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tcall first_process\n\thlt\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl first_process\n\tbrk #1\n");
#endif

#else /* the caller */

#include <linux/wait.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern char **environ;

static _Noreturn void __attribute__((noinline)) be_child(char **argv, int isolated)
{
    uint64_t none = 0;

    if (!isolated) {
        SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, sizeof none);
        run_command(argv, environ);
    }
    forget_slots();
    leave_caller();
#if HAS_FIRST_PROCESS
    argv[-1] = "floor-init";
    STEP(999, SYS(execveat, INIT_IMAGE, "", argv - 1, environ, AT_EMPTY_PATH));
#endif
    run_command(argv, environ);
}

/* clone3 as vfork(2) does it: the child runs on our stack, below us, until its exec. */
static inline long clone_until_exec(uint64_t flags, int *pidfd, int group)
{
    struct clone_args request = {.flags = flags | CLONE_VM | CLONE_VFORK,
                                 .pidfd = (uint64_t)pidfd,
                                 .exit_signal = SIGCHLD_};
    if (group >= 0)
        request.flags |= CLONE_INTO_CGROUP, request.cgroup = (uint64_t)group;
    return SYS(clone3, &request, sizeof request);
}

static double microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double start_once(char **argv, int isolated)
{
    uint64_t flags = isolated ? NAMESPACES | CLONE_FILES | CLONE_CLEAR_SIGHAND : 0;
    int pidfd = -1;
    int end[32]; /* a siginfo_t, whose header does not go with the kernel's own */
    enum { CODE = 2, STATUS = 6, EXITED = 1 };
    long usage[18];

    double began = microseconds();
    int group = -1;
    if (isolated) {
        forget_slots();
        make_groups();
        group = INTO_GROUP;
    }
    long pid = clone_until_exec(flags | CLONE_PIDFD, &pidfd, group);
    if (pid == 0)
        be_child(argv, isolated);
    STEP(0, pid);
    STEP(1, SYS(waitid, P_PIDFD, pidfd, end, WEXITED | __WALL, usage));
    SYS(close, pidfd);
    if (maker >= 0) { /* it has ended long since */
        STEP(2, SYS(waitid, P_PIDFD, maker, 0, WEXITED | __WALL, 0));
        SYS(close, maker);
        maker = -1;
    }
    if (group >= 0)
        SYS(close, group);
    if (isolated)
        remove_groups();
    double took = microseconds() - began;
    if (end[CODE] != EXITED || end[STATUS] != 0) {
        fprintf(stderr, "floor: the command ended with %d\n", end[STATUS]);
        exit(1);
    }
    return took;
}

static long open_word(int number)
{
    long opened = SYS(eventfd2, 0, 0);
    long result = opened < 0 || opened == number ? opened : SYS(dup3, opened, number, 0);
    if (result >= 0 && opened != number)
        SYS(close, opened);
    return result;
}

/* What the box is given, at the numbers where it belongs: the image closes by itself at the exec. */
static void open_descriptors(void)
{
    long image = SYS(openat, AT_FDCWD, FLOOR_INIT, O_RDONLY | O_CLOEXEC, 0);
    long owner = SYS(pidfd_open, SYS(getpid, 0), 0);
    STEP(2, image);
    STEP(3, owner);
    STEP(4, image == INIT_IMAGE ? 0 : SYS(dup3, image, INIT_IMAGE, O_CLOEXEC));
    STEP(5, SYS(dup3, owner, OWNER + 1, 0));
    STEP(6, SYS(dup3, OWNER + 1, OWNER, 0));
    SYS(close, OWNER + 1);
    STEP(7, open_word(MADE));
    STEP(8, open_word(JOINED));
}

#if HAS_TEMPLATE
/* A mount namespace that lives on by its descriptor, which the child leaves in our table. */
static void open_template(void)
{
    struct clone_args request = {.flags = CLONE_NEWNS | CLONE_FILES | CLONE_VFORK,
                                 .exit_signal = SIGCHLD_};
    int status = 0;
    long pid = SYS(clone3, &request, sizeof request);
    if (pid == 0) {
        long made = SYS(openat, AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0);
        STEP(5, made);
        STEP(6, made == TEMPLATE ? 0 : SYS(dup3, made, TEMPLATE, 0));
        SYS(umask, 0);
        forget_slots();
        make_template();
        quit(0);
    }
    STEP(7, pid);
    STEP(8, SYS(wait4, pid, &status, 0, 0));
    STEP(9, -status);
    SYS(close_range, DESCRIPTORS, ~0U, 0);
}
#endif

int main(int argc, char **argv)
{
    uint64_t all = ~0ULL;
    char go;
    if (argc < 4)
        return fprintf(stderr, "usage: floor COUNT box|plain COMMAND [ARGUMENT ...]\n"), 2;
    long count = atol(argv[1]);
    int isolated = strcmp(argv[2], "box") == 0;

    open_descriptors();
#if HAS_TEMPLATE
    open_template();
#endif
    SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &all, 0, sizeof all);
    for (long i = 0; count == 0 ? SYS(read, 0, &go, 1) == 1 : i < count; i++) {
        printf("%.1f\n", start_once(argv + 3, isolated));
        fflush(stdout);
    }
    return 0;
}

#endif
