/* What queue engines in C have in common: little-endian words in memory that a device shares,
 * and waiting for one of them to change. */
#ifndef PYMMIO_MMIO_ENGINE_H
#define PYMMIO_MMIO_ENGINE_H

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "pymmio/arch/io.h"

#define PM_SLICE_MAX_NS 20000000u /* a waiting call comes back this often: signals, Ctrl-C */
#define PM_SPIN_NS 50000u         /* then let other threads run */
#define PM_YIELD_NS 2000000u      /* then sleep between looks */

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define PM_LE16(v) __builtin_bswap16(v)
#define PM_LE32(v) __builtin_bswap32(v)
#define PM_LE64(v) __builtin_bswap64(v)
#else
#define PM_LE16(v) (v)
#define PM_LE32(v) (v)
#define PM_LE64(v) (v)
#endif

static inline void pm_put16(uint8_t *p, uint16_t v) { v = PM_LE16(v); memcpy(p, &v, sizeof v); }
static inline void pm_put32(uint8_t *p, uint32_t v) { v = PM_LE32(v); memcpy(p, &v, sizeof v); }
static inline void pm_put64(uint8_t *p, uint64_t v) { v = PM_LE64(v); memcpy(p, &v, sizeof v); }

/* A word that the device may be writing or reading: one access, not to be repeated or torn. */
static inline uint16_t pm_shared_load16(const uint8_t *p)
{
    return PM_LE16(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static inline uint32_t pm_shared_load32(const uint8_t *p)
{
    return PM_LE32(__atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED));
}

static inline void pm_shared_store16(uint8_t *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)(void *)p, PM_LE16(v), __ATOMIC_RELAXED);
}

static inline void pm_shared_store32(uint8_t *p, uint32_t v)
{
    __atomic_store_n((uint32_t *)(void *)p, PM_LE32(v), __ATOMIC_RELAXED);
}

static inline uint64_t pm_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Between two looks: spin at first, then let others run, then sleep. */
static inline void pm_pause_after(uint64_t waited_ns)
{
    if (waited_ns < PM_SPIN_NS) {
        for (int i = 0; i < 32; i++)
            pm_cpu_relax();
    } else if (waited_ns < PM_YIELD_NS) {
        sched_yield();
    } else {
        struct timespec t = {0, 50000};
        nanosleep(&t, NULL);
    }
}

#endif
