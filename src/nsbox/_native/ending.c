/* The end of a launch, from the caller's side: waited for, told, and nothing left of it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kept.h"
#include "launch.h"
#include "memory.h"
#include "word.h"

enum { PATIENCE = 5000 }; /* milliseconds for a first process to end its box: see supervise.c */

/* For the moment that a signal, or a close, takes: never while anything is waited for. A fork's copy
 * may have been held by a thread that is not there. */
static void lock(struct nsbox_launch *launch)
{
    while (launch->caller == getpid() && __atomic_exchange_n(&launch->locked, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void unlock(struct nsbox_launch *launch)
{
    __atomic_store_n(&launch->locked, 0, __ATOMIC_RELEASE);
}

/* The number is forgotten first: a fork in between, by another thread, must not close what comes after. */
static void close_number(int32_t *number)
{
    int fd = *number;
    *number = -1;
    if (fd >= 0)
        close(fd);
}

void bury(struct nsbox_launch *launch)
{
    if (launch->pidfd < 0)
        return;
    while (SYS(__NR_waitid, 3 /* P_PIDFD */, launch->pidfd, 0, WEXITED | __WALL, 0) == -EINTR)
        ;
    close_number(&launch->pidfd);
    launch->pid = -1;
}

static void open_text(const struct nsbox_launch *launch, uint32_t path, struct nsbox_kept *file)
{
    if (!path || kept_is_there(file))
        return;
    file->fd = -1; /* what has its number now is not ours */
    int fd = open(launch->data + path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        kept_open(file, fd);
}

/* The number behind a key at the beginning of a line: of "oom_kill 1", say. An empty key is that of a
 * file with nothing but a number. -1: there is none. */
static int64_t number_behind(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (; text; text = strchr(text, '\n'), text = text ? text + 1 : 0)
        if (strncmp(text, key, length) == 0 && isdigit((unsigned char)text[length]))
            return strtoll(text + length, 0, 10);
    return -1;
}

static int64_t read_number(const struct nsbox_launch *launch, uint32_t path, struct nsbox_kept *file,
                           const char *key)
{
    char text[512];
    open_text(launch, path, file);
    if (file->fd < 0)
        return -1;
    ssize_t length = pread(file->fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = 0;
    return number_behind(text, key);
}

static int64_t read_kills(struct nsbox_launch *launch)
{
    int64_t kills = read_number(launch, launch->kills, &launch->kills_file, "oom_kill ");
    return kills < 0 ? 0 : kills;
}

void take_figures_before(struct nsbox_launch *launch)
{
    launch->kills_before = 0;
    if (launch->group_count)
        return;
    launch->kills_before = read_kills(launch);
    if (!launch->room)
        kept_close(&launch->kills_file); /* it may run for long */
}

void open_figures(struct nsbox_launch *launch)
{
    open_text(launch, launch->peak, &launch->peak_file);
    open_text(launch, launch->kills, &launch->kills_file);
}

static void close_figures(struct nsbox_launch *launch)
{
    kept_close(&launch->peak_file);
    kept_close(&launch->kills_file);
}

void take_figures(struct nsbox_launch *launch)
{
    launch->told->group_peak_bytes = read_number(launch, launch->peak, &launch->peak_file, "");
    launch->told->killed = read_kills(launch) > launch->kills_before;
}

/* While there is nothing else to do: what was read a moment ago is read in less time. */
static void look_at_figures(struct nsbox_launch *launch)
{
    open_figures(launch);
    take_figures(launch);
}

static int64_t do_meanwhile(struct nsbox_launch *launch, int64_t timeout_ms)
{
    launch->awaited = 1;
    if (!launch->told->ended) /* not by an answer either */
        look_at_figures(launch);
    memory_while_waiting();
    return timeout_ms < 0 || timeout_ms > WAIT_AT_ONCE ? WAIT_AT_ONCE : timeout_ms;
}

static int64_t exit_code(int status)
{
    return status & 0x7f ? -(status & 0x7f) : status >> 8 & 0xff;
}

/* What the first process has told of its command, where it has. */
static void take_outcome(struct nsbox_launch *launch)
{
    const struct nsbox_outcome *outcome = &launch->outcome;
    launch->told->step = outcome->step;
    launch->told->error = outcome->error;
    if (!outcome->finished)
        return;
    launch->told->code = exit_code(outcome->status);
    launch->told->user_us = outcome->user_us;
    launch->told->system_us = outcome->system_us;
    launch->told->peak_bytes = outcome->peak_kib * 1024;
}

int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

void take_time(struct nsbox_launch *launch)
{
    launch->began_us = now_us();
}

void tell_of_end(struct nsbox_launch *launch)
{
    take_outcome(launch);
    launch->told->wall_us = now_us() - launch->began_us;
    launch->told->ended = NSBOX_ENDED;
}

void tell_of_nothing(struct nsbox_launch *launch)
{
    const struct page *page = launch->memory;
    *launch->told = (struct nsbox_told){.ended = NSBOX_NOT_BEGUN,
                                        .step = page->outcome.step,
                                        .error = page->outcome.error};
}

int exit_code_alone(const struct nsbox_told *told)
{
    int is_all =
        told->ended == NSBOX_ENDED && !told->error && !told->groups_left && told->code >= 0;
    return is_all ? (int)told->code : NSBOX_TOLD;
}

static int64_t remove_groups(const struct nsbox_launch *launch)
{
    const char *folder = launch->data + launch->data_size;
    int64_t left = 0;
    for (uint32_t i = 0; i < launch->group_count; i++, folder += strlen(folder) + 1)
        if (rmdir(folder) < 0 && errno != ENOENT)
            left++;
    return left;
}

void keep_command(struct nsbox_launch *launch, int pidfd)
{
    lock(launch);
    if (launch->waited)
        close(pidfd);
    else
        launch->command = pidfd;
    unlock(launch);
}

/* Until the command's exec succeeded or it is certain that it will not; -EINTR: ask again. A first process
 * that is killed cannot tell: so we look, now and then. */
int nsbox_wait_exec(struct nsbox_launch *launch)
{
    struct page *page = launch->memory;
    struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
    while (page && word_of(&page->beginning)) {
        struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
        long result = wait_while(&page->beginning, 1, &moment);
        if (result == -EINTR)
            return -EINTR;
        if (result == -ETIMEDOUT && poll(&ended, 1, 0) != 0)
            break;
    }
    return 0;
}

/* Let go of what was shared, by `let_go`; what it told is kept. */
static void forget(struct nsbox_launch *launch, void (*let_go)(void *, size_t))
{
    struct page *page = launch->memory;
    close_number(&launch->descriptor);
    if (page) {
        launch->outcome = page->outcome;
        launch->memory = 0;
        let_go(page, launch->memory_size); /* not what is shared says: a box could have got at it */
    }
}

/* Without `info` somebody else of the caller's, or the kernel where SIGCHLD is ignored, has waited for
 * it: its status is lost, which subprocess takes for 0. */
static void take_status(struct nsbox_told *told, const siginfo_t *info, const struct rusage *usage)
{
    told->code = !info ? 0 : info->si_code == CLD_EXITED ? info->si_status : -info->si_status;
    told->user_us = usage->ru_utime.tv_sec * 1000000L + usage->ru_utime.tv_usec;
    told->system_us = usage->ru_stime.tv_sec * 1000000L + usage->ru_stime.tv_usec;
}

/* Until the end, which is also the end of all in the box; -ETIMEDOUT, -EINTR: not yet. */
int nsbox_wait_end(struct nsbox_launch *launch, int64_t timeout_ms)
{
    siginfo_t info = {.si_pid = 0};
    struct rusage usage = {.ru_maxrss = 0};

    if (launch->waited) /* it is told once, and was lost on a caller whose signal handler raised */
        return 0;
    int is_told = launch->told->ended != 0; /* by an answer, and the caller may have kept it */
    if (timeout_ms != 0 && !launch->awaited) /* there is time for it */
        timeout_ms = do_meanwhile(launch, timeout_ms);
    if (timeout_ms >= 0) {
        struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
        int ready = poll(&ended, 1, (int)timeout_ms);
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
    }
    long result =
        SYS(__NR_waitid, 3 /* P_PIDFD */, launch->pidfd, &info, WEXITED | __WALL, &usage);
    if (result < 0 && !(result == -ECHILD && launch->caller == getpid()))
        return (int)result;
    if (!is_told) {
        take_status(launch->told, result < 0 ? 0 : &info, &usage);
        take_figures(launch);
    }
    close_figures(launch); /* first: what is open in them takes the kernel longer to remove */
    int64_t groups_left = remove_groups(launch);
    lock(launch);
    launch->waited = 1;
    nsbox_close(launch);
    unlock(launch);
    forget(launch, memory_leave);
    if (!is_told) {
        launch->told->groups_left = groups_left;
        tell_of_end(launch);
    }
    return 0;
}

/* Another thread may just be closing the pidfd, whose number is soon another box's. */
int nsbox_signal(struct nsbox_launch *launch, int signal)
{
    lock(launch);
    long result = launch->waited || launch->pidfd < 0
                      ? -ESRCH
                      : SYS(__NR_pidfd_send_signal, launch->pidfd, signal, 0, 0);
    unlock(launch);
    return (int)result;
}

void nsbox_close(struct nsbox_launch *launch)
{
    close_figures(launch);
    close_number(&launch->command);
    close_number(&launch->pidfd);
}

void nsbox_end(struct nsbox_launch *launch)
{
    const struct page *page = launch->memory;
    int is_done = page && page->outcome.finished; /* it hears nothing any more, and is alone */
    int signal = is_done ? SIGKILL : launch->end_signal;
    if (launch->pidfd >= 0)
        SYS(__NR_pidfd_send_signal, launch->pidfd, signal, 0, 0);
    if (launch->pidfd >= 0 && signal != SIGKILL) {
        /* It does not hear that before all but the command has begun, which may take for ever. */
        struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
        int ready;
        while ((ready = poll(&ended, 1, PATIENCE)) < 0 && errno == EINTR)
            ;
        if (ready <= 0)
            SYS(__NR_pidfd_send_signal, launch->pidfd, SIGKILL, 0, 0);
    }
    bury(launch);
    if (!launch->waited)
        remove_groups(launch); /* for whoever was kept from that by a signal handler */
    lock(launch);
    launch->waited = 1;
    nsbox_close(launch);
    unlock(launch);
}

void nsbox_release(struct nsbox_launch *launch)
{
    if (!launch->caller) /* it was never launched */
        return;
    if (launch->caller == getpid())
        nsbox_end(launch);
    else
        nsbox_close(launch);
    forget(launch, memory_unmap);
}
