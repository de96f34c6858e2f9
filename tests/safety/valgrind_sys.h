/* For valgrind, which stops at calls that it does not know: what comes nearest in their place.
 * .ci/sanitize puts it into sys.h. What is looked for is what our own code does with memory. */
static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    if (n == __NR_openat2) {
        struct open_request *request = (struct open_request *)c;
        return raw6(__NR_openat, a, b, (long)request->flags, (long)request->mode, 0, 0);
    }
    if (n == __NR_pidfd_open)
        return raw6(__NR_dup, 2, 0, 0, 0, 0, 0);
    return raw6(n, a, b, c, d, e, f);
}
