#define _GNU_SOURCE
#include "words.h"

#include <endian.h>
#include <sched.h>
#include <time.h>

#include "pymmio/arch/io.h"

#define IDLE_PAIR 0xFFFFFFFFFFFFFFFFull
#define FIRST_PAUSE_NS 10000
#define LOOKS_PER_POLL 8 /* a look takes a fraction of what the system call takes */

void pm_words_clear(pm_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        __atomic_store_n(&words->base[i], PM_WORDS_IDLE, __ATOMIC_RELAXED);
}

/* Find the first pair of words from ``at`` on of which one was written. */
static size_t find_pair(const pm_words *words, size_t at)
{
    const uint64_t *pairs = (const uint64_t *)words->base;
    size_t count = words->count / 2;

    while (at < count && __atomic_load_n(&pairs[at], __ATOMIC_RELAXED) == IDLE_PAIR)
        at++;
    return at;
}

int pm_words_take(pm_words *words, uint32_t *places, uint32_t *values, int room)
{
    int taken = 0;

    for (size_t pair = find_pair(words, 0); pair < words->count / 2 && taken < room;
         pair = find_pair(words, pair + 1)) {
        for (size_t i = 2 * pair; i < 2 * pair + 2 && taken < room; i++) {
            uint32_t value;

            if (__atomic_load_n(&words->base[i], __ATOMIC_RELAXED) == PM_WORDS_IDLE)
                continue;
            /* Acquires what the other side wrote to memory before it rang (its wmb). */
            value = __atomic_exchange_n(&words->base[i], PM_WORDS_IDLE, __ATOMIC_SEQ_CST);
            places[taken] = (uint32_t)i;
            values[taken++] = le32toh(value);
        }
    }
    return taken;
}

static int is_written(const pm_words *areas, int area_count)
{
    for (int i = 0; i < area_count; i++)
        if (find_pair(&areas[i], 0) < areas[i].count / 2)
            return 1;
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int pm_words_wait(pm_words *areas, int area_count, struct pollfd *fds, int fd_count,
                  int64_t spin_ns, int64_t pause_ns, int64_t timeout_ns)
{
    static const struct timespec no_time;
    int64_t start = now_ns(), pause = FIRST_PAUSE_NS;

    for (unsigned looks = 0;; looks++) {
        int64_t left;

        if (is_written(areas, area_count))
            return PM_WORDS_WRITTEN;
        left = timeout_ns - (now_ns() - start);
        if (left > 0 && timeout_ns - left < spin_ns) {
            if (looks % LOOKS_PER_POLL == 0) {
                if (ppoll(fds, (nfds_t)fd_count, &no_time, NULL) > 0)
                    return PM_WORDS_READY;
                sched_yield(); /* whoever shall ring may be waiting for this processor */
            }
            pm_cpu_relax();
            continue;
        }
        if (pause > pause_ns)
            pause = pause_ns;
        if (left < pause)
            pause = left > 0 ? left : 0;
        if (ppoll(fds, (nfds_t)fd_count, &(struct timespec){pause / 1000000000, pause % 1000000000},
                  NULL) > 0)
            return is_written(areas, area_count) ? PM_WORDS_WRITTEN : PM_WORDS_READY;
        if (left <= 0)
            return 0;
        pause *= 2;
    }
}
