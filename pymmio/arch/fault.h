/* Faults of accessors: the handler, and what an access that failed last said. */
#ifndef PYMMIO_ARCH_FAULT_H
#define PYMMIO_ARCH_FAULT_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

struct pm_fault {
    int signal;        /* after PM_FAULT: SIGBUS, SIGSEGV, SIGILL; else 0 */
    int code;          /* si_code */
    uint64_t address;  /* si_addr; the address of the access where there was no signal */
    int cc;            /* after PM_MIO: condition code 1 to 3; else 0 */
    int status;        /* after PM_MIO: what the instruction said, or PM_NO_STATUS */
    int error;         /* after PM_ERRNO: the errno; else 0 */
};

#define PM_NO_STATUS (-1) /* the kernel made the access and told the condition code only */

/* Who handles the signal now (pm_fault_state). */
#define PM_HANDLER_NONE 0   /* never installed */
#define PM_HANDLER_OURS 1
#define PM_HANDLER_OTHER 2  /* somebody took the signal after us */

/* Memory that may fault while it is copied by ordinary code, which no table has: the copy is
 * left by siglongjmp.  Set it before, and the former one back afterwards; one a thread. */
struct pm_guard {
    struct {
        uintptr_t start, end;
    } range[2];
    sigjmp_buf jump;
};
struct pm_guard *pm_guard_set(struct pm_guard *g);

/* Install the handler, or install it again on top where somebody took a signal away.
 * Returns 0 or an errno. */
int pm_fault_install(void);

/* PM_HANDLER_* for SIGBUS or SIGSEGV (SIGILL on s390x). */
int pm_fault_state(int signal_number);

/* What the access of this thread that failed last said. */
struct pm_fault pm_last_fault(void);

/* Keep why an access failed that raised no signal; PM_MIO and PM_ERRNO. */
int pm_failed_with_cc(const volatile void *p, int cc, int status);
int pm_failed_with_errno(const volatile void *p, int error);

/* The number of records in the exception table of this object. */
size_t pm_ex_count(void);

#endif
