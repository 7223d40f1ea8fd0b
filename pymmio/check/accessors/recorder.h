/* The fault recorder: each access to watched memory faults, is logged, and is then made.
 *
 * The watched memory has no access rights, so an instruction that touches it raises SIGSEGV.
 * The handler logs the instruction, gives the rights back, lets the processor execute this one
 * instruction and takes the rights away again:
 *   x86_64   the trap flag raises SIGTRAP behind the instruction (SDM vol. 3B, 18.3.1.4)
 *   others   the instruction runs in a page of its own, followed by a breakpoint, as kprobes do
 * An instruction that touches the memory again (REP MOVS) faults again and is logged again.
 */
#ifndef PYMMIO_CHECK_RECORDER_H
#define PYMMIO_CHECK_RECORDER_H

#include <stddef.h>
#include <stdint.h>

#define PM_CODE_SIZE 16

typedef struct pm_recorded {
    uint64_t pc;
    uint64_t address;     /* first byte that faulted */
    int32_t is_write;     /* what the processor says; -1: it says nothing */
    uint32_t code_size;   /* bytes of code that could be read */
    uint8_t code[PM_CODE_SIZE];
} pm_recorded;

/* 1 where this architecture can record. */
int pm_recorder_works(void);

/* Watch whole pages of this process; 0 or an errno.  One recording at a time, made by one
 * thread; the calling thread's accesses are those that count. */
int pm_recorder_start(void *base, size_t size);

/* Give the rights and the former handlers back; the number of accesses, or -1 when there were
 * more than the log holds. */
long pm_recorder_stop(void);

const pm_recorded *pm_recorder_log(void);

#endif
