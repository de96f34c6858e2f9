/* What a program does all day, timed: `runtime ADDRESS FOLDER` works where it was started.
 *
 * It listens at ADDRESS for its like and says at which port, then, for each line of input that names
 * a piece of work ("copy", or "round-trip ADDRESS PORT"), does some and answers with the nanoseconds
 * that one took. Of each turn the quickest of SLICES parts counts, so that a moment in which somebody
 * else had the processor does not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLICES = 4, PAGE = 4096, COPIED = 16 << 20, SENT = 16 << 20, CHUNK = 64 << 10,
       WHOLE = 64 << 10 };

static char *source, *target, path[4096], whole_path[4096];
static int opened, connection;

static void check(int holds, const char *what)
{
    if (!holds)
        err(1, "%s", what);
}

static void compute(long count)
{
    volatile uint64_t seen;
    uint64_t state = 88172645463325252ULL;
    double sum = 0;
    for (long i = 0; i < count; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        sum += (double)(state >> 40) / 3.0;
    }
    seen = state + (uint64_t)sum;
    (void)seen;
}

static void copy(long count)
{
    for (long i = 0; i < count; i++) {
        memcpy(target, source, COPIED);
        __asm__ volatile("" : : "r"(target) : "memory");
    }
}

static void call(long count)
{
    for (long i = 0; i < count; i++)
        syscall(SYS_getppid);
}

static void fault(long count)
{
    char *pages = mmap(0, (size_t)count * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(pages != MAP_FAILED, "mmap");
    madvise(pages, (size_t)count * PAGE, MADV_NOHUGEPAGE);
    for (long i = 0; i < count; i++)
        pages[i * PAGE] = 1;
    munmap(pages, (size_t)count * PAGE);
}

static void fork_and_wait(long count)
{
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0)
            _exit(0);
        waitpid(child, 0, 0);
    }
}

static void open_and_close(long count)
{
    for (long i = 0; i < count; i++) {
        int file = open(path, O_RDONLY);
        check(file >= 0, path);
        close(file);
    }
}

static void read_page(long count)
{
    static char page[PAGE];
    for (long i = 0; i < count; i++)
        check(pread(opened, page, PAGE, i % 256 * PAGE) == PAGE, "pread");
}

/* As a program reads a file: what it says of its size, all of it, and that there is no more. */
static void read_whole(long count)
{
    static char content[WHOLE];
    struct stat status;
    for (long i = 0; i < count; i++) {
        int file = open(whole_path, O_RDONLY);
        check(file >= 0 && fstat(file, &status) == 0 && status.st_size == WHOLE, whole_path);
        check(read(file, content, WHOLE) == WHOLE && read(file, content, WHOLE) == 0, "read");
        close(file);
    }
}

static void round_trip(long count)
{
    char byte = 0;
    for (long i = 0; i < count; i++)
        check(write(connection, &byte, 1) == 1 && read(connection, &byte, 1) == 1, "round trip");
}

static void send_much(long count)
{
    char byte;
    for (long i = 0; i < count; i++) {
        for (int sent = 0; sent < SENT; sent += CHUNK)
            check(send(connection, source, CHUNK, 0) == CHUNK, "send");
        check(read(connection, &byte, 1) == 1, "read");
    }
}

static const struct work {
    const char *name;
    void (*some)(long count);
    long count; /* of one part of a turn */
} works[] = {
    {"compute", compute, 500000}, {"copy", copy, 1},           {"call", call, 20000},
    {"fault", fault, 1024},       {"fork", fork_and_wait, 10}, {"open", open_and_close, 3000},
    {"read", read_page, 6000},    {"whole", read_whole, 1000}, {"round-trip", round_trip, 200},
    {"send", send_much, 1},
};

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* Anew for each turn, for how fast memory is depends on which pages one got. */
static void take_memory(void)
{
    free(source), free(target);
    source = malloc(COPIED), target = malloc(COPIED);
    check(source && target, "malloc");
    memset(source, 1, COPIED), memset(target, 1, COPIED);
}

static double turn(const struct work *work)
{
    double least = 1e18;
    if (work->some == copy)
        take_memory();
    for (int part = 0; part < SLICES; part++) {
        long began = now();
        work->some(work->count);
        double took = (double)(now() - began) / (double)work->count;
        least = took < least ? took : least;
    }
    return least;
}

/* Answer each byte, or each SENT of them, with one: as the first byte of a connection says. */
static void serve(int listener)
{
    static char chunk[CHUNK];
    char mode;
    for (;;) {
        int with = accept(listener, 0, 0);
        check(with >= 0, "accept");
        setsockopt(with, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        long most = read(with, &mode, 1) == 1 && mode == 's' ? SENT : 1, left = most, got;
        while ((got = read(with, chunk, sizeof chunk)) > 0)
            if ((left -= got) == 0 && (left = most, write(with, chunk, 1) != 1))
                break;
        close(with);
    }
}

static int listen_at(const char *address)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, address, &at.sin_addr);
    check(bind(listener, (struct sockaddr *)&at, size) == 0 && listen(listener, 4) == 0, address);
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
    }
    return listener;
}

static void connect_to(const char *address, int port, char mode)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &at.sin_addr);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(connection, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    check(write(connection, &mode, 1) == 1, "write");
}

int main(int argc, char **argv)
{
    char line[256], name[32], address[64];
    int port;
    if (argc != 3)
        errx(2, "usage: runtime ADDRESS FOLDER");
    snprintf(path, sizeof path, "%s/file", argv[2]);
    snprintf(whole_path, sizeof whole_path, "%s/whole", argv[2]);
    close(listen_at(argv[1]));
    check((opened = open(path, O_RDONLY)) >= 0, path);
    take_memory();
    while (fgets(line, sizeof line, stdin)) {
        int words = sscanf(line, "%31s %63s %d", name, address, &port);
        for (size_t i = 0; i < sizeof works / sizeof *works; i++)
            if (words >= 1 && strcmp(works[i].name, name) == 0) {
                if (words == 3)
                    connect_to(address, port, works[i].some == send_much ? 's' : 'r');
                printf("%.2f\n", turn(&works[i]));
                if (words == 3)
                    close(connection);
            }
        fflush(stdout);
    }
    return 0;
}
