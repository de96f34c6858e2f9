/* How many instructions a start takes, counted one by one: `instructions COMMAND [ARGUMENT ...]`.
 *
 * The command is traced by ptrace(2), with all that it starts. Between one SIGUSR1 that it sends to
 * itself and the next, each of them goes on by single steps; then a line tells how many there were:
 * in the command itself, in its children before they executed anything, after that, after they
 * executed once more. What the kernel does is not seen. It works where no counter of the processor's
 * can be had, as in most virtual machines, and under no emulator that would have to know clone3(2).
 */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, BUCKETS = 4, UNKNOWN = -1, FOLLOWED = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
       PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL };

static struct process {
    pid_t pid;
    int bucket; /* UNKNOWN until its parent has told of it */
} processes[MOST];
static long counts[BUCKETS];
static int counting;

static struct process *find(pid_t pid)
{
    struct process *free = 0;
    for (int i = 0; i < MOST; i++)
        if (processes[i].pid == pid)
            return &processes[i];
        else if (!processes[i].pid)
            free = &processes[i];
    if (!free)
        errx(1, "more than %d processes at once", MOST);
    *free = (struct process){pid, UNKNOWN};
    return free;
}

static void go_on(struct process *process, int signal)
{
    ptrace(counting ? PTRACE_SINGLESTEP : PTRACE_CONT, process->pid, 0, (long)signal);
}

static void tell(void)
{
    for (int i = 0; i < BUCKETS; i++)
        printf("%ld%c", counts[i], i < BUCKETS - 1 ? ' ' : '\n');
    memset(counts, 0, sizeof counts);
}

/* A child begins where its parent is, but for the caller's own, which have a bucket of theirs. */
static void child_of(struct process *parent)
{
    unsigned long pid;
    ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid);
    int waits = 0;
    for (int i = 0; i < MOST; i++)
        waits |= processes[i].pid == (pid_t)pid; /* it has stopped already */
    struct process *child = find((pid_t)pid);
    child->bucket = parent->bucket + (parent->bucket == 0);
    if (waits)
        go_on(child, 0);
}

static void stopped(struct process *process, int status, pid_t caller)
{
    int signal = WSTOPSIG(status), event = status >> 16, begins = process->bucket == UNKNOWN;
    if (begins)
        return; /* until its parent tells */
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
        child_of(process);
    else if (event == PTRACE_EVENT_EXEC)
        process->bucket += process->bucket > 0 && process->bucket < BUCKETS - 1;
    else if (signal == SIGTRAP)
        counts[process->bucket] += counting;
    else if (signal == SIGUSR1 && process->pid == caller) {
        if (counting)
            tell();
        counting = !counting;
    } else if (signal != SIGSTOP) {
        go_on(process, signal);
        return;
    }
    go_on(process, 0);
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 2)
        errx(2, "usage: instructions COMMAND [ARGUMENT ...]");
    pid_t pid, caller = fork();
    if (caller == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execvp(argv[1], argv + 1);
        err(127, "%s", argv[1]);
    }
    waitpid(caller, &status, 0);
    if (ptrace(PTRACE_SETOPTIONS, caller, 0, FOLLOWED) < 0)
        err(1, "ptrace");
    find(caller)->bucket = 0;
    go_on(find(caller), 0);
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        struct process *process = find(pid);
        if (WIFSTOPPED(status)) {
            stopped(process, status, caller);
            continue;
        }
        process->pid = 0;
        if (pid == caller)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
    return 1;
}
