/* The steps by which a command confines itself, last before its exec: landlock(7), seccomp(2). */
#include "steps.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sys.h"

/* landlock_create_ruleset(2), with the scopes of its sixth version */
struct ruleset_request {
    uint64_t files, ports, scopes;
};

struct __attribute__((packed)) path_rule {
    uint64_t rights;
    int32_t parent;
};

long create_ruleset(uint64_t files, uint64_t scopes)
{
    struct ruleset_request request = {.files = files, .scopes = scopes};
    /* A kernel that knows no scopes takes the structure as it was then, and no more. */
    size_t size = scopes ? sizeof request : sizeof request.files;
    return SYS(__NR_landlock_create_ruleset, &request, size, 0);
}

long add_path_rule(int ruleset, const char *path, uint64_t rights)
{
    enum { FILE_RIGHTS = 0x1 | 0x2 | 0x4 | 0x4000 | 0x8000 }; /* what there is for a file */
    struct path_rule rule = {.rights = rights};
    long fd = SYS(__NR_openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
    if (fd < 0)
        return fd == -2 /* ENOENT */ ? 0 : fd;
    rule.parent = (int32_t)fd;
    long result = SYS(__NR_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0);
    if (result == -22 /* EINVAL: the rights of a folder, for a file */) {
        rule.rights &= FILE_RIGHTS;
        result = SYS(__NR_landlock_add_rule, ruleset, 1, &rule, 0);
    }
    SYS(__NR_close, fd);
    return result;
}

struct label { /* struct lsm_ctx, see lsm_set_self_attr(2) */
    uint64_t module, flags, size, length;
    char text[1024];
};

/* By a system call of its own since Linux 6.8: no /proc is asked, which in a box may be anything. */
long set_label(uint64_t module, const char *text)
{
    struct label label = {.module = module, .length = __builtin_strlen(text)};
    if (label.length > sizeof label.text)
        return -36; /* ENAMETOOLONG */
    label.size = offsetof(struct label, text) + label.length;
    __builtin_memcpy(label.text, text, label.length);
    return SYS(__NR_lsm_set_self_attr, 101 /* LSM_ATTR_EXEC */, &label, label.size, 0);
}

long set_filter(const char *program, int64_t size, unsigned flags)
{
    struct sock_fprog filter = {
        .len = (unsigned short)(size / (int64_t)sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)program,
    };
    return SYS(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

/* Who listens decides on calls from here on: so the filter itself must let the listener be sent. */
long set_heard_filter(const char *program, int64_t size, int socket)
{
    long listener = set_filter(program, size, 1U << 3 /* SECCOMP_FILTER_FLAG_NEW_LISTENER */);
    if (listener < 0)
        return listener;
    long result = send_descriptor(socket, (int)listener);
    SYS(__NR_close, listener);
    return result;
}
