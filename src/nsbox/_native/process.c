/* The steps that make a process what it is: descriptors, signals, the program. */
#include "steps.h"

#include <linux/if.h>
#include <linux/sockios.h>

#include "sys.h"

/* A table of our own, without copying what the caller has open beyond what the box is given: the
 * clone shared the caller's (CLONE_FILES), so nothing may be opened or closed before this. */
long unshare_descriptors(struct page *page)
{
    return SYS(__NR_close_range, page->highest_descriptor + 1, ~0U, CLOSE_RANGE_UNSHARE);
}

/* Make the n-th descriptor given number n, and close all else. */
long arrange_descriptors(struct page *page)
{
    int32_t *given = at(page, page->descriptors);
    int32_t count = (int32_t)page->descriptor_count;

    /* First out of the way of the numbers to come, so that none is overwritten before its turn. */
    for (int32_t i = 0; i < count; i++) {
        if (given[i] < 0 || given[i] >= count || given[i] == i)
            continue;
        long moved = SYS(__NR_fcntl, given[i], F_DUPFD_CLOEXEC, count);
        if (moved < 0)
            return moved;
        given[i] = (int32_t)moved;
    }
    for (int32_t i = 0; i < count; i++) {
        long result;
        if (given[i] < 0) { /* whether or not the caller had that number open */
            int32_t first = i;
            while (i + 1 < count && given[i + 1] < 0)
                i++;
            result = SYS(__NR_close_range, first, i, 0);
        } else if (given[i] == i)
            result = SYS(__NR_fcntl, i, F_SETFD, 0);
        else
            result = SYS(__NR_dup3, given[i], i, 0);
        if (result < 0)
            return result;
    }
    return SYS(__NR_close_range, count, ~0U, 0);
}

/* Among a plan's data nothing is aligned. */
static int number_at(const char *numbers, int i)
{
    int32_t number;
    __builtin_memcpy(&number, numbers + i * (int)sizeof number, sizeof number);
    return number;
}

/* CLOSE_RANGE_CLOEXEC came with Linux 5.11. Before, one by one: since they were arranged, steps
 * have opened only what has a slot, and each time the lowest number that was free. */
long close_at_exec(unsigned first, unsigned flags)
{
    long result = SYS(__NR_close_range, first, ~0U, flags);
    if (result != -22) /* EINVAL */
        return result;
    for (unsigned fd = first; fd < 4 * SLOTS; fd++)
        SYS(__NR_fcntl, fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Give the command what is meant for it, under the numbers that the caller has for it; *kept is ours
 * still, under whatever number. */
long pass_descriptors(const char *numbers, int count, int *kept)
{
    int highest = SLOT_PASSED + count;
    for (int i = 0; i < count; i++)
        if (number_at(numbers, i) >= highest)
            highest = number_at(numbers, i) + 1;
    /* First out of the way of the numbers to come, so that none is overwritten before its turn. */
    for (int i = 0; i < count; i++) {
        long moved = SYS(__NR_dup3, SLOT_PASSED + i, highest + i, O_CLOEXEC);
        if (moved < 0)
            return moved;
    }
    long moved_kept = SYS(__NR_fcntl, *kept, F_DUPFD_CLOEXEC, highest + count);
    if (moved_kept >= 0) /* mostly there is none */
        *kept = (int)moved_kept;
    for (int i = 0; i < count; i++) {
        long result = SYS(__NR_dup3, highest + i, number_at(numbers, i), 0);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Open a file for the caller: in its table, as long as we share that. */
long hand_over(struct page *page, const char *path)
{
    long fd = SYS(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0 && fd <= SLOT_STDERR) { /* the caller may have closed one of these, for another */
        long low = fd;
        fd = SYS(__NR_fcntl, low, F_DUPFD_CLOEXEC, SLOT_STDERR + 1);
        SYS(__NR_close, low);
    }
    if (fd >= 0)
        page->outcome.descriptor = (int32_t)fd;
    return fd;
}

/* A socket belongs to the network namespace that its maker is in, whoever has it later. */
long hand_over_socket(struct page *page, long domain, long type, long protocol)
{
    long fd = SYS(__NR_socket, domain, type | O_CLOEXEC /* SOCK_CLOEXEC */, protocol);
    if (fd >= 0)
        page->outcome.descriptor = (int32_t)fd;
    return fd;
}

void default_signal(int signal)
{
    struct {
        uint64_t handler, flags, restorer, mask;
    } default_action = {0, 0, 0, 0};
    SYS(__NR_rt_sigaction, signal, &default_action, 0, KERNEL_SIGSET_SIZE);
}

/* What the caller ignores is ignored after an exec too, and what it blocks stays blocked. */
long default_signals(void)
{
    uint64_t none = 0;

    for (int signal = 1; signal <= 64; signal++)
        if (signal != 9 && signal != 19) /* SIGKILL and SIGSTOP have no other action */
            default_signal(signal);
    return SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, KERNEL_SIGSET_SIZE);
}

long set_limit(int resource, uint64_t soft, uint64_t hard)
{
    uint64_t limits[2] = {soft, hard};
    return SYS(__NR_prlimit64, 0, resource, limits, 0);
}

long loopback_up(void)
{
    struct ifreq request = {.ifr_ifrn.ifrn_name = "lo", .ifr_ifru.ifru_flags = IFF_UP | IFF_RUNNING};
    long sock = SYS(__NR_socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
    if (sock < 0)
        return sock;
    long result = SYS(__NR_ioctl, sock, SIOCSIFFLAGS, &request);
    SYS(__NR_close, sock);
    return result;
}

long exec_first_process(struct page *page)
{
    char *argv[] = {"nsbox-init", 0}, *envp[] = {0};
    if (page->proc >= 0) /* by the first process itself: once more, in another user namespace */
        SYS(__NR_fcntl, page->proc, F_SETFD, 0);
    return SYS(__NR_execveat, SLOT_INIT, "", argv, envp, AT_EMPTY_PATH);
}

/* Point at each string of argv and then of envp, in the space that the caller left for that. */
static const char **point_at(struct page *page, const char ***envp)
{
    const char *string = at(page, page->strings);
    const char **argv = at(page, page->pointers), **next = argv;

    for (uint32_t i = 0; i < page->argc; i++, string += __builtin_strlen(string) + 1)
        *next++ = string;
    *next++ = 0;
    *envp = next;
    for (uint32_t i = 0; i < page->envc; i++, string += __builtin_strlen(string) + 1)
        *next++ = string;
    *next = 0;
    return argv;
}

static const char *search_path(const char **envp)
{
    for (; *envp; envp++)
        if (__builtin_memcmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int has_slash(const char *name)
{
    while (*name && *name != '/')
        name++;
    return *name == '/';
}

/* A program whose argv[0] is something else. */
long exec_path(struct page *page, const char *path)
{
    const char **envp, **argv = point_at(page, &envp);
    return SYS(__NR_execve, path, argv, envp);
}

/* As execvp(3) does it: the first of PATH that can be run; if none, the most telling error. */
long exec_command(struct page *page)
{
    const char **envp, **argv = point_at(page, &envp);
    char program[4096];
    size_t name_length = __builtin_strlen(argv[0]);
    long error = -2; /* ENOENT */

    if (has_slash(argv[0]))
        return SYS(__NR_execve, argv[0], argv, envp);
    if (name_length == 0)
        return error;
    for (const char *folder = search_path(envp);;) {
        size_t length = 0;
        while (folder[length] && folder[length] != ':')
            length++;
        if (length + name_length + 2 <= sizeof program) {
            __builtin_memcpy(program, folder, length);
            program[length] = '/';
            __builtin_memcpy(program + length + (length > 0), argv[0], name_length + 1);
            long result = SYS(__NR_execve, program, argv, envp);
            if (result != -2 /* ENOENT */ && result != -20 /* ENOTDIR */)
                error = result;
        }
        if (!folder[length])
            return error;
        folder += length + 1;
    }
}
