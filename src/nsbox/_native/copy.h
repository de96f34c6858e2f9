/* One file's copy, for the copy of a folder. */
#ifndef NSBOX_COPY_H
#define NSBOX_COPY_H

/* A list of attributes and the value of one, of which each takes up to 64 KiB: xattr(7). */
enum { ATTRIBUTES_SIZE = 2 << 16 };

/* Each gives 0, or -errno. */
long copy_data(long from, long to);
long copy_attributes(char *memory, long from, long to);

#endif
