/* s390x: PCI memory by system calls 352 (write) and 353 (read): mapped address, buffer, length.
 *
 * Source: Linux 6.15 arch/s390/pci/pci_mmio.c.  One call is one access only if the length is 1,
 * 2, 4 or 8 and *both* addresses are multiples of it: older kernels cut a transfer by the
 * alignment of either.  Hence the bounce buffer of 8 aligned bytes.  On machines with
 * memory-I/O instructions the kernel returns their condition code, a positive number: whatever
 * is not 0 has failed.
 */
#ifndef PYMMIO_ARCH_S390X_SYSCALLS_H
#define PYMMIO_ARCH_S390X_SYSCALLS_H

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../fault.h"

#define PM_SYS_PCI_WRITE 352
#define PM_SYS_PCI_READ 353
_Static_assert(SYS_s390_pci_mmio_write == PM_SYS_PCI_WRITE, "the number of the system call");
_Static_assert(SYS_s390_pci_mmio_read == PM_SYS_PCI_READ, "the number of the system call");

/* errno is left as it was, as every accessor does. */
static inline int pm_syscall_access(long number, const volatile void *p, uint64_t *bounce,
                                    size_t width)
{
    int before = errno, error;
    long result;

    if ((uintptr_t)p % width)
        return PM_REFUSED;
    result = syscall(number, p, bounce, width);
    if (__builtin_expect(result == 0, 1))
        return PM_OK;
    error = errno;
    errno = before;
    return result < 0 ? pm_failed_with_errno(p, error)
                      : pm_failed_with_cc(p, (int)result, PM_NO_STATUS);
}

#define PM_SYSCALL_ACCESS(bits)                                                             \
    static inline int pm_syscall_load##bits(const volatile void *p, uint##bits##_t *value)  \
    {                                                                                       \
        uint64_t bounce = 0;                                                                \
        int error = pm_syscall_access(PM_SYS_PCI_READ, p, &bounce, bits / 8);               \
        if (!error)                                                                         \
            memcpy(value, &bounce, bits / 8);                                               \
        return error;                                                                       \
    }                                                                                       \
    static inline int pm_syscall_store##bits(volatile void *p, uint##bits##_t value)        \
    {                                                                                       \
        uint64_t bounce = 0;                                                                \
        memcpy(&bounce, &value, bits / 8);                                                  \
        return pm_syscall_access(PM_SYS_PCI_WRITE, p, &bounce, bits / 8);                   \
    }

PM_SYSCALL_ACCESS(8)
PM_SYSCALL_ACCESS(16)
PM_SYSCALL_ACCESS(32)
PM_SYSCALL_ACCESS(64)

#endif
