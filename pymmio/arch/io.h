/* The accessors and barriers of the architecture that this is compiled for.
 *
 * Every <arch>/io.h defines the same names:
 *   int pm_load{8,16,32,64}(const volatile void *p, uintN_t *value)
 *   int pm_store{8,16,32,64}(volatile void *p, uintN_t value)
 *       exactly one naturally aligned access by an ordinary instruction, in host byte order;
 *       PM_OK or PM_FAULT.  Ordered with other accesses to the same device, not with memory.
 *   pm_dma_wmb()   stores to DMA memory are visible before a following MMIO store
 *   pm_dma_rmb()   a status read (MMIO or memory) is done before following reads of DMA memory
 *   pm_dma_mb()    all earlier memory accesses before all later ones, as devices see them
 *   pm_mmio_wmb()  stores to write-combining mappings before following MMIO stores
 *   pm_cpu_relax() a hint inside a polling loop
 *   PM_PC(uc)      lvalue: program counter in a ucontext_t *
 *
 * An architecture where PCI memory takes more than that defines PM_HAS_WAYS, and what stands
 * below under #ifndef: PM_LOAD and PM_STORE make the access the way that a mapping says.
 */
#ifndef PYMMIO_ARCH_IO_H
#define PYMMIO_ARCH_IO_H

#include <stddef.h>
#include <stdint.h>

#include "extable.h"

/* The ways of a mapping (pm_mapping.way). */
#define PM_WAY_LOAD 0    /* ordinary instructions */
#define PM_WAY_MIO 1     /* s390x: PCI memory-I/O instructions */
#define PM_WAY_SYSCALL 2 /* s390x: system calls */

#if defined(__x86_64__) && !defined(__ILP32__)
#include "x86_64/io.h"
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#include "aarch64/io.h"
#elif defined(__riscv) && __riscv_xlen == 64
#include "riscv64/io.h"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#include "ppc64le/io.h"
#elif defined(__s390x__)
#include "s390x/io.h"
#else
#error "pymmio has no device accessors for this architecture: add pymmio/arch/<arch>/io.h"
#endif

#ifndef PM_HAS_WAYS
#define PM_LOAD(bits, way, p, value) ((void)(way), pm_load##bits(p, value))
#define PM_STORE(bits, way, p, value) ((void)(way), pm_store##bits(p, value))

/* 1 << PM_WAY_* for each way that this machine has to PCI memory. */
static inline uint32_t pm_pci_ways(void) { return 1u << PM_WAY_LOAD; }

/* The longest write that is made as one where the caller lets stores be combined. */
static inline size_t pm_largest_store(uint32_t way) { return (void)way, 8; }

static inline int pm_store_wide(uint32_t way, volatile void *p, const uint64_t *from,
                                size_t size)
{
    (void)size;
    return PM_STORE(64, way, p, *from);
}
#endif

/* The program counter of the instruction that a signal is about. */
#ifndef PM_FAULT_PC
#define PM_FAULT_PC(signal_number, info, uc) ((uintptr_t)PM_PC(uc))
#endif

#endif
