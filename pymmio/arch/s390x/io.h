/* s390x: three ways, chosen for each mapping.
 *
 * PCI memory is not in the address space that ordinary instructions reach: a load on a mapped
 * BAR is SIGILL.  There an access is a PCI memory-I/O instruction (mio.h) or a system call
 * (syscalls.h).  Ordinary loads and stores, below, are for mappings of plain memory only. */
#ifndef PYMMIO_ARCH_S390X_IO_H
#define PYMMIO_ARCH_S390X_IO_H

#include <sys/auxv.h>

/* A load or store of 1, 2, 4, 8 bytes on a boundary of its size is block-concurrent: one access
 * (Principles of Operation SA22-7832-13, chapter 5, "Block-Concurrent References"). */
#define PM_S390_LOAD(bits, load)                                                        \
    static inline int pm_load##bits(const volatile void *p, uint##bits##_t *value)      \
    {                                                                                   \
        int error = 0;                                                                  \
        uint64_t v;                                                                     \
        __asm__ volatile("1: " load " %[v],0(%[p])\n"                                   \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("lhi %[e],1\n jg 2b")                              \
                         PM_EX_TABLE(bits / 8)                                          \
                         : [v] "=d"(v), [e] "+d"(error)                                 \
                         : [p] "a"(p)                                                   \
                         : "memory");                                                   \
        *value = (uint##bits##_t)v;                                                     \
        return error;                                                                   \
    }

#define PM_S390_STORE(bits, store)                                                      \
    static inline int pm_store##bits(volatile void *p, uint##bits##_t value)            \
    {                                                                                   \
        int error = 0;                                                                  \
        __asm__ volatile("1: " store " %[v],0(%[p])\n"                                  \
                         "2:\n"                                                         \
                         PM_EX_FIXUP("lhi %[e],1\n jg 2b")                              \
                         PM_EX_TABLE(bits / 8 | PM_EX_STORE)                            \
                         : [e] "+d"(error)                                              \
                         : [p] "a"(p), [v] "d"((uint64_t)value)                         \
                         : "memory");                                                   \
        return error;                                                                   \
    }

PM_S390_LOAD(8, "llgc")
PM_S390_LOAD(16, "llgh")
PM_S390_LOAD(32, "llgf")
PM_S390_LOAD(64, "lg")
PM_S390_STORE(8, "stc")
PM_S390_STORE(16, "sth")
PM_S390_STORE(32, "st")
PM_S390_STORE(64, "stg")

#include "mio.h"
#include "syscalls.h"

#define PM_HAS_WAYS
#define PM_S390_WAYS(bits)                                                              \
    static inline int pm_load_by##bits(uint32_t way, const volatile void *p,            \
                                       uint##bits##_t *value)                           \
    {                                                                                   \
        switch (way) {                                                                  \
        case PM_WAY_MIO:                                                                \
            return pm_mio_load##bits(p, value);                                         \
        case PM_WAY_SYSCALL:                                                            \
            return pm_syscall_load##bits(p, value);                                     \
        default:                                                                        \
            return pm_load##bits(p, value);                                             \
        }                                                                               \
    }                                                                                   \
    static inline int pm_store_by##bits(uint32_t way, volatile void *p,                 \
                                        uint##bits##_t value)                           \
    {                                                                                   \
        switch (way) {                                                                  \
        case PM_WAY_MIO:                                                                \
            return pm_mio_store##bits(p, value);                                        \
        case PM_WAY_SYSCALL:                                                            \
            return pm_syscall_store##bits(p, value);                                    \
        default:                                                                        \
            return pm_store##bits(p, value);                                            \
        }                                                                               \
    }

PM_S390_WAYS(8)
PM_S390_WAYS(16)
PM_S390_WAYS(32)
PM_S390_WAYS(64)

#define PM_LOAD(bits, way, p, value) pm_load_by##bits(way, p, value)
#define PM_STORE(bits, way, p, value) pm_store_by##bits(way, p, value)

/* HWCAP_S390_PCI_MIO (Linux arch/s390/include/asm/elf.h): whether a program may use the
 * instructions.  The bit and not the model decides: pci=nomio switches them off. */
#define PM_HWCAP_PCI_MIO (1UL << 21)

static inline uint32_t pm_pci_ways(void)
{
    uint32_t mio = getauxval(AT_HWCAP) & PM_HWCAP_PCI_MIO ? 1u << PM_WAY_MIO : 0;
    return mio | 1u << PM_WAY_SYSCALL;
}

/* The longest write of one instruction on a mapping, a power of two. */
static inline size_t pm_largest_store(uint32_t way)
{
    return way == PM_WAY_MIO ? PM_MIO_LARGEST_STORE : 8;
}

/* `size` is a multiple of 8 up to pm_largest_store(), crosses no 4 KiB; `from` is 8-aligned. */
static inline int pm_store_wide(uint32_t way, volatile void *p, const uint64_t *from,
                                size_t size)
{
    if (way == PM_WAY_MIO && size > 8)
        return pm_mio_store_block(p, from, size);
    return PM_STORE(64, way, p, *from);
}

/* Serialisation: BCR 15,0 (Principles of Operation SA22-7832-13, 5-133); storage accesses
 * are otherwise seen in order by other observers, except a load passing a store (5-119). */
static inline void pm_dma_wmb(void) { __asm__ volatile("" ::: "memory"); }
static inline void pm_dma_rmb(void) { __asm__ volatile("" ::: "memory"); }
static inline void pm_dma_mb(void) { __asm__ volatile("bcr 15,0" ::: "memory"); }
/* PCIWB lets what store blocks left in flight go out (Linux arch/s390/include/asm/io.h,
 * mmiowb); a machine without these instructions has nothing in flight. */
static inline void pm_mmio_wmb(void)
{
    __asm__ volatile("bcr 15,0" ::: "memory");
    if (pm_pci_ways() & 1u << PM_WAY_MIO)
        pm_mio_write_barrier();
}
static inline void pm_cpu_relax(void) { __asm__ volatile("" ::: "memory"); }

#define PM_PC(uc) ((uc)->uc_mcontext.psw.addr)
/* An operation exception leaves the PSW behind the instruction and names it in si_addr; for
 * page faults Linux puts the PSW back to the instruction. */
#define PM_FAULT_PC(signal_number, info, uc) \
    ((signal_number) == SIGILL ? (uintptr_t)(info)->si_addr : (uintptr_t)PM_PC(uc))

#endif
