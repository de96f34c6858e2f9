/* Raw system calls: no libc between us and the kernel, no errno variable, no cancellation point.
 *
 * The child shares the caller's memory, thread-local errno and all, and the box's first process has
 * no libc; so both speak to the kernel directly. A negative result is -errno. See syscall(2).
 */
#ifndef NSBOX_SYS_H
#define NSBOX_SYS_H

#include "kernel.h"

#if defined(__x86_64__)

static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* clone3 onto a new stack, where run(argument) is called and never returns. */
static inline long sys_clone3(struct clone_request *request, void (*run)(void *), void *argument)
{
    register void (*r8)(void *) __asm__("r8") = run;
    register void *r9 __asm__("r9") = argument;
    long result;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "a"((long)__NR_clone3), "D"(request), "S"(sizeof *request), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

static inline long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static inline long sys_clone3(struct clone_request *request, void (*run)(void *), void *argument)
{
    register long x8 __asm__("x8") = __NR_clone3;
    register long x0 __asm__("x0") = (long)request;
    register long x1 __asm__("x1") = sizeof *request;
    register void (*x2)(void *) __asm__("x2") = run;
    register void *x3 __asm__("x3") = argument;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, x3\n\t"
                     "blr x2\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "memory", "x30");
    return x0;
}

#else
#error "nsbox knows x86-64 and AArch64; another architecture needs its system call instruction here"
#endif

/* Every argument widened to a register: pointers and numbers alike. */
#define SYS_PICK(_0, _1, _2, _3, _4, _5, _6, chosen, ...) chosen
#define SYS(...) SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, SYS_0, 0)(__VA_ARGS__)
#define SYS_0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define SYS_1(n, a) sys6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS_2(n, a, b) sys6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS_3(n, a, b, c) sys6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS_4(n, a, b, c, d) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS_5(n, a, b, c, d, e) sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS_6(n, a, b, c, d, e, f) \
    sys6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define KERNEL_SIGSET_SIZE 8 /* bytes of the kernel's sigset_t, which is not libc's */

#endif
