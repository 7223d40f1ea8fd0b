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
    uint32_t closing; /* users leave, nobody enters */
    uint32_t way;     /* PM_WAY_*: how the memory is reached */
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

/* One access of width 1, 2, 4 or 8 bytes at a multiple of it, value in host byte order;
 * whatever else is asked for is PM_REFUSED. */
static inline int pm_load(uint32_t way, const volatile void *p, int width, uint64_t *value)
{
    int error;
    uint8_t v8 = 0;
    uint16_t v16 = 0;
    uint32_t v32 = 0;

    if ((uintptr_t)p & (uintptr_t)(width - 1))
        return PM_REFUSED;
    switch (width) {
    case 1:
        error = PM_LOAD(8, way, p, &v8);
        *value = v8;
        return error;
    case 2:
        error = PM_LOAD(16, way, p, &v16);
        *value = v16;
        return error;
    case 4:
        error = PM_LOAD(32, way, p, &v32);
        *value = v32;
        return error;
    case 8:
        return PM_LOAD(64, way, p, value);
    default:
        return PM_REFUSED;
    }
}

static inline int pm_store(uint32_t way, volatile void *p, int width, uint64_t value)
{
    if ((uintptr_t)p & (uintptr_t)(width - 1))
        return PM_REFUSED;
    switch (width) {
    case 1:
        return PM_STORE(8, way, p, (uint8_t)value);
    case 2:
        return PM_STORE(16, way, p, (uint16_t)value);
    case 4:
        return PM_STORE(32, way, p, (uint32_t)value);
    case 8:
        return PM_STORE(64, way, p, value);
    default:
        return PM_REFUSED;
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
 * (slice over), PM_CLOSED or why an access failed; *last is the last value read.  Times are of
 * CLOCK_MONOTONIC in nanoseconds.  At least one read is made. */
int pm_wait(pm_mapping *m, size_t offset, int width, int swap, uint64_t mask, uint64_t wanted,
            int64_t deadline_ns, int64_t slice_ns, uint64_t *last);

/* Copy in accesses of one width, low address first, bytes in memory order.
 * *moved is the number of bytes that were moved before an access failed. */
int pm_copy_from(pm_mapping *m, size_t offset, void *to, size_t size, int width, size_t *moved);
int pm_copy_to(pm_mapping *m, size_t offset, const void *from, size_t size, int width,
               size_t *moved);

/* Write multiples of 8 bytes, low address first, in stores as wide as the way has them, which
 * the machine may combine further; all are on their way when it returns (pm_mmio_wmb). */
int pm_copy_combined(pm_mapping *m, size_t offset, const void *from, size_t size,
                     size_t *moved);

#endif
