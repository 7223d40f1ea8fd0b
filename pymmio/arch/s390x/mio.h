/* s390x: PCI memory-I/O instructions of problem state (z15 and newer).
 *
 * Sources: Linux 6.15 arch/s390/pci/pci_mmio.c and arch/s390/include/asm/pci_insn.h; rdma-core
 * util/s390_mmio_insn.h.  A load or store takes an even/odd register pair: address and length.
 * The condition code says whether it was done: 0 is yes; the status then is in bits 32-39 of the
 * odd register (of the length register for a store block), and a loaded value means nothing.
 *
 * The data register holds the bytes of the device as a big-endian CPU reads them: the value in
 * host byte order, as with every other accessor.
 */
#ifndef PYMMIO_ARCH_S390X_MIO_H
#define PYMMIO_ARCH_S390X_MIO_H

#include <stddef.h>

#include "../fault.h"

union pm_pair {
    unsigned __int128 both;
    struct {
        uint64_t even, odd;
    };
};

#define PM_MIO_STATUS(reg) ((int)((reg) >> 24 & 0xff))
#define PM_MIO_FAULTED (-1) /* what the fix-up says in place of a condition code */

static inline int pm_mio_result(const volatile void *p, int cc, uint64_t reg)
{
    if (__builtin_expect(cc == 0, 1))
        return PM_OK;
    return cc == PM_MIO_FAULTED ? PM_FAULT : pm_failed_with_cc(p, cc, PM_MIO_STATUS(reg));
}

/* The length is set by the instruction before, so that the code shows the width.  The data is
 * written before the pair was read for the last time: early-clobber. */
#define PM_MIO_LOAD(bits, bytes)                                                        \
    static inline int pm_mio_load##bits(const volatile void *p, uint##bits##_t *value)  \
    {                                                                                   \
        union pm_pair place = {.even = (uintptr_t)p};                                   \
        uint64_t v = 0;                                                                 \
        int cc, error;                                                                  \
        if ((uintptr_t)p % bytes)                                                       \
            return PM_REFUSED;                                                          \
        __asm__ volatile("lghi %N[place]," #bytes "\n"                                  \
                         "1: .insn rre,0xb9d60000,%[v],%[place]\n" /* PCILGI */         \
                         "ipm %[cc]\n"                                                  \
                         "srl %[cc],28\n"                                               \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("lhi %[cc],-1\n jg 2b")                            \
                         PM_EX_TABLE(bytes | PM_EX_MIO)                                 \
                         : [v] "+&d"(v), [cc] "=&d"(cc), [place] "+&d"(place.both)      \
                         :                                                              \
                         : "cc", "memory");                                             \
        error = pm_mio_result(p, cc, place.odd);                                        \
        if (!error)                                                                     \
            *value = (uint##bits##_t)v;                                                 \
        return error;                                                                   \
    }

#define PM_MIO_STORE(bits, bytes)                                                       \
    static inline int pm_mio_store##bits(volatile void *p, uint##bits##_t value)        \
    {                                                                                   \
        union pm_pair place = {.even = (uintptr_t)p};                                   \
        int cc;                                                                         \
        if ((uintptr_t)p % bytes)                                                       \
            return PM_REFUSED;                                                          \
        __asm__ volatile("lghi %N[place]," #bytes "\n"                                  \
                         "1: .insn rre,0xb9d40000,%[v],%[place]\n" /* PCISTGI */        \
                         "ipm %[cc]\n"                                                  \
                         "srl %[cc],28\n"                                               \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("lhi %[cc],-1\n jg 2b")                            \
                         PM_EX_TABLE(bytes | PM_EX_MIO | PM_EX_STORE)                   \
                         : [cc] "=&d"(cc), [place] "+&d"(place.both)                    \
                         : [v] "d"((uint64_t)value)                                     \
                         : "cc", "memory");                                             \
        return pm_mio_result(p, cc, place.odd);                                         \
    }

PM_MIO_LOAD(8, 1)
PM_MIO_LOAD(16, 2)
PM_MIO_LOAD(32, 4)
PM_MIO_LOAD(64, 8)
PM_MIO_STORE(8, 1)
PM_MIO_STORE(16, 2)
PM_MIO_STORE(32, 4)
PM_MIO_STORE(64, 8)

/* One store of more than 8 and up to 128 bytes, in multiples of 8, that crosses no 4 KiB
 * (rdma-core util/mmio.h; Linux arch/s390/pci/pci_mmio.c, zpci_get_max_io_size). */
#define PM_MIO_LARGEST_STORE 128

static inline int pm_mio_store_block(volatile void *p, const uint64_t *from, size_t size)
{
    uint64_t length = size;
    int cc;

    if ((uintptr_t)p % 8 || (uintptr_t)from % 8 || size % 8 || size <= 8 ||
        size > PM_MIO_LARGEST_STORE || ((uintptr_t)p & 0xfff) + size > 0x1000)
        return PM_REFUSED;
    __asm__ volatile("1: .insn rsy,0xeb00000000d4,%[length],%[p],0(%[from])\n" /* PCISTBI */
                     "ipm %[cc]\n"
                     "srl %[cc],28\n"
                     "2:\n"
                     PM_EX_FIXUP("lhi %[cc],-1\n jg 2b")
                     PM_EX_TABLE(128 | PM_EX_MIO | PM_EX_STORE | PM_EX_BLOCK)
                     : [cc] "=&d"(cc), [length] "+&d"(length)
                     : [p] "d"(p), [from] "a"(from)
                     : "cc", "memory");
    return pm_mio_result(p, cc, length);
}

/* PCIWB: store blocks before it are out before what comes behind it. */
static inline void pm_mio_write_barrier(void)
{
    __asm__ volatile(".insn rre,0xb9d50000,0,0" ::: "memory");
}

#endif
