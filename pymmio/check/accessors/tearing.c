#include "tearing.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

static pthread_t thread;
static int is_running, is_stopping;
static volatile void *place_;
static int width_;
static uint64_t rounds;
static pm_tearing seen;

static int stopping(void) { return __atomic_load_n(&is_stopping, __ATOMIC_RELAXED); }

/* Both values stay a while: two stores in a row leave the store buffer together, and nobody
 * else would ever see the first. */
static void stay(void)
{
    for (volatile int i = 0; i < 16; i++)
        ;
}

/* A place that is not aligned is stored as the compiler can: in one instruction where there
 * is one. */
#define WRITE(bits)                                                                   \
    static void write##bits(void)                                                     \
    {                                                                                 \
        typedef uint##bits##_t __attribute__((aligned(1), may_alias)) anywhere;       \
        volatile anywhere *place = (volatile anywhere *)place_;                       \
        while (!stopping()) {                                                         \
            *place = 0;                                                               \
            stay();                                                                   \
            *place = (uint##bits##_t)~(uint##bits##_t)0;                              \
            stay();                                                                   \
            __atomic_store_n(&rounds, rounds + 2, __ATOMIC_RELAXED);                  \
        }                                                                             \
    }

#define OBSERVE(bits)                                                                 \
    static void observe##bits(void)                                                   \
    {                                                                                 \
        const volatile uint##bits##_t *place = (const volatile uint##bits##_t *)place_; \
        const uint##bits##_t ones = (uint##bits##_t)~(uint##bits##_t)0;               \
        uint##bits##_t last = *place;                                                 \
        while (!stopping()) {                                                         \
            uint##bits##_t value = *place;                                            \
            seen.changes += value != last;                                            \
            seen.torn += value != 0 && value != ones;                                 \
            last = value;                                                             \
            __atomic_store_n(&rounds, rounds + 1, __ATOMIC_RELAXED);                  \
        }                                                                             \
    }

WRITE(8) WRITE(16) WRITE(32) WRITE(64)
OBSERVE(8) OBSERVE(16) OBSERVE(32) OBSERVE(64)

static void *write_all(void *unused)
{
    (void)unused;
    switch (width_) {
    case 1: write8(); break;
    case 2: write16(); break;
    case 4: write32(); break;
    default: write64(); break;
    }
    return NULL;
}

static void *observe_all(void *unused)
{
    (void)unused;
    switch (width_) {
    case 1: observe8(); break;
    case 2: observe16(); break;
    case 4: observe32(); break;
    default: observe64(); break;
    }
    return NULL;
}

static int start(void *place, int width, void *(*run)(void *))
{
    int error;

    if (is_running)
        return EBUSY;
    place_ = place;
    width_ = width;
    rounds = 0;
    seen = (pm_tearing){0, 0, 0};
    __atomic_store_n(&is_stopping, 0, __ATOMIC_SEQ_CST);
    error = pthread_create(&thread, NULL, run, NULL);
    is_running = !error;
    return error;
}

int pm_writer_start(void *place, int width) { return start(place, width, write_all); }
int pm_observer_start(void *place, int width) { return start(place, width, observe_all); }
uint64_t pm_tearing_rounds(void) { return __atomic_load_n(&rounds, __ATOMIC_RELAXED); }

pm_tearing pm_tearing_stop(void)
{
    if (is_running) {
        __atomic_store_n(&is_stopping, 1, __ATOMIC_SEQ_CST);
        pthread_join(thread, NULL);
        is_running = 0;
    }
    seen.rounds = rounds;
    return seen;
}
