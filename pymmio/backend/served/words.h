/* Shared memory that the other side stores 32-bit words to and that is polled here: doorbells.
 *
 * A word that nobody has written since it was last taken holds the idle value; taking it puts
 * the idle value back in the same atomic step.  So no store is lost, whatever its value, but for
 * those that a later one to the same word overtakes. */
#ifndef PYMMIO_BACKEND_SERVED_WORDS_H
#define PYMMIO_BACKEND_SERVED_WORDS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define PM_WORDS_IDLE 0xFFFFFFFFu /* in either byte order */

typedef struct pm_words {
    uint32_t *base;
    size_t count; /* even; base is a multiple of 8 */
} pm_words;

/* Fill all words with the idle value. */
void pm_words_clear(pm_words *words);

/* Take up to ``room`` words that were written, lowest first; places are word numbers, values are
 * numbers of the little-endian device.  Returns how many. */
int pm_words_take(pm_words *words, uint32_t *places, uint32_t *values, int room);

#define PM_WORDS_WRITTEN 1 /* there is something to take */
#define PM_WORDS_READY 2   /* poll has something to say about ``fds`` */

/* Wait until one of the two, or until ``timeout_ns`` have passed (0 is returned).  Looks all
 * the time for ``spin_ns``, then between pauses that grow with the time; ``fds`` end a pause
 * at once.  Sets the timer slack of the calling thread to a nanosecond. */
int pm_words_wait(pm_words *areas, int area_count, struct pollfd *fds, int fd_count,
                  int64_t spin_ns, int64_t least_pause_ns, int64_t most_pause_ns,
                  int64_t timeout_ns);

#endif
