/* The exception table: one record for each access instruction.
 *
 * A record says where the instruction is, where to go on when it faults, and what access
 * it is (width in bytes, PM_EX_*).  All records stand in the section pm_extable of the
 * one shared object, so that tools can find and disassemble each of them.
 */
#ifndef PYMMIO_ARCH_EXTABLE_H
#define PYMMIO_ARCH_EXTABLE_H

#include <stdint.h>

/* What accessors return. */
#define PM_OK 0
#define PM_FAULT 1    /* the machine reported a fault: see pm_last_fault() */
#define PM_REFUSED 2  /* not one access (misaligned, no such width): nothing was touched */
#define PM_CLOSED 3   /* the mapping was closed meanwhile */
#define PM_TIMEOUT 4  /* the deadline passed */
#define PM_AGAIN 5    /* the time slice ended: look for signals, then call again */
#define PM_ERRNO 6    /* a system call failed: the errno is kept beside it */
#define PM_MIO 7      /* s390x: the condition code said no, see pm_last_fault() */

#define PM_EX_STORE 0x100
#define PM_EX_MIO 0x200   /* s390x: a PCI memory-I/O instruction; its length is in a register */
#define PM_EX_BLOCK 0x400 /* a store of up to that width, in multiples of 8 */

struct pm_ex_record {
    int32_t insn;  /* relative to this member */
    int32_t fixup; /* relative to this member */
    uint32_t info; /* width in bytes, | PM_EX_* */
};

#define PM_STR_(x) #x
#define PM_STR(x) PM_STR_(x)

/* In asm: the instruction stands at label 1, the fix-up at label 3. */
#define PM_EX_TABLE(info)                     \
    ".pushsection pm_extable, \"a\"\n"        \
    ".balign 4\n"                             \
    ".long 1b - .\n"                          \
    ".long 3b - .\n"                          \
    ".long " PM_STR(info) "\n"                \
    ".popsection\n"

/* The fix-up sets the error operand and goes on behind the access (label 2). */
#define PM_EX_FIXUP(set_error_and_jump)       \
    ".pushsection .text.pm_fixup, \"ax\"\n"   \
    "3: " set_error_and_jump "\n"             \
    ".popsection\n"

#endif
