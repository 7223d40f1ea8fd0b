/* Copies to and from plain memory that may fault: persistent memory, files, poisoned pages. */
#ifndef PYMMIO_MMIO_PLAIN_H
#define PYMMIO_MMIO_PLAIN_H

#include <stddef.h>
#include <stdint.h>

#define PM_PLAIN_NOCACHE 1 /* past the caches, or written back: durable once it returns */
#define PM_PLAIN_UNGUARDED 2 /* a fault is the program's, as with any memcpy */

int pm_plain_copy(void *to, const void *from, size_t size, int flags, size_t *moved);
int pm_plain_fill(void *to, size_t size, int flags, size_t *moved);
int pm_write_back(const void *p, size_t size);
int pm_write_back_kind(void);

#endif
