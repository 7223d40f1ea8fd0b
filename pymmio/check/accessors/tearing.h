/* A thread that writes two patterns in turn, or looks for values that are neither. */
#ifndef PYMMIO_CHECK_TEARING_H
#define PYMMIO_CHECK_TEARING_H

#include <stdint.h>

typedef struct pm_tearing {
    uint64_t rounds;  /* stores made, or loads made */
    uint64_t changes; /* loads that saw another value than the load before */
    uint64_t torn;    /* loads that saw neither all zeroes nor all ones */
} pm_tearing;

/* Store all zeroes, all ones, all zeroes, ... of width bytes until stopped; 0 or an errno.
 * place need not be aligned. */
int pm_writer_start(void *place, int width);

/* Load width bytes at an aligned place until stopped. */
int pm_observer_start(void *place, int width);

/* End the thread and say what it saw. */
pm_tearing pm_tearing_stop(void);

/* What the thread saw so far: rounds only. */
uint64_t pm_tearing_rounds(void);

#endif
