/* A mapping of device memory that several regions, pollers and doorbells share. */
#ifndef PYMMIO_MMIO_MAPPING_H
#define PYMMIO_MMIO_MAPPING_H

#include <stddef.h>
#include <stdint.h>

#include "pymmio/arch/io.h"

typedef struct pm_mapping {
    volatile uint8_t *base;
    size_t size;
    uint32_t users;   /* calls in C that work on it without the interpreter lock */
    uint32_t closing; /* set once: users leave, nobody enters */
} pm_mapping;

/* Enter before an access that is made without the interpreter lock; PM_OK or PM_CLOSED. */
static inline int pm_mapping_enter(pm_mapping *m)
{
    __atomic_add_fetch(&m->users, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&m->closing, __ATOMIC_SEQ_CST)) {
        __atomic_sub_fetch(&m->users, 1, __ATOMIC_SEQ_CST);
        return PM_CLOSED;
    }
    return PM_OK;
}

static inline void pm_mapping_leave(pm_mapping *m)
{
    __atomic_sub_fetch(&m->users, 1, __ATOMIC_SEQ_CST);
}

static inline int pm_mapping_is_closing(pm_mapping *m)
{
    return __atomic_load_n(&m->closing, __ATOMIC_RELAXED) != 0;
}

/* One access of width 1, 2, 4 or 8 bytes, value in host byte order. */
static inline int pm_load(const volatile void *p, int width, uint64_t *value)
{
    int error;
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;

    switch (width) {
    case 1:
        error = pm_load8(p, &v8);
        *value = v8;
        return error;
    case 2:
        error = pm_load16(p, &v16);
        *value = v16;
        return error;
    case 4:
        error = pm_load32(p, &v32);
        *value = v32;
        return error;
    default:
        return pm_load64(p, value);
    }
}

static inline int pm_store(volatile void *p, int width, uint64_t value)
{
    switch (width) {
    case 1:
        return pm_store8(p, (uint8_t)value);
    case 2:
        return pm_store16(p, (uint16_t)value);
    case 4:
        return pm_store32(p, (uint32_t)value);
    default:
        return pm_store64(p, value);
    }
}

static inline uint64_t pm_swap(uint64_t value, int width)
{
    switch (width) {
    case 1:
        return value;
    case 2:
        return __builtin_bswap16((uint16_t)value);
    case 4:
        return __builtin_bswap32((uint32_t)value);
    default:
        return __builtin_bswap64(value);
    }
}

/* What Python calls through cffi; bounds and alignment were checked there. */
int pm_read(pm_mapping *m, size_t offset, int width, uint64_t *value);
int pm_write(pm_mapping *m, size_t offset, int width, uint64_t value);

/* Poll until (value & mask) == wanted.  Returns PM_OK, PM_TIMEOUT (deadline), PM_AGAIN
 * (slice over), PM_FAULT or PM_CLOSED; *last is the last value read.  Times are of
 * CLOCK_MONOTONIC in nanoseconds.  At least one read is made. */
int pm_wait(pm_mapping *m, size_t offset, int width, int swap, uint64_t mask, uint64_t wanted,
            int64_t deadline_ns, int64_t slice_ns, uint64_t *last);

/* Copy in accesses of one width, low address first, bytes in memory order.
 * *moved is the number of bytes that were moved before a fault. */
int pm_copy_from(pm_mapping *m, size_t offset, void *to, size_t size, int width, size_t *moved);
int pm_copy_to(pm_mapping *m, size_t offset, const void *from, size_t size, int width,
               size_t *moved);

#endif
