/* Accesses to memory that may fault, and the system calls on top of them. */
#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include "emulator.h"

static __thread volatile int is_touching;
static __thread sigjmp_buf back;
static __thread siginfo_t seen;

int touch_faulted(int signal_number, const siginfo_t *info)
{
    if (!is_touching || info->si_code <= 0)
        return 0;
    seen = *info;
    siglongjmp(back, signal_number);
}

int touch(volatile void *to, const volatile void *from, size_t size, siginfo_t *fault)
{
    int signal_number = sigsetjmp(back, 1);

    if (signal_number) {
        is_touching = 0;
        *fault = seen;
        return signal_number;
    }
    is_touching = 1;
    switch (size) {
    case 1:
        *(volatile uint8_t *)to = *(const volatile uint8_t *)from;
        break;
    case 2:
        *(volatile uint16_t *)to = *(const volatile uint16_t *)from;
        break;
    case 4:
        *(volatile uint32_t *)to = *(const volatile uint32_t *)from;
        break;
    case 8:
        *(volatile uint64_t *)to = *(const volatile uint64_t *)from;
        break;
    default:
        for (size_t i = 0; i < size; i++)
            ((volatile uint8_t *)to)[i] = ((const volatile uint8_t *)from)[i];
    }
    is_touching = 0;
    return 0;
}

/* As Linux on a machine without the instructions: what was seen there on a BAR. */
long pci_call(long number, volatile void *p, void *buffer, size_t size)
{
    int is_write = number == 352, signal_number;
    siginfo_t fault;
    long result;

    count(is_write ? WRITE_CALL : READ_CALL, size);
    if (injected_result(&result)) {
        if (result >= 0)
            return result;
        errno = (int)-result;
        return -1;
    }
    memset(&fault, 0, sizeof(fault));
    if (!size || size > 4096 || ((uintptr_t)p & 4095) + size > 4096)
        signal_number = SIGSEGV;
    else
        signal_number = is_write ? touch(p, buffer, size, &fault) : touch(buffer, p, size, &fault);
    if (!signal_number)
        return 0;
    errno = fault.si_signo == SIGSEGV && fault.si_code == SEGV_ACCERR ? EACCES : EINVAL;
    return -1;
}
