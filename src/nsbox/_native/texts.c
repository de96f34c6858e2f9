/* Many small files read in one call: figures of groups, which the kernel makes when they are read.
 *
 * Opening such a file costs several times what reading it does, and each call from Python gives up
 * the interpreter and has to get it back.
 */
#include <errno.h>
#include <string.h>

#include "page.h"
#include "sys.h"

enum {
    ROOM = 4096,   /* what a read is given: the kernel makes these texts a page at a time */
    IN_PART = 2048 /* a read that gives less has come to the end of its file */
};

static long read_whole(int fd, char *into, uint64_t room)
{
    uint64_t place = 0;
    long part;
    do {
        if (room - place < ROOM)
            return -ENOBUFS;
        part = SYS(__NR_pread64, fd, into + place, room - place, place);
        if (part > 0)
            place += (uint64_t)part;
    } while (part >= IN_PART || part == -EINTR);
    return part < 0 ? part : (long)place;
}

/* In one write(2), and in one call: a signal handler of Python's has its turn when nothing is open. */
int nsbox_write_text(const char *path, const char *text, uint64_t size)
{
    long fd = SYS(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    long result = SYS(__NR_write, fd, text, size);
    SYS(__NR_close, fd);
    return result < 0 ? (int)result : 0;
}

/* What is kept stays open, and what is not there is remembered not to be. */
static long open_text(int32_t *descriptor, const char *path, int kept)
{
    if (*descriptor != NSBOX_NOT_OPENED)
        return *descriptor;
    long fd = SYS(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (kept && (fd >= 0 || fd == -ENOENT))
        *descriptor = (int32_t)fd;
    return fd;
}

/* The number at `text`, and where it ends; 0 where there is none, or it is too large for us. */
static const char *number(const char *text, const char *end, int64_t *value)
{
    const char *digit = text;
    *value = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, *digit - '0', value))
            return 0;
    }
    return digit == text ? 0 : digit;
}

/* Lines of "key number" with these keys in this order, or of a number alone where the key is empty.
 * The first number is -1 where the text is another. */
static void flat(const char *text, long length, const char *keys, int64_t *numbers, uint32_t count)
{
    const char *end = text + length;
    for (uint32_t i = 0; i < count; i++) {
        size_t size = strlen(keys);
        if (length < 0 || end - text <= (long)size || memcmp(text, keys, size))
            break;
        text += size;
        if (size && *text++ != ' ')
            break;
        text = number(text, end, &numbers[i]);
        if (!text || text == end || *text != '\n')
            break;
        text++;
        keys += size + 1;
        if (i + 1 == count && text == end)
            return;
    }
    numbers[0] = -1;
}

static void parse(struct nsbox_texts *texts, uint32_t file, const char *text, int64_t *numbers)
{
    const struct nsbox_form *form = &texts->forms[texts->form[file]];
    flat(text, texts->lengths[file], texts->keys + form->keys, numbers, form->count);
}

int64_t nsbox_read_texts(struct nsbox_texts *texts, char *buffer, uint64_t size)
{
    uint64_t used = 0;
    int64_t *numbers = texts->numbers;
    const char *path = texts->paths;
    for (uint32_t i = 0; i < texts->count; i++, path += strlen(path) + 1) {
        int kept = i < texts->kept;
        long fd = open_text(&texts->descriptors[i], path, kept);
        long length = fd < 0 ? fd : read_whole((int)fd, buffer + used, size - used);
        if (fd >= 0 && !kept)
            SYS(__NR_close, fd);
        if (length == -ENOBUFS)
            return -ENOBUFS;
        texts->lengths[i] = (int32_t)length;
        if (texts->form && texts->form[i] >= 0) {
            parse(texts, i, buffer + used, numbers);
            numbers += texts->forms[texts->form[i]].count;
        }
        used += length > 0 ? (uint64_t)length : 0;
    }
    return (int64_t)used;
}

void nsbox_close_texts(struct nsbox_texts *texts)
{
    for (uint32_t i = 0; i < texts->count; i++) {
        if (texts->descriptors[i] >= 0)
            SYS(__NR_close, texts->descriptors[i]);
        texts->descriptors[i] = NSBOX_NOT_OPENED;
    }
}
