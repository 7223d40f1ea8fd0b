#define _GNU_SOURCE
#include "words.h"

#include <endian.h>
#include <sys/prctl.h>
#include <time.h>

#include "pymmio/arch/io.h"

#define IDLE_PAIR 0xFFFFFFFFFFFFFFFFull
#define PAUSE_SHARE 8 /* a pause prolongs what was waited by an eighth at most */
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

/* The kernel may prolong a pause by 50 us, many times what it should be: not in this thread. */
static void have_exact_pauses(void)
{
    static __thread int done;

    if (!done) {
        prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
        done = 1;
    }
}

static int64_t next_pause(int64_t waited_ns, int64_t left_ns, int64_t least_ns, int64_t most_ns)
{
    int64_t pause = waited_ns / PAUSE_SHARE;

    if (pause < least_ns)
        pause = least_ns;
    if (pause > most_ns)
        pause = most_ns;
    return pause < left_ns ? pause : left_ns;
}

int pm_words_wait(pm_words *areas, int area_count, struct pollfd *fds, int fd_count,
                  int64_t spin_ns, int64_t least_pause_ns, int64_t most_pause_ns,
                  int64_t timeout_ns)
{
    int64_t start = now_ns(), pause = 0;

    have_exact_pauses();
    for (unsigned looks = 0;; looks++) {
        int64_t waited;

        if (is_written(areas, area_count))
            return PM_WORDS_WRITTEN;
        waited = now_ns() - start;
        if (waited < spin_ns && waited < timeout_ns) {
            pause = 0;
            pm_cpu_relax();
            if (looks % LOOKS_PER_POLL)
                continue;
        } else {
            int64_t left = timeout_ns - waited;
            pause = left > 0 ? next_pause(waited, left, least_pause_ns, most_pause_ns) : 0;
        }
        if (ppoll(fds, (nfds_t)fd_count,
                  &(struct timespec){pause / 1000000000, pause % 1000000000}, NULL) > 0)
            return PM_WORDS_READY | (is_written(areas, area_count) ? PM_WORDS_WRITTEN : 0);
        if (waited >= timeout_ns)
            return 0;
    }
}
