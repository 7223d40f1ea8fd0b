/* Faults of accessor instructions: the handler and what it saw last. */
#ifndef PYMMIO_ARCH_FAULT_H
#define PYMMIO_ARCH_FAULT_H

#include <stddef.h>
#include <stdint.h>

struct pm_fault {
    int signal;        /* SIGBUS, SIGSEGV, ... */
    int code;          /* si_code */
    uint64_t address;  /* si_addr */
};

/* Who handles the signal now (pm_fault_state). */
#define PM_HANDLER_NONE 0   /* never installed */
#define PM_HANDLER_OURS 1
#define PM_HANDLER_OTHER 2  /* somebody took the signal after us */

/* Install the handler, or install it again on top where somebody took a signal away.
 * Returns 0 or an errno. */
int pm_fault_install(void);

/* PM_HANDLER_* for SIGBUS or SIGSEGV. */
int pm_fault_state(int signal_number);

/* What the handler saw last in this thread. */
struct pm_fault pm_last_fault(void);

/* The number of records in the exception table of this object. */
size_t pm_ex_count(void);

#endif
