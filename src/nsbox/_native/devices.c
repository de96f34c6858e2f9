/* The devices of a group of cgroup v2: an eBPF program. See bpf(2); cgroup-v2.rst, "Device
 * controller".
 *
 * All programs of a group and of those above it are asked, and each can refuse. So ours goes beside
 * those of others, and takes the place of one of ours in one step: at no time is there none.
 */
#include "steps.h"

#include <linux/bpf.h>

#include "sys.h"

#define NAME "nsbox_devices" /* by which we know our own */
enum { MOST = 64 };          /* of programs in one group: the kernel's own limit */

static long call_bpf(int command, union bpf_attr *attributes)
{
    return SYS(__NR_bpf, command, attributes, sizeof *attributes);
}

static int same(const char *name, const char *other)
{
    for (; *name && *name == *other; name++)
        other++;
    return *name == *other;
}

static long load(const char *program, int64_t size)
{
    union bpf_attr attributes;
    __builtin_memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insn_cnt = (uint32_t)(size / (int64_t)sizeof(struct bpf_insn));
    attributes.insns = (uint64_t)(uintptr_t)program;
    attributes.license = (uint64_t)(uintptr_t)"MIT";
    __builtin_memcpy(attributes.prog_name, NAME, sizeof NAME);
    return call_bpf(BPF_PROG_LOAD, &attributes);
}

/* Whether a program bears our name. */
static int is_ours(int program)
{
    union bpf_attr attributes;
    struct bpf_prog_info info;
    __builtin_memset(&attributes, 0, sizeof attributes);
    __builtin_memset(&info, 0, sizeof info);
    attributes.info.bpf_fd = (uint32_t)program;
    attributes.info.info_len = sizeof info;
    attributes.info.info = (uint64_t)(uintptr_t)&info;
    return call_bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) == 0 && same(info.name, NAME);
}

/* The descriptor of our program in a group, -2 (ENOENT) where there is none yet. */
static long find_ours(int group)
{
    uint32_t numbers[MOST];
    union bpf_attr attributes;
    __builtin_memset(&attributes, 0, sizeof attributes);
    attributes.query.target_fd = (uint32_t)group;
    attributes.query.attach_type = BPF_CGROUP_DEVICE;
    attributes.query.prog_ids = (uint64_t)(uintptr_t)numbers;
    attributes.query.prog_cnt = MOST;
    long result = call_bpf(BPF_PROG_QUERY, &attributes);
    uint32_t count = result < 0 ? 0 : attributes.query.prog_cnt;

    for (uint32_t i = 0; i < count; i++) {
        __builtin_memset(&attributes, 0, sizeof attributes);
        attributes.prog_id = numbers[i];
        long program = call_bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
        if (program == -2) /* ENOENT: gone meanwhile */
            continue;
        if (program < 0 || is_ours((int)program))
            return program;
        SYS(__NR_close, program);
    }
    return result < 0 ? result : -2;
}

static long attach(int group, int program, int old)
{
    union bpf_attr attributes;
    __builtin_memset(&attributes, 0, sizeof attributes);
    attributes.target_fd = (uint32_t)group;
    attributes.attach_bpf_fd = (uint32_t)program;
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = BPF_F_ALLOW_MULTI;
    if (old >= 0) {
        attributes.attach_flags |= BPF_F_REPLACE;
        attributes.replace_bpf_fd = (uint32_t)old;
    }
    return call_bpf(BPF_PROG_ATTACH, &attributes);
}

long attach_devices(const char *folder, const char *program, int64_t size)
{
    long group = SYS(__NR_openat, AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (group < 0)
        return group;
    long loaded = load(program, size);
    long old = loaded < 0 ? -2 : find_ours((int)group);
    long result = loaded < 0 ? loaded : old < 0 && old != -2 ? old : attach((int)group, (int)loaded, (int)old);
    if (old >= 0)
        SYS(__NR_close, old);
    if (loaded >= 0)
        SYS(__NR_close, loaded); /* the group holds it */
    SYS(__NR_close, group);
    return result;
}
