/* A box that was made ahead gets its command, from the caller's side: see park.c. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "kept.h"
#include "launch.h"
#include "steps.h"
#include "word.h"

enum { SPIN = 50 }; /* microseconds, as it takes to be woken up by a futex */

static long send_descriptors(int socket, const int32_t *descriptors, unsigned char given)
{
    int sent[3], count = 0;
    for (int number = 0; number < 3; number++) {
        int32_t fd = standard(descriptors[number]);
        if (fd >= 0) {
            given |= (unsigned char)(1 << number);
            sent[count++] = fd;
        }
    }
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof sent)];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), sent, sizeof(int) * (size_t)count);
    struct iovec part = {&given, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = count ? &control : 0,
                             .msg_controllen = count ? CMSG_SPACE(sizeof(int) * (size_t)count) : 0};
    return sendmsg(socket, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static void let_go_on(struct page *page)
{
    set_word(&page->go, 1);
}

/* Give a parked box its command, if it came so far and what it was made from is still so. It is woken
 * by its descriptors, which takes longer than to find that out: one that is refused has them until it
 * is ended, or tried again. */
static int release(struct nsbox_launch *launch, int socket, unsigned char how)
{
    struct page *page = launch->memory, layout = *page;
    struct run run;
    take_time(launch);
    if (point(&layout, launch) > page->room)
        return -E2BIG;
    long error = launch->handed ? 0 : send_descriptors(socket, launch->descriptors, how);
    if (error < 0)
        return (int)error;
    launch->handed = 1;
    take_figures_before(launch);
    run_begin(&run, page, at(page, page->descriptors));
    if (page->outcome.error || check_steps(&run, launch->checks) < 0)
        return -ESTALE;
    memcpy(at(page, page->strings), launch->strings->text, launch->strings->size);
    point(page, launch);
    let_go_on(page);
    return 0;
}

int nsbox_release_parked(struct nsbox_launch *launch, int socket)
{
    return release(launch, socket, 0);
}

static int receive_descriptor(int socket)
{
    char byte;
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0 &&
        message.msg_controllen >= CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

/* Its command's process is there once it has sent its pidfd: see park.c. Where there is no room for one
 * more descriptor, its answer comes later. Two threads may ask for it, of which one gets it. */
void nsbox_take_command(struct nsbox_launch *launch, int socket, int64_t timeout_ms)
{
    struct pollfd sent = {.fd = socket, .events = POLLIN};
    if (launch->command >= 0 || poll(&sent, 1, (int)timeout_ms) <= 0)
        return;
    int command = above_standard(receive_descriptor(socket));
    if (command >= 0)
        keep_command(launch, command);
}

static void spin(const struct page *page)
{
    int64_t until = now_us() + SPIN;
    while (!word_of(&page->outcome.finished) && now_us() < until)
        relax();
}

/* Its command has ended, and its first process counts: mostly it has done so once we are awake, or is
 * about to, on another processor. Where others in the box take long to end, the caller asks again, and
 * its signal handlers have their turn. */
static int wait_finished(struct nsbox_launch *launch, struct page *page)
{
    struct pollfd ended = {.fd = launch->pidfd, .events = POLLIN};
    struct timespec moment = {.tv_nsec = 1 << 20};
    int32_t place = word_of(&page->counting);
    if (place && place != 1 + sched_getcpu())
        spin(page);
    while (!word_of(&page->outcome.finished)) {
        long result = wait_while(&page->outcome.finished, 0, &moment);
        if (result == 0 || result == -EAGAIN)
            continue;
        if (result == -EINTR || moment.tv_nsec >= 1 << 26)
            return -EINTR;
        int is_dead = poll(&ended, 1, 0);
        if (is_dead != 0)
            return is_dead < 0 ? -EINTR : 0;
        moment.tv_nsec *= 2;
    }
    return 0;
}

/* Until the answer; sooner by `command`, the pidfd of that, where nobody waits for anything else. */
static int wait_answer(struct nsbox_launch *launch, int socket, int command, int64_t timeout_ms)
{
    struct page *page = launch->memory;
    /* By its own end too: a fork of the caller's may hold the other side of the socket open. */
    struct pollfd ended[] = {{.fd = socket, .events = POLLRDHUP},
                             {.fd = launch->pidfd, .events = POLLIN},
                             {.fd = command, .events = POLLIN}};
    int ready = poll(ended, 3, timeout_ms < 0 ? -1 : (int)timeout_ms);
    if (ready <= 0)
        return ready < 0 ? -errno : -ETIMEDOUT;
    take_figures(launch);
    int is_counting = ended[2].revents && !ended[1].revents && !page->outcome.error;
    if (is_counting && wait_finished(launch, page) < 0)
        return -EINTR;
    if (is_counting && page->others)
        take_figures(launch); /* of these as well */
    launch->outcome = page->outcome;
    if (!launch->outcome.finished)
        return 1;
    tell_of_end(launch);
    return 0;
}

/* Until a parked box's command has ended and all is told, which is before the end of its first
 * process; 1 where that comes without a word. -ETIMEDOUT, -EINTR: not yet. */
int nsbox_wait_answer(struct nsbox_launch *launch, int socket, int64_t timeout_ms)
{
    if (!launch->memory) /* waited for, and lost on a caller whose signal handler raised */
        return launch->outcome.finished ? 0 : 1;
    return wait_answer(launch, socket, -1, timeout_ms);
}

int nsbox_run_parked(struct nsbox_launch *launch, int socket, const struct nsbox_strings *strings)
{
    static const int32_t ours[] = {NSBOX_INHERITED, NSBOX_INHERITED - 1, NSBOX_INHERITED - 2};
    launch->strings = strings;
    launch->descriptors = ours;
    int error = release(launch, socket, AND_ENDED);
    if (error < 0)
        return error;
    nsbox_take_command(launch, socket, 0);
    wait_answer(launch, socket, launch->command, WAIT_AT_ONCE);
    return exit_code_alone(launch->told);
}
