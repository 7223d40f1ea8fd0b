/* Decode the instruction at si_addr from its bytes, and do what it says. */
#include <sys/syscall.h>

#include "emulator.h"

#define CC_SHIFT 44 /* PSW bits 18 and 19 */
#define STATUS_SHIFT 24
#define PAGE 4096

static void finish(ucontext_t *uc, uintptr_t next, int cc)
{
    uc->uc_mcontext.psw.addr = next;
    uc->uc_mcontext.psw.mask &= ~(3UL << CC_SHIFT);
    uc->uc_mcontext.psw.mask |= (unsigned long)cc << CC_SHIFT;
}

static void put_status(unsigned long *reg, int status)
{
    *reg &= ~(0xffUL << STATUS_SHIFT);
    *reg |= (unsigned long)status << STATUS_SHIFT;
}

/* A number of `size` bytes lies right-aligned in its register: its last bytes, big-endian. */
static uint8_t *tail(unsigned long *reg, size_t size) { return (uint8_t *)reg + 8 - size; }

static int move(int is_store, uintptr_t at, void *data, size_t size, siginfo_t *fault, int *cc)
{
    volatile void *p = (volatile void *)at;

    if (is_by_kernel()) {
        uint64_t bounce = 0;
        uint8_t *b = (uint8_t *)&bounce;
        for (size_t i = 0; is_store && i < size; i++)
            b[i] = ((uint8_t *)data)[i];
        *cc = real_syscall(is_store ? SYS_s390_pci_mmio_write : SYS_s390_pci_mmio_read, (long)at,
                           (long)b, (long)size, 0, 0, 0) != 0;
        for (size_t i = 0; !is_store && !*cc && i < size; i++)
            ((uint8_t *)data)[i] = b[i];
        return 0;
    }
    *cc = 0;
    return is_store ? touch(p, data, size, fault) : touch(data, p, size, fault);
}

/* 0: done or failed by its condition code; else the signal that its access raised. */
static int load_or_store(ucontext_t *uc, int is_store, unsigned r1, unsigned r2, uintptr_t next,
                         siginfo_t *fault)
{
    unsigned long *regs = uc->uc_mcontext.gregs;
    uintptr_t at = regs[r2];
    size_t size = regs[r2 + 1];
    unsigned long data = is_store ? regs[r1] : 0;
    int cc, status = 0, signal_number;

    count(is_store ? STORE : LOAD, size);
    if (!injected_condition(&cc, &status)) {
        signal_number = move(is_store, at, tail(&data, size), size, fault, &cc);
        if (signal_number)
            return signal_number;
        if (cc)
            status = 8;
    }
    if (!is_store) /* a load that failed leaves garbage, which must not be taken for data */
        regs[r1] = cc ? 0xbadbadbadbadbadbUL : data;
    put_status(&regs[r2 + 1], status);
    finish(uc, next, cc);
    return 0;
}

static int store_block(ucontext_t *uc, unsigned r1, unsigned r3, uintptr_t source, uintptr_t next,
                       siginfo_t *fault)
{
    unsigned long *regs = uc->uc_mcontext.gregs;
    uintptr_t at = regs[r3];
    size_t size = regs[r1];
    int cc = 0, status = 0, signal_number;

    count(BLOCK, size);
    if (!injected_condition(&cc, &status))
        for (size_t i = 0; i < size && !cc; i += 8) {
            uint64_t piece = *(const uint64_t *)(source + i);
            signal_number = move(1, at + i, &piece, 8, fault, &cc);
            if (signal_number)
                return signal_number;
            status = cc ? 8 : 0;
        }
    put_status(&regs[r1], status);
    finish(uc, next, cc);
    return 0;
}

int execute(siginfo_t *info, ucontext_t *uc, siginfo_t *fault)
{
    const uint8_t *code = info->si_addr;
    uintptr_t here = (uintptr_t)code;
    unsigned long *regs = uc->uc_mcontext.gregs;
    int signal_number = 0;

    if (!has_instructions())
        return 0;
    if (code[0] == 0xb9 && code[1] == 0xd5) {
        count(BARRIER, 0);
        uc->uc_mcontext.psw.addr = here + 4;
    } else if (code[0] == 0xb9 && (code[1] == 0xd6 || code[1] == 0xd4)) {
        unsigned r1 = code[3] >> 4, r2 = code[3] & 15;
        size_t size = regs[(r2 + 1) & 15];

        /* An odd r2 is a specification exception; length 0, above 8, or bytes on both sides of
         * a multiple of 8 an operand exception: the program gets its SIGILL. */
        if (r2 & 1 || !size || size > 8 || (regs[r2] & 7) + size > 8)
            return 0;
        signal_number = load_or_store(uc, code[1] == 0xd4, r1, r2, here + 4, fault);
    } else if (code[0] == 0xeb && code[5] == 0xd4) {
        unsigned r1 = code[1] >> 4, r3 = code[1] & 15, base = code[2] >> 4;
        long low = (code[2] & 15) << 8 | code[3], high = (int8_t)code[4];
        uintptr_t source = (base ? regs[base] : 0) + (unsigned long)(high * 4096 + low);
        size_t size = regs[r1];

        if (size <= 8 || size > 128 || size & 7 || regs[r3] & 7 || source & 7 ||
            (regs[r3] & (PAGE - 1)) + size > PAGE)
            return 0;
        signal_number = store_block(uc, r1, r3, source, here + 6, fault);
    } else {
        return 0;
    }
    if (signal_number) /* Linux names the instruction for page faults */
        uc->uc_mcontext.psw.addr = here;
    fault->si_signo = signal_number;
    return 1;
}
