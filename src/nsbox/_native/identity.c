/* The steps that settle what a process may do. See capabilities(7). */
#include "steps.h"

#include "sys.h"

enum { CAPABILITIES = 64 };

long drop_from_bounding_set(uint64_t dropped)
{
    for (int capability = 0; capability < CAPABILITIES; capability++) {
        if (!(dropped >> capability & 1))
            continue;
        long result = SYS(__NR_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
        if (result == -22) /* EINVAL: beyond the last that this kernel knows */
            return 0;
        if (result < 0)
            return result;
    }
    return 0;
}

struct sets {
    struct __user_cap_header_struct header;
    struct __user_cap_data_struct data[2];
};

static long get_sets(struct sets *sets)
{
    *sets = (struct sets){.header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}};
    return SYS(__NR_capget, &sets->header, sets->data);
}

long effective_capabilities(uint64_t *effective)
{
    struct sets sets;
    long result = get_sets(&sets);
    *effective = (uint64_t)sets.data[1].effective << 32 | sets.data[0].effective;
    return result;
}

long set_capabilities(uint64_t kept)
{
    struct sets sets;
    long result = get_sets(&sets);
    if (result < 0)
        return result;
    for (int half = 0; half < 2; half++) {
        uint32_t mask = (uint32_t)(kept >> (32 * half));
        sets.data[half].permitted &= mask;
        sets.data[half].effective = sets.data[half].permitted;
        sets.data[half].inheritable = 0;
    }
    result = SYS(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return result < 0 ? result : SYS(__NR_capset, &sets.header, sets.data);
}

/* So that a user other than 0 keeps its rights in its own user namespace: now, and through one
 * exec. */
long raise_ambient(uint64_t raised)
{
    struct sets sets;
    long result = get_sets(&sets);
    if (result < 0)
        return result;
    for (int half = 0; half < 2; half++) {
        sets.data[half].effective = sets.data[half].permitted;
        sets.data[half].inheritable = sets.data[half].permitted & (uint32_t)(raised >> (32 * half));
    }
    result = SYS(__NR_capset, &sets.header, sets.data);
    for (int capability = 0; result >= 0 && capability < CAPABILITIES; capability++)
        if (sets.data[capability / 32].inheritable >> (capability % 32) & 1)
            result = SYS(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
    return result;
}
