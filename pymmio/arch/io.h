/* The accessors and barriers of the architecture that this is compiled for.
 *
 * Every <arch>/io.h defines the same names:
 *   int pm_load{8,16,32,64}(const volatile void *p, uintN_t *value)
 *   int pm_store{8,16,32,64}(volatile void *p, uintN_t value)
 *       exactly one naturally aligned access, in host byte order; PM_OK, PM_FAULT or
 *       PM_MISSING.  Ordered with other accesses to the same device, not with memory.
 *   pm_dma_wmb()   stores to DMA memory are visible before a following MMIO store
 *   pm_dma_rmb()   a status read (MMIO or memory) is done before following reads of DMA memory
 *   pm_dma_mb()    all earlier memory accesses before all later ones, as devices see them
 *   pm_mmio_wmb()  stores to write-combining mappings before following MMIO stores
 *   pm_cpu_relax() a hint inside a polling loop
 *   PM_PC(uc)      lvalue: program counter in a ucontext_t *
 */
#ifndef PYMMIO_ARCH_IO_H
#define PYMMIO_ARCH_IO_H

#include <stdint.h>

#include "extable.h"

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

#endif
