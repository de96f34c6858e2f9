/* The end of a launch, from the caller's side: waited for, told, and nothing left of it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "sys.h"

void bury(struct nsbox_launch *launch)
{
    if (launch->pidfd < 0)
        return;
    while (SYS(__NR_waitid, 3 /* P_PIDFD */, launch->pidfd, 0, WEXITED | __WALL, 0) == -EINTR)
        ;
    close(launch->pidfd);
    launch->pidfd = launch->pid = -1;
}

static void read_text(const char *path, char *text, size_t room)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    ssize_t length = read(fd, text, room - 1);
    text[length > 0 ? length : 0] = 0;
    close(fd);
}

void take_figures_before(struct nsbox_launch *launch)
{
    if (!launch->group_count)
        read_text(launch->kills, launch->kills_before, sizeof launch->kills_before);
}

void take_figures(struct nsbox_launch *launch)
{
    read_text(launch->peak, launch->peak_told, sizeof launch->peak_told);
    read_text(launch->kills, launch->kills_told, sizeof launch->kills_told);
}

static void remove_groups(struct nsbox_launch *launch)
{
    const char *folder = launch->groups;
    launch->groups_left = 0;
    for (uint32_t i = 0; i < launch->group_count; i++, folder += strlen(folder) + 1)
        if (rmdir(folder) < 0 && errno != ENOENT)
            launch->groups_left++;
}

/* Until the command's exec succeeded or the first process ended without one; -EINTR: ask again. */
int nsbox_wait_exec(int pidfd, int started)
{
    struct pollfd either[] = {{.fd = started, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
    return poll(either, 2, -1) < 0 ? -errno : 0;
}

/* Let go of what was shared; what it told is kept. */
static void forget(struct nsbox_launch *launch)
{
    struct page *page = launch->memory;
    if (launch->descriptor >= 0)
        close(launch->descriptor);
    launch->descriptor = -1;
    if (page) {
        launch->outcome = page->outcome;
        launch->memory = 0;
        munmap(page, launch->memory_size); /* not what is shared says: a box could have got at it */
    }
}

/* Until the end, which is also the end of all in the box; -ETIMEDOUT, -EINTR: not yet. */
int nsbox_wait_end(struct nsbox_launch *launch, int64_t timeout_ms)
{
    siginfo_t info = {.si_pid = 0};
    struct rusage usage;

    if (launch->waited) /* it is told once, and was lost on a caller whose signal handler raised */
        return 0;
    if (timeout_ms >= 0) {
        struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
        int ready = poll(&ended, 1, (int)timeout_ms);
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
    }
    long result =
        SYS(__NR_waitid, 3 /* P_PIDFD */, launch->pidfd, &info, WEXITED | __WALL, &usage);
    if (result < 0)
        return (int)result;
    launch->status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
    launch->user_us = usage.ru_utime.tv_sec * 1000000L + usage.ru_utime.tv_usec;
    launch->system_us = usage.ru_stime.tv_sec * 1000000L + usage.ru_stime.tv_usec;
    launch->waited = 1;
    take_figures(launch);
    remove_groups(launch);
    nsbox_close(launch);
    forget(launch);
    return 0;
}

void nsbox_close_started(struct nsbox_launch *launch)
{
    if (launch->started >= 0)
        close(launch->started);
    launch->started = -1;
}

void nsbox_close(struct nsbox_launch *launch)
{
    nsbox_close_started(launch);
    if (launch->pidfd >= 0)
        close(launch->pidfd);
    launch->pidfd = -1;
}

void nsbox_end(struct nsbox_launch *launch)
{
    nsbox_close_started(launch);
    if (launch->pidfd >= 0)
        SYS(__NR_pidfd_send_signal, launch->pidfd, launch->end_signal, 0, 0);
    bury(launch);
}

void nsbox_release(struct nsbox_launch *launch)
{
    if (!launch->caller) /* it was never launched */
        return;
    if (launch->caller == getpid())
        nsbox_end(launch);
    else
        nsbox_close(launch);
    forget(launch);
}
