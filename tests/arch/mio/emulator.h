/* The parts of the emulator: decoding and executing, guarded access to memory, the report. */
#ifndef MIO_EMULATOR_H
#define MIO_EMULATOR_H

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

enum operation { LOAD, STORE, BLOCK, BARRIER, READ_CALL, WRITE_CALL, N_OPERATIONS };

/* execute.c: whether the signal was about an instruction that was executed; then the context is
 * behind it.  A fault of its access is in *fault, to be handed to the program. */
int execute(siginfo_t *info, ucontext_t *uc, siginfo_t *fault);

/* memory.c: copy `size` (1, 2, 4, 8: one access) bytes; 0, or the signal that it raised. */
int touch(volatile void *to, const volatile void *from, size_t size, siginfo_t *fault);
int touch_faulted(int signal_number, const siginfo_t *info); /* does not return if so */
long pci_call(long number, volatile void *p, void *buffer, size_t size);

/* interpose.c */
long real_syscall(long number, long a, long b, long c, long d, long e, long f);

/* report.c */
void count(enum operation operation, size_t width);
int injected_condition(int *cc, int *status);
int injected_result(long *result);
int is_by_kernel(void);
int has_instructions(void);

#endif
