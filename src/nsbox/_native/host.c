/* What stands by for every launch, and what the kernel answers when asked what it can do. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "first_process.h"
#include "kept.h"
#include "page.h"
#include "steps.h"
#include "sys.h"
#include "syscalls.h"

static int write_image(int fd)
{
    size_t done = 0;
    while (done < sizeof first_process_image) {
        ssize_t written = write(fd, first_process_image + done, sizeof first_process_image - done);
        if (written < 0)
            return -errno;
        done += (size_t)written;
    }
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

/* See memfd_create(2). Sealed, so that nothing in a box can change what the next box runs. */
int nsbox_first_process(void)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create("nsbox-init", flags | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 every memfd could be run */
        fd = memfd_create("nsbox-init", flags);
    fd = above_standard(fd); /* it is kept, and those may be given to others */
    if (fd < 0)
        return -errno;
    int error = write_image(fd);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

uint64_t nsbox_capabilities(void)
{
    uint64_t effective = 0;
    effective_capabilities(&effective);
    return effective;
}

const struct nsbox_syscall *nsbox_syscalls(void)
{
    return syscalls;
}

/* Arguments that no kernel takes: the answer is ENOSYS, a filter's EPERM, or "yes, but not so". */
int nsbox_ask(const char *call)
{
    static const struct {
        const char *name;
        long number, argument[4];
    } questions[] = {
        {"clone3", __NR_clone3, {0, 0, 0, 0}},
        {"close_range", __NR_close_range, {1, 0, 0, 0}},
        {"openat2", __NR_openat2, {-1, 0, 0, 0}},
        {"open_tree", __NR_open_tree, {-1, 0, -1, 0}},
        {"move_mount", __NR_move_mount, {-1, 0, -1, 0}},
        {"fsopen", __NR_fsopen, {0, -1, 0, 0}},
        {"mount_setattr", __NR_mount_setattr, {-1, 0, -1, 0}},
        {"landlock_create_ruleset", __NR_landlock_create_ruleset, {0, 0, 1, 0}},
        {"seccomp", __NR_seccomp, {-1, 0, 0, 0}},
        {"pidfd_open", __NR_pidfd_open, {0, 0, 0, 0}},
        {"keyctl", __NR_keyctl, {-1, 0, 0, 0}},
        {"lsm_set_self_attr", __NR_lsm_set_self_attr, {0, 0, 0, -1}},
        {"statmount", __NR_statmount, {0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        if (strcmp(questions[i].name, call) == 0)
            return (int)SYS(questions[i].number, questions[i].argument[0], questions[i].argument[1],
                            questions[i].argument[2], questions[i].argument[3]);
    return -EINVAL;
}
